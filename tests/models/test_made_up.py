"""Requests that the check makes up for models without examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from modelsync.models.check import made_up
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash

NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    "required": ["next"],
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 18},
    {"type": "integer", "exclusiveMinimum": 0, "maximum": 1},
    {"type": "integer", "multipleOf": 5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "maximum": -3},
    {"type": "number", "minimum": 2, "exclusiveMaximum": 3},
    {"type": "string", "minLength": 10},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "date-time"},
    {"enum": [None, "a", "b"]},
    {"const": 7},
    {"type": ["null", "string"]},
    {"anyOf": [{"type": "null"}, {"type": "number"}]},
    {"type": "array", "items": {"type": "string"}, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
    {"allOf": [{"$ref": "#/$defs/Age"}]},
    {"$ref": "#/$defs/Age", "default": 40},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {},
]


def loaded(schema: dict[str, Any] | None) -> LoadedModel:
    spec = ModelSpec(ModelName("Model"), Path(), TreeHash("0" * 40))
    return LoadedModel(spec, call=lambda variables: variables, schema=schema)


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_what_is_made_up_fits_the_schema(schema: dict[str, Any]) -> None:
    whole = {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "$defs": {"Age": {"type": "integer", "minimum": 3}},
    }
    found = made_up.variables(loaded(whole))
    jsonschema.validate(found, whole)
    assert found is not None
    assert found.keys() == {"x"}


def test_value_that_may_be_of_any_type_is_a_number() -> None:
    """So is a feature of an estimator that was fitted on an array: truth values index one."""
    kinds = [{"type": kind} for kind in ("boolean", "integer", "number", "string", "null")]
    found = made_up.variables(loaded({"properties": {"x": {"anyOf": kinds}}, "required": ["x"]}))
    assert found == {"x": 1}
    assert type(found["x"]) is int


def test_what_contains_itself_comes_to_an_end() -> None:
    whole = {"properties": {"x": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": NODE}}
    found = made_up.variables(loaded(whole))
    jsonschema.validate(found, whole)
    assert found
    depth = 0
    while found := found.get("x" if "x" in found else "next"):
        depth += 1
    assert 0 < depth <= made_up.MAX_DEPTH


def test_no_request_is_too_large() -> None:
    """A schema may ask for more than there is memory."""
    text: dict[str, Any] = {"type": "string", "minLength": 10**12}
    numbers: dict[str, Any] = {"type": "integer"}
    for _ in range(4):
        numbers = {"type": "array", "items": numbers, "minItems": 10**6}
    found = made_up.variables(loaded({"properties": {"x": text, "y": numbers}}))
    assert len(str(found)) < 10**7


def test_a_model_that_takes_any_object_gets_nothing() -> None:
    assert made_up.variables(loaded(None)) is None
    assert made_up.variables(loaded({"type": "object", "properties": {}})) == {}

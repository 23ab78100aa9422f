"""A sample request for a model: its first example, else values generated from its schema."""

from __future__ import annotations

from typing import Any

from modelsync.api.components import Schema
from modelsync.models.types import LoadedModel

MAX_DEPTH = 6
"""Nesting of a sample; a schema that refers to itself would have no end."""

MAX_ITEMS = 100
"""Items of an array in a sample."""

_DEFAULTS: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "null": None,
    "object": {},
}

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "name@example.org",
    "uri": "https://example.org/",
}


def variables(model: LoadedModel) -> dict[str, Any]:
    """The sample's `variables`: their types fit the schema, their values have no meaning.

    The sample of a model without a schema is `{"<name>": "<value>"}`, which cannot be mistaken for
    the name of a field.
    """
    if model.examples:
        return model.examples[0].variables
    if model.schema is None:  # the model accepts any object
        return {"<name>": "<value>"}
    sample = _sample(model.schema, model.schema.get("$defs", {}), 0)
    return sample if isinstance(sample, dict) else {}


def _sample(schema: Schema, definitions: Schema, depth: int) -> Any:
    """A value that fits `schema`; an object has its required members only."""
    if "$ref" in schema:
        schema = {**definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), **schema}
    if "default" in schema:
        return schema["default"]
    for given in ("const", "enum", "examples"):
        if given in schema:
            return schema[given] if given == "const" else schema[given][0]
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return _sample(options[0], definitions, depth)
    kind = schema.get("type")
    if kind == "object" and depth < MAX_DEPTH:
        required = schema.get("required", [])
        members = schema.get("properties", {})
        return {
            name: _sample(member, definitions, depth + 1)
            for name, member in members.items()
            if name in required
        }
    if kind == "array" and depth < MAX_DEPTH:
        items = schema.get("items")
        least = max(schema.get("minItems", 0), int(isinstance(items, dict)))
        one = _sample(items, definitions, depth + 1) if isinstance(items, dict) else None
        return [one] * min(least, MAX_ITEMS)
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    return _FORMATS.get(schema.get("format", ""), _DEFAULTS.get(str(kind)))


def _number(schema: Schema, *, whole: bool) -> float:
    """1, or the number nearest to it within the limits of `schema`."""
    number: float = 1
    if (low := schema.get("minimum", schema.get("exclusiveMinimum"))) is not None:
        number = max(number, low if "minimum" in schema else low + 1)
    if (high := schema.get("maximum", schema.get("exclusiveMaximum"))) is not None:
        number = min(number, high if "maximum" in schema else high - 1)
    return int(number) if whole else float(number)

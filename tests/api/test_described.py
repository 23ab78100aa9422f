"""The OpenAPI document with what models really have as defaults, types and examples."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pydantic
import pytest
from openapi_spec_validator import validate

from modelsync.api import examples_schema, openapi
from modelsync.api.app import create_app, create_context
from tests.api.serving import a_service

HUGE = 2**70
HALF, TENTH, THREE = np.float64(0.5), np.float32(0.1), np.int64(3)
EXTRA: Any = {"x": np.float32(1.5), "y": object()}


class Colour(enum.Enum):
    RED = np.float64(1.0)


class Odd(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    big: int = pydantic.Field(HUGE, le=HUGE + 1, examples=[HUGE])
    none: float = float("nan")
    array: Any = np.zeros(3)
    name: str = pydantic.Field("a", json_schema_extra=EXTRA)
    frame: pd.DataFrame | None = None


def numbers(
    p: float = HALF,
    seed: int = HUGE,
    small: Any = TENTH,
    nan: float = float("nan"),
    most: float = float("inf"),
    least: Decimal = Decimal("-Infinity"),
    whole: Any = THREE,
) -> dict[str, Any]:
    return {}


def objects(
    colour: Colour = Colour.RED,
    anything: Any = object(),  # noqa: B008
    kind: Any = int,
    array: Any = np.zeros(2_000),  # noqa: B008
    call: Any = print,
    text: str = "a\ud800b",
    date: Any = pd.Timestamp("2026-01-31"),  # noqa: B008
    limited: Annotated[int, pydantic.Field(ge=-HUGE, le=HUGE)] = 1,
    chosen: Literal["a", b"b", 1] = "a",
) -> dict[str, Any]:
    return {}


def odd(odd: Odd) -> dict[str, Any]:
    return {}


def names(µ: float, größe: float = 1.0, _x: int = 1, type_: int = 2, **more: Any) -> dict[str, Any]:
    return {}


ODD: dict[str, Callable[..., Any]] = {
    "Numbers": numbers,
    "Objects": objects,
    "Odd": odd,
    "Names-1_2": names,
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("odd")
    service = a_service(folder, models=ODD)
    client = create_app(service).test_client()
    for name in ODD:
        assert client.get(f"/models/{name}").status_code == 200
    answer = client.get("/models/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.data)
    return found


def test_nothing_in_a_model_breaks_the_document(document: dict[str, Any]) -> None:
    """Numbers of numpy, NaN, huge integers and objects as defaults: it is OpenAPI all the same."""
    validate(document)
    variables = document["components"]["schemas"]["Numbers"]["properties"]["variables"]
    described = {
        name: schema.get("description") for name, schema in variables["properties"].items()
    }
    assert described == {
        "p": "Default: `0.5`.",
        "seed": None,
        "small": "Default: `0.1`.",
        "nan": None,
        "most": None,
        "least": None,
        "whole": "Default: `3`.",
    }


def test_what_has_a_default_is_not_required(document: dict[str, Any]) -> None:
    """No generator demands it either: openapi-typescript does so where it finds a `default`."""
    schemas = document["components"]["schemas"]
    for name in ("Numbers", "Objects"):
        assert not schemas[name]["properties"]["variables"].get("required")
    assert schemas["Names-1_2"]["properties"]["variables"]["required"] == ["μ"]
    assert not schemas["Odd"]["properties"]["variables"].get("required")
    bodies = [schemas[name] for name in ODD]
    assert '"default"' not in json.dumps(bodies)


def test_a_parameter_may_be_called_as_a_keyword_of_json_schema(tmp_path: Path) -> None:
    """`default` and `properties` are names like any other."""

    def keywords(default: int = 3, properties: int = 4, enum: int = 5) -> dict[str, Any]:
        return {}

    service = a_service(tmp_path, models={"Keywords": keywords})
    found = openapi.document(create_context(service))
    validate(found)
    variables = found["components"]["schemas"]["Keywords"]["properties"]["variables"]
    assert list(variables["properties"]) == ["default", "properties", "enum"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"a": 1}, {"a": 0.5, "b": None}], {"a": {"type": ["number", "null"]}, "b": {}}),
        ([{"a": [1, None]}], {"a": {"type": "array", "items": {"type": ["number", "null"]}}}),
        ([{"a": []}, {"a": "x"}], {"a": {"anyOf": [{"type": "array"}, {"type": "string"}]}}),
        (
            [{"a": {"b": True}}],
            {"a": {"type": "object", "properties": {"b": {"type": "boolean"}}}},
        ),
    ],
)
def test_examples_tell_types(values: list[Any], expected: dict[str, Any]) -> None:
    """A response of an example has types, and demands no member."""
    assert examples_schema.schema_of(values) == {"type": "object", "properties": expected}

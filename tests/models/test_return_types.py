"""The schema of answers by the return annotation of a model."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any, Generic, Literal, NotRequired, Optional, TypedDict, TypeVar

import numpy as np
import pydantic
import pytest
from jsonschema import Draft202012Validator

from modelsync.models import results
from modelsync.models.binding import calls, plain_types, return_types

T = TypeVar("T")


class Score(pydantic.BaseModel):
    value: float
    label: Literal["low", "high"] = "low"


class Risk(pydantic.BaseModel):
    score: Score
    digits: Decimal = pydantic.Field(alias="Digits")
    model_config = pydantic.ConfigDict(populate_by_name=True, arbitrary_types_allowed=True)
    weights: np.ndarray = pydantic.Field(default_factory=lambda: np.zeros(2))


class Boxed(pydantic.BaseModel, Generic[T]):
    content: T


@dataclasses.dataclass
class Point:
    x: float
    name: str | None = None


class Prices(TypedDict):
    price: float
    note: NotRequired[str]
    points: list[Point]


RISK = Risk(score=Score(value=0.5), Digits=Decimal("1.50"))

RESULTS = [
    (Score, Score(value=0.5), {"value": "number"}),
    (Risk, RISK, {"digits": "number"}),
    (Boxed[Score], Boxed[Score](content=Score(value=1.0)), {}),
    (Optional[Point], Point(1.0), {"x": "number"}),  # noqa: UP045
    (Prices, {"price": 1.0, "points": [Point(2.0, "p")]}, {"price": "number"}),
    (dict[str, float], {"a": 1.5}, {}),
    (Score | Point, Point(0.0), {}),
]


def schema_of(annotation: Any, name: str = "transform_predict") -> dict[str, Any] | None:
    def method(self: object, x: int) -> Any: ...

    method.__annotations__["return"] = annotation
    return return_types.schema_of(
        type("Model", (), {name: method})(), lambda one, wanted: calls.method_of(one, wanted)
    )


@pytest.mark.parametrize(("kind", "result", "types"), RESULTS, ids=str)
def test_answers_fit_the_schema_of_their_annotation(
    kind: Any, result: Any, types: dict[str, str]
) -> None:
    """What is written of a result fits the schema, and a result of other members does not."""
    schema = schema_of(kind)
    assert schema
    validator = Draft202012Validator(schema)
    validator.validate(json.loads(results.dump(result)))
    assert not validator.is_valid({"value": "no number", "price": [], "x": "no"})
    found = schema.get("properties") or schema.get("$defs", {}).get(
        getattr(kind, "__name__", ""), {}
    ).get("properties", {})
    assert {name: found[name]["type"] for name in types if name in found} == {
        name: types[name] for name in types if name in found
    }
    assert schema_of(list[kind], "transform_predict_batch") == schema


@pytest.mark.parametrize(
    "kind",
    [None, Any, dict, dict[str, Any], int, list[Score], "NoSuchName", "1 +", np.ndarray],
    ids=str,
)
def test_other_annotations_tell_nothing(kind: Any) -> None:
    """The model is served all the same, and examples may tell."""
    assert schema_of(kind) is None


def test_a_string_is_evaluated_where_the_method_is() -> None:
    """`from __future__ import annotations` makes each annotation a text."""
    found = schema_of("Score")
    assert found
    assert found["required"] == ["value", "label"]


@pytest.mark.parametrize(("kind", "result"), [(Prices, RESULTS[4][1]), (Point, Point(1.0))])
def test_a_schema_needs_no_pydantic(kind: Any, result: Any) -> None:
    """The environment of a model may have none: structures of the standard library are known."""
    schema = plain_types.response(kind)
    assert schema
    validator = Draft202012Validator(schema)
    validator.validate(json.loads(results.dump(result)))
    assert not validator.is_valid({})

"""What a request and its answer look like: the same content in each contestant's natural form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Model = Literal["score", "iris", "logistic", "forest", "custom"]
MODELS: tuple[Model, ...] = ("score", "iris")
"""What a peer serves that names no models."""

PIPELINES: tuple[Model, ...] = ("logistic", "forest", "custom")
"""Pickled pipelines, see `artefacts`: two that can be compiled, and one that cannot."""

Variables = Mapping[str, Any]

CUSTOMER: Variables = {"age": 42, "income": 51_000.0, "city": "Utrecht", "plan": "basic"}
VARIABLES: Mapping[Model, Variables] = {
    "score": {"a": 1, "b": 2.5},
    "iris": {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
    "logistic": CUSTOMER,
    "forest": CUSTOMER,
    "custom": {"age": 42, "income": 51_000.0},
}

GROUPS: Mapping[str, tuple[Model, ...]] = {
    "pure": ("score",),
    "iris": ("iris",),
    "pipeline": PIPELINES,
}
"""What can be measured without the rest."""

TOLERANCE = 1e-6
"""The relative difference that a compiled form may have; numpy's versions differ by far less."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`body` makes a request of a model's variables; `result` finds the model's own result in the
    answer.
    """

    body: Callable[[Variables], Any]
    result: Callable[[Any], Any]


def _v2_body(variables: Variables) -> Any:
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]}
        for name, value in variables.items()
    ]
    return {"inputs": inputs}


def _v2_result(answer: Any) -> Any:
    found = {one["name"]: one["data"] for one in answer["outputs"]}
    return {name: data if name == "probabilities" else data[0] for name, data in found.items()}


def _ready_result(answer: Any) -> Any:
    """A ready artefact of modelsync gives each probability with its label."""
    listed = isinstance(answer.get("probabilities"), dict)
    return {**answer, "probabilities": list(answer["probabilities"].values())} if listed else answer


SHAPES: dict[str, Shape] = {
    "variables": Shape(lambda variables: {"variables": variables}, lambda answer: answer),
    "ready": Shape(lambda variables: {"variables": variables}, _ready_result),
    "instances": Shape(
        lambda variables: {"instances": [variables]}, lambda answer: answer["predictions"][0]
    ),
    "inputs": Shape(
        lambda variables: {"inputs": [variables]}, lambda answer: answer["predictions"][0]
    ),
    "v2": Shape(_v2_body, _v2_result),
}


def same(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether two results are equal, numbers but for a relative difference."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            same(found.get(key), value, tolerance) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(same(one, other, tolerance) for one, other in zip(found, expected, strict=True))
        )
    return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=tolerance)

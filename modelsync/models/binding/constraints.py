"""What an artefact demands of a value beyond its type; each validator reads it in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finite:
    """A number that is neither NaN nor infinite: JSON has no other."""


@dataclass(frozen=True, slots=True)
class Length:
    """A list of so many items; None: of any number."""

    items: int | None


Fits = Callable[[Any, Any], bool]

_LIMITS: dict[str, tuple[Fits, str]] = {
    "gt": (lambda value, limit: value > limit, "greater than"),
    "ge": (lambda value, limit: value >= limit, "greater than or equal to"),
    "lt": (lambda value, limit: value < limit, "less than"),
    "le": (lambda value, limit: value <= limit, "less than or equal to"),
    "multiple_of": (lambda value, limit: value % limit == 0, "a multiple of"),
    "min_length": (lambda value, limit: len(value) >= limit, "of at least the length"),
    "max_length": (lambda value, limit: len(value) <= limit, "of at most the length"),
}
"""The constraints of the library annotated-types, by the attributes that hold them."""


def limits_of(demand: Any) -> list[tuple[Fits, str, float]]:
    """Return what a constraint demands: whether a value fits a limit, this in words, the limit."""
    if isinstance(demand, str):
        return []
    found = {name: getattr(demand, name, None) for name in _LIMITS}
    return [
        (*_LIMITS[name], limit) for name, limit in found.items() if isinstance(limit, int | float)
    ]

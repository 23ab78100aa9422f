"""What an artefact demands of a value beyond its type; each validator reads it in its own way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finite:
    """A number that is neither NaN nor infinite: JSON has no other."""


@dataclass(frozen=True, slots=True)
class Length:
    """A list of so many items; None: of any number."""

    items: int | None

"""What the check process measures of a model. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurements:
    """What the check process measured of one version of a model.

    `load_seconds`: None if it did not load. `call_seconds`: the median of the calls with its
    examples; None if it has none. `examples`: how many it has answered. `unfitted`: how many wait
    for a fitted version, without which it cannot answer them.
    """

    load_seconds: float | None = None
    call_seconds: float | None = None
    examples: int = 0
    unfitted: int = 0


NOT_MEASURED = Measurements()

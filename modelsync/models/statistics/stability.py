"""The population stability index (PSI): how far a distribution has moved from another one.

The sum over all bins of (found - expected) * ln(found / expected), where both are shares of all
values. Up to 0.1 is commonly read as no change, over 0.25 as a large one (Siddiqi, "Credit Risk
Scorecards", 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

LEAST_SHARE = 1e-4
"""Share that an empty bin counts as, since the logarithm of 0 is infinite."""

LEAST_EXPECTED = 5
"""Values that are expected in a bin, as in a chi-square test; smaller bins are taken together."""


def stability_index(expected: Sequence[float], found: Sequence[float]) -> float:
    """Return the PSI of counts in the same bins; 0 without any."""
    before, now = sum(expected), sum(found)
    if not before or not now:
        return 0.0
    total = 0.0
    for one, other in zip(expected, found, strict=True):
        share, other_share = max(one / before, LEAST_SHARE), max(other / now, LEAST_SHARE)
        total += (other_share - share) * log(other_share / share)
    return total


def pooled(expected: Sequence[float], found: Sequence[float]) -> tuple[list[float], list[float]]:
    """Take together the bins in which so few of the values found are expected that chance decides.

    Fifty rare categories and a hundred values would give a large index for the same distribution.
    """
    before, now = sum(expected), sum(found)
    kept: list[tuple[float, float]] = []
    rest = [0.0, 0.0]
    for one, other in zip(expected, found, strict=True):
        if before and one / before * now >= LEAST_EXPECTED:
            kept.append((one, other))
        else:
            rest = [rest[0] + one, rest[1] + other]
    if any(rest):
        kept.append((rest[0], rest[1]))
    return [one for one, _ in kept], [other for _, other in kept]

"""Finds the two neighbouring doubles between which something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_LOW_BITS = np.int64(2**63 - 1)


def places(numbers: Array) -> Array:
    """Return the place of each double among all doubles, as integers that grow with them."""
    bits: Array = np.ascontiguousarray(numbers, dtype=np.float64).view(np.int64)
    found: Array = bits ^ ((bits >> 63) & _LOW_BITS)
    return found


def doubles(found: Array) -> Array:
    """Return the doubles at these places."""
    numbers: Array = (found ^ ((found >> 63) & _LOW_BITS)).view(np.float64)
    return numbers


def narrow(one: Array, other: Array, is_like_one: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return, of each pair of numbers, two neighbours between them of which it is true as well.

    `is_like_one(numbers)`: for a number of each pair, whether it is as `one` of the pair is, rather
    than as the `other`. It is called at most 64 times.
    """
    a, b = places(one), places(other)
    # The difference of two places may need 64 bits without a sign, that of two neighbours is 1.
    while ((a - b).view(np.uint64) + np.uint64(1) > 2).any():
        middle = (a >> 1) + (b >> 1) + (a & b & 1)
        alike = is_like_one(doubles(middle))
        a, b = np.where(alike, middle, a), np.where(alike, b, middle)
    return doubles(a), doubles(b)

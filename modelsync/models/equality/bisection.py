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


def narrow(
    one: Array, other: Array, is_like_one: Callable[[Array], Array], *, ways: int = 1
) -> tuple[Array, Array]:
    """Return, of each pair of numbers, two neighbours between them of which it is true as well.

    `is_like_one(numbers)`: for a number of each pair, whether it is as `one` of the pair is, rather
    than as the `other`. It is called at most 64 times with an array of shape (pairs,); or, with
    more than one of the `ways`, fewer times with one of shape (ways, pairs).
    """
    a, b = places(one), places(other)
    # The difference of two places may need 64 bits without a sign, that of two neighbours is 1.
    while ((a - b).view(np.uint64) + np.uint64(1) > 2).any():
        between = _between(a, b, ways)
        alike = is_like_one(doubles(between if ways > 1 else between[0])).reshape(between.shape)
        for row, like in zip(between, alike, strict=True):
            is_inside = _is_between(row, a, b)
            a, b = np.where(is_inside & like, row, a), np.where(is_inside & ~like, row, b)
    return doubles(a), doubles(b)


def _between(a: Array, b: Array, ways: int) -> Array:
    """Return numbers between each pair, of shape (ways, pairs): the middle first."""
    found = [(a >> 1) + (b >> 1) + (a & b & 1)]
    low, high = np.minimum(a, b), np.maximum(a, b)
    for way in range(1, ways):
        # An eighth of the way: the distance itself may not fit into 64 bits.
        step = (high >> 3) - (low >> 3)
        found.append(np.clip(low + (way if way < 4 else way + 1) * step, low, high))
    return np.stack(found)


def _is_between(row: Array, a: Array, b: Array) -> Array:
    found: Array = ((row >= a) & (row <= b)) | ((row >= b) & (row <= a))
    return found

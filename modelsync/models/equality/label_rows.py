"""Rows on both sides of the boundary between two labels, found by bisection of the estimator.

Where the probabilities jump, the two rows are one double apart. Where they pass smoothly from one
label to the other, the label at the boundary follows from the last bits of a sum, which the
estimator itself adds up in another order for one row than for many: there the rows are `NEAR` of
the column's spread away, on either side.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelsync.models.binding.batching import CallBatch
from modelsync.models.equality.bisection import narrow
from modelsync.models.equality.column_values import ColumnValues

Row = list[Any]

MOST_LABELS = 200
"""With more different answers they are no labels, but numbers."""

PAIRS = 48
"""Boundaries that are looked for."""

WAYS = 7
"""Rows between those of a pair that are asked for at once: a call of a forest takes its time."""

NEAR = 1e-9
"""How far a row is from a smooth boundary, as a share of the distance of the rows around it."""

JUMP = 1e-9
"""Probabilities of neighbouring rows that differ by more than that jump."""


class LabelRows:
    """Makes rows near the boundaries of a classifier that `call` calls."""

    def __init__(self, call: CallBatch, columns: Sequence[ColumnValues]) -> None:
        self._call = call
        self._columns = columns

    def make(self, rows: Sequence[Row]) -> list[Row]:
        """Return rows on both sides of the boundaries between `rows` of different labels.

        Raises what the call raises.
        """
        labels = self._labels(rows)
        groups: dict[Any, list[int]] = {}
        for place, label in enumerate(labels):
            groups.setdefault(label, []).append(place)
        if len(groups) > MOST_LABELS:
            return []
        pairs = _pairs(list(groups.values()))
        steps = [step for one, other in pairs for step in self._steps(rows[one], rows[other])]
        return self._around(self._crossing(steps)[:PAIRS]) if steps else []

    def _answers(self, rows: Sequence[Row]) -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._call([tuple(row) for row in rows])

    def _labels(self, rows: Sequence[Row]) -> list[Any]:
        return [repr(answer["prediction"]) for answer in self._answers(rows)]

    def _steps(self, one: Row, other: Row) -> list[tuple[Row, Row, int]]:
        """Return the way from one row to another, which changes one column after the other."""
        steps = []
        row = one
        for place, column in enumerate(self._columns):
            changed = [*row[:place], other[place], *row[place + 1 :]]
            both_numbers = isinstance(row[place], int | float) and isinstance(
                other[place], int | float
            )
            if column.is_number and both_numbers and row[place] != other[place]:
                steps.append((row, changed, place))
            row = changed
        return steps

    def _crossing(self, steps: list[tuple[Row, Row, int]]) -> list[tuple[Row, Row, int]]:
        """Return those of the steps on which the label changes."""
        before = self._labels([one for one, _, _ in steps])
        after = self._labels([other for _, other, _ in steps])
        passes = [a != b for a, b in zip(before, after, strict=True)]
        return [step for step, crosses in zip(steps, passes, strict=True) if crosses]

    def _around(self, steps: list[tuple[Row, Row, int]]) -> list[Row]:
        """Return two rows for each step: on the near and the far side of the boundary."""
        if not steps:
            return []
        starts = self._labels([one for one, _, _ in steps])

        def is_like_start(numbers: Any) -> Any:
            found = self._labels([row for each in numbers for row in _placed(steps, each)])
            return np.array([a == b for a, b in zip(found, starts * WAYS, strict=True)])

        one = np.array([float(row[place]) for row, _, place in steps])
        other = np.array([float(row[place]) for _, row, place in steps])
        near, far = narrow(one, other, is_like_start, ways=WAYS)
        smooth = self._are_smooth(_placed(steps, near), _placed(steps, far))
        shift = np.where(smooth, (other - one) * NEAR, 0.0)
        return _placed(steps, near - shift) + _placed(steps, far + shift)

    def _are_smooth(self, rows: list[Row], others: list[Row]) -> Any:
        """Return whether the probabilities of two neighbours are the same, or unknown."""
        pairs = zip(self._answers(rows), self._answers(others), strict=True)
        return np.array([_distance(one, other) <= JUMP for one, other in pairs])


def _pairs(groups: list[list[int]]) -> list[tuple[int, int]]:
    """Return places of rows with different labels, all pairs of labels in turn."""
    labels = range(len(groups))
    between = [(a, b) for a in labels for b in labels if a < b]
    found: list[tuple[int, int]] = []
    for turn in range(PAIRS):
        for a, b in between:
            if len(found) >= PAIRS:
                return found
            found.append((groups[a][turn % len(groups[a])], groups[b][turn % len(groups[b])]))
    return found


def _placed(steps: list[tuple[Row, Row, int]], numbers: Any) -> list[Row]:
    """Return the first row of each step with another number in its column."""
    return [
        [*row[:place], number, *row[place + 1 :]]
        for (row, _, place), number in zip(steps, numbers.tolist(), strict=True)
    ]


def _distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return by how much the probabilities of two answers differ; 0 without probabilities."""
    pairs = zip(
        _numbers(one.get("probabilities")), _numbers(other.get("probabilities")), strict=False
    )
    return max((abs(a - b) for a, b in pairs), default=0.0)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, float) else []

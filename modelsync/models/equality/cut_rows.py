"""Rows on both sides of each cut: the last double on its left and the first one on its right.

How a cut deep inside an estimator looks from the outside is found by bisection over the steps
before it, so that it does not matter which these are. The other values of such a row lead to the
cut, through the comparisons above it in its tree, as far as each depends on one column alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelsync.models.equality.bisection import narrow
from modelsync.models.equality.column_values import ColumnValues
from modelsync.models.equality.cuts import Comparison, Cut, Cuts
from modelsync.models.equality.stages import Stage

Array = np.ndarray[Any, Any]
Row = list[Any]

MOST_VALUES = 3000
"""Different cuts of one estimator that are traced back to columns."""

PROBES = 6
"""Values of a column by which it is found which inputs depend on it."""

MOST_CATEGORIES = 200


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two neighbouring values of a column between which an input passes a cut."""

    column: int
    left: float
    right: float
    row: int


class CutRows:
    """Makes rows for the cuts of one stage. `rows`: typical rows that the estimator takes.

    `gather` makes of rows what the first step takes.
    """

    def __init__(
        self,
        stage: Stage,
        gather: Callable[[list[Any]], Any],
        columns: Sequence[ColumnValues],
        rows: Sequence[Row],
        random: np.random.Generator,
    ) -> None:
        self._stage = stage
        self._gather = gather
        self._columns = columns
        self._rows = rows
        self._random = random
        self._numbers: dict[int, list[int]] = {}
        self._categories: dict[int, tuple[int, list[tuple[Any, Array]]]] = {}
        self._sides: dict[tuple[int, float], _Sides] = {}
        self._probe()

    def make(self, cuts: Cuts) -> list[Row]:
        """Return two rows for each cut, or more; none for a cut that no column passes."""
        kept: list[Cut] = []
        values: dict[tuple[int, float], None] = {}
        for cut in cuts.found:
            needed = [(cut.feature, cut.value), *((one, value) for one, value, _ in cut.needs)]
            known = [pair for pair in needed if pair[0] in self._numbers]
            if len(values) + len(known) > MOST_VALUES:
                break
            values.update(dict.fromkeys(known))
            kept.append(cut)
        self._sides = self._solve(list(values), cuts.comparison)
        return [row for cut in kept for row in self._of_cut(cut, cuts.comparison)]

    def _inputs(self, rows: Sequence[Row]) -> Array:
        """Return what the estimator of the stage takes, as an array of shape (rows, inputs)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = self._stage.input_of(self._gather([tuple(row) for row in rows]))
        dense = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
        table = dense.reshape(len(rows), -1)
        if table.dtype == object:
            return _numeric(table)
        found: Array = table.astype(np.float64)
        return found

    # --- which input depends on which column ------------------------------------------------------

    def _probe(self) -> None:
        """Find which inputs depend on which columns, by changing one column after the other."""
        base = self._rows[0]
        for place, column in enumerate(self._columns):
            values = self._probes(column)
            rows = [[*base[:place], value, *base[place + 1 :]] for value in values]
            inputs = self._inputs(rows)
            changed = np.flatnonzero(
                (inputs != inputs[0]).any(axis=0) & ~np.isnan(inputs).all(axis=0)
            )
            for feature in changed.tolist():
                if column.is_number:
                    self._numbers.setdefault(feature, []).append(place)
                else:
                    pairs = list(zip(values, inputs[:, feature], strict=True))
                    self._categories[feature] = (place, pairs)

    def _probes(self, column: ColumnValues) -> list[Any]:
        if column.is_number:
            spread = column.spread or 1.0
            return list((column.centre + spread * np.linspace(-3.1, 2.9, PROBES)).tolist())
        return column.special()[:MOST_CATEGORIES]

    # --- bisection --------------------------------------------------------------------------------

    def _solve(
        self, values: list[tuple[int, float]], comparison: Comparison
    ) -> dict[tuple[int, float], _Sides]:
        """Return where each (input, value) is passed, of those that are passed at all."""
        if not values:
            return {}
        features = np.array([feature for feature, _ in values])
        limits = np.array([value for _, value in values])
        places = [self._random.choice(self._numbers[feature]) for feature, _ in values]
        picked = self._random.integers(len(self._rows), size=len(values)).tolist()

        def is_left(numbers: Array) -> Array:
            rows = [
                _with(self._rows[row], place, number)
                for row, place, number in zip(picked, places, numbers.tolist(), strict=True)
            ]
            inputs = self._inputs(rows)[np.arange(len(rows)), features]
            return comparison.is_left(inputs, limits)

        low = np.array([self._columns[place].centre - self._reach(place) for place in places])
        high = np.array([self._columns[place].centre + self._reach(place) for place in places])
        at_low, at_high = is_left(low), is_left(high)
        one, other = narrow(low, high, lambda numbers: is_left(numbers) == at_low)
        return {
            pair: _Sides(int(place), *((a, b) if low_is_left else (b, a)), row)
            for pair, place, a, b, low_is_left, passes, row in zip(
                values,
                places,
                one.tolist(),
                other.tolist(),
                at_low,
                at_low != at_high,
                picked,
                strict=True,
            )
            if passes
        }

    def _reach(self, place: int) -> float:
        """Return how far from its centre a column is searched."""
        column = self._columns[place]
        return 1e3 * (column.spread or 1.0)

    # --- rows -------------------------------------------------------------------------------------

    def _of_cut(self, cut: Cut, comparison: Comparison) -> list[Row]:
        """Return the rows on both sides of a cut, and one without the value where that may be."""
        found = self._sides.get((cut.feature, cut.value))
        if found is None:
            return self._of_categories(cut, comparison)
        row = self._rows[found.row]
        if self._follows_one(cut.feature):
            row = self._leading(row, cut, comparison)
        values: list[float | None] = [found.left, found.right]
        if not cut.needs:  # an edge, or a category, has a neighbour on either side
            values.append(float(np.nextafter(found.left, 2 * found.left - found.right)))
        if self._columns[found.column].kind.nullable:
            values.append(None)
        return [_with(row, found.column, value) for value in values]

    def _of_categories(self, cut: Cut, comparison: Comparison) -> list[Row]:
        """Return rows on both sides of a cut that only a category passes."""
        if cut.feature not in self._categories:
            return []
        row = self._leading(self._rows[0], cut, comparison)
        place = self._categories[cut.feature][0]
        sides = [self._fitting(cut.feature, cut.value, comparison, side) for side in (True, False)]
        return [_with(row, place, side[0]) for side in sides if side]

    def _leading(self, row: Row, cut: Cut, comparison: Comparison) -> Row:
        """Return a row with which a tree comes to a cut."""
        categories: dict[int, list[Any]] = {}
        for feature, value, is_left in cut.needs:
            if feature in self._categories:
                place = self._categories[feature][0]
                fitting = self._fitting(feature, value, comparison, is_left)
                before = categories.get(place, fitting)
                categories[place] = [one for one in fitting if one in before]
            elif (found := self._sides.get((feature, value))) and self._follows_one(feature):
                row = _with(row, found.column, found.left if is_left else found.right)
        for place, fitting in categories.items():
            if fitting:
                row = _with(row, place, fitting[self._random.integers(len(fitting))])
        return row

    def _fitting(
        self, feature: int, value: float, comparison: Comparison, is_left: bool
    ) -> list[Any]:
        """Return the categories with which an input is on one side of a value."""
        _, pairs = self._categories[feature]
        inputs = np.array([one for _, one in pairs])
        sides = comparison.is_left(inputs, np.array(value)).tolist()
        return [one for (one, _), side in zip(pairs, sides, strict=True) if side is is_left]

    def _follows_one(self, feature: int) -> bool:
        """Return whether an input depends on a single column."""
        return len(self._numbers[feature]) == 1 and feature not in self._categories


def _with(row: Row, place: int, value: Any) -> Row:
    return [*row[:place], value, *row[place + 1 :]]


def _numeric(table: Array) -> Array:
    """Return an array of objects as numbers; what is none becomes NaN."""
    found = np.full(table.shape, np.nan)
    for place, value in np.ndenumerate(table):
        if isinstance(value, int | float):
            found[place] = value
    return found

"""Rows on which a compiled form is compared with its estimator, made from the fitted estimator.

They hold each category, an unknown and a missing one where the estimator takes them; both sides of
every split of every tree, one double apart; both sides of the boundaries between labels; numbers
as the data had them, and far outside of it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelsync.models.artefacts.target import Target
from modelsync.models.binding.batching import CallBatch
from modelsync.models.equality import column_values, cuts
from modelsync.models.equality.column_values import NUMBERS, ColumnValues
from modelsync.models.equality.cut_rows import CutRows
from modelsync.models.equality.cuts import Cuts
from modelsync.models.equality.label_rows import LabelRows
from modelsync.models.equality.stages import Stage, gatherer, stages

Row = list[Any]

COUNT = 2000
"""Rows that are made at least."""

MOST = 12_000
"""Rows that are made at most: of the splits of a large forest a part is drawn."""

_log = logging.getLogger(__name__)


def make(
    target: Target,
    count: int = COUNT,
    seed: int = 0,
    *,
    examples: Sequence[Sequence[Any]] = (),
    call: CallBatch | None = None,
) -> list[Any]:
    """Return at least `count` rows, of the kind that `Batch.row` makes.

    `examples`: rows that are known to be typical; they come first. `call`: that of the artefact's
    batch, for rows near the boundary between labels, None if it is no classifier. The rows which
    the estimator may refuse come last.
    """
    random = np.random.default_rng(seed)
    inside = stages(target)
    found_cuts = [cuts.of(stage.step, MOST, random) for stage in inside]
    columns = column_values.read(target.kinds, inside, found_cuts, examples)
    whole = _whole(columns, random)
    near = _attempt(lambda: LabelRows(call, columns).make(whole)) if call else []
    at_cuts: list[Row] = []
    for stage, some in zip(inside, found_cuts, strict=True):
        if some:
            at_cuts += _attempt(lambda: _of_stage(stage, some, target, columns, whole, random))  # noqa: B023
    special = _special(columns, whole)
    refused = _refused(columns, whole)
    left = MOST - len(near) - len(special) - len(refused)
    if len(at_cuts) > left:
        at_cuts = [at_cuts[place] for place in random.choice(len(at_cuts), left, replace=False)]
    made = [*near, *special, *at_cuts]
    typical = _typical(columns, max(count // 4, count - len(made) - len(refused)), random)
    rows = [*map(list, examples), *_mixed(typical, made, random), *refused]
    return [_as_row(target, row) for row in rows]


def limits(target: Target, *, examples: Sequence[Sequence[Any]] = (), seed: int = 0) -> list[float]:
    """Return, for each column, the largest absolute value of a number that the rows hold.

    A row beyond it was not compared, apart from those that estimators refuse.
    """
    random = np.random.default_rng(seed)
    inside = stages(target)
    found_cuts = [cuts.of(stage.step, MOST, random) for stage in inside]
    return [one.limit for one in column_values.read(target.kinds, inside, found_cuts, examples)]


def _attempt(make_rows: Callable[[], list[Row]]) -> list[Row]:
    """Return the rows; none if a step of the estimator refuses those that lead to them."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return make_rows()
    except Exception as error:  # noqa: BLE001  # steps raise anything
        _log.debug("rows could not be made: %s", error)
        return []


def _of_stage(
    stage: Stage,
    found: Cuts,
    target: Target,
    columns: Sequence[ColumnValues],
    rows: Sequence[Row],
    random: np.random.Generator,
) -> list[Row]:
    return CutRows(stage, gatherer(target), columns, rows, random).make(found)


def _typical(columns: Sequence[ColumnValues], count: int, random: np.random.Generator) -> list[Row]:
    return list(map(list, zip(*(one.typical(random, count) for one in columns), strict=True)))


def _whole(columns: Sequence[ColumnValues], random: np.random.Generator) -> list[Row]:
    """Return typical rows in which nothing is missing."""
    rows = _typical(columns, 400, random)
    found = [row for row in rows if None not in row]
    fills = [next((one for one in column.special() if one is not None), None) for column in columns]
    filled = [
        [fill if value is None else value for value, fill in zip(row, fills, strict=True)]
        for row in rows
    ]
    return found if len(found) > 50 else filled


def _special(columns: Sequence[ColumnValues], rows: Sequence[Row]) -> list[Row]:
    """Return rows with the special values of each column, alone and with those of the others."""
    listed = [column.special() for column in columns]
    alone = [
        [*rows[turn % len(rows)][:place], value, *rows[turn % len(rows)][place + 1 :]]
        for place, values in enumerate(listed)
        for turn, value in enumerate(values)
    ]
    longest = max(map(len, listed), default=0)
    together = [
        [values[(turn * (place + 1)) % len(values)] for place, values in enumerate(listed)]
        for turn in range(longest)
    ]
    return [*alone[:3000], *together[:500]]


def _refused(columns: Sequence[ColumnValues], rows: Sequence[Row]) -> list[Row]:
    """Return rows with numbers that some estimators refuse, such as those beyond 32 bits."""
    places = [place for place, column in enumerate(columns) if column.is_number]
    found = []
    for turn, number in enumerate(NUMBERS if places else ()):
        place = places[turn % len(places)]
        row = rows[turn % len(rows)]
        found.append([*row[:place], number, *row[place + 1 :]])
    return found


def _mixed(typical: list[Row], made: list[Row], random: np.random.Generator) -> list[Row]:
    """Return all rows in an order that has each kind among the first ones."""
    rows = [*typical, *made]
    return [rows[place] for place in random.permutation(len(rows)).tolist()]


def _as_row(target: Target, row: Row) -> Any:
    """Return a row as the artefact takes it: a list of values without names, else a tuple."""
    is_list = target.form == "array" and target.names == tuple(map(str, range(len(row))))
    return row if is_list else tuple(row)

"""Makes what the methods of an estimator are given, a DataFrame, an array or a list, of rows that
have one value for each column of its compiled form; and reads such rows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.compiled import call_shapes
from modelsync.models.compiled.accepted_calls import LARGEST
from modelsync.models.compiled.call_shapes import CallInputs, Shape

FURTHER = "modelsync_further"
"""The name of a column that no estimator knows."""

Values = list[Any]


class CallTables(CallInputs):
    """Makes tables for one estimator."""

    __slots__ = ()

    def fitting(self, rows: Sequence[Any], shape: Shape) -> list[Any]:
        """Return rows whose values the types of a shape can hold: integers in place of numbers."""
        fitters = [_fitter(shape.dtypes[place]) for place in self.kinds]
        return [tuple(fit(one) for fit, one in zip(fitters, row, strict=True)) for row in rows]

    def make(self, rows: Sequence[Any], shape: Shape) -> Any:
        """Return the table of rows that fit a shape."""
        import numpy as np

        columns: list[Values] = [[0] * len(rows)] * self.width
        for place, values in zip(self.kinds, zip(*rows, strict=True), strict=True):
            columns[place] = list(values)
        made = [
            _column(values, self.kinds.get(place), shape.dtypes[place])
            for place, values in enumerate(columns)
        ]
        if shape.kind == "frame":
            return _frame(made, shape)
        if shape.kind == "list":
            return [list(row) for row in zip(*(one.tolist() for one in made), strict=True)]
        array = np.empty((len(rows), self.width), dtype=shape.dtypes[0])
        for place, one in enumerate(made):
            array[:, place] = one
        return array

    def rows(self, x: Any) -> list[tuple[Any, ...]]:
        """Return the rows of what a call was given; none if it is no table of the columns."""
        import numpy as np

        shape = call_shapes.of(x)
        if shape is None:
            return []
        if self.labels and shape.kind == "frame":
            names = [self.labels[place] for place in self.kinds]
            if not set(names).issubset(shape.labels):
                return []
            listed = [x[name].tolist() for name in names]
        elif len(shape.dtypes) == self.width:
            array = np.asarray(x, dtype=object)
            listed = [array[:, place].tolist() for place in self.kinds]
        else:
            return []
        return [tuple(map(_plain, row)) for row in zip(*listed, strict=True)]


def _frame(columns: list[Any], shape: Shape) -> Any:
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(list(shape.labels) or range(len(columns)))
    if shape.order:
        frame = frame.iloc[:, list(shape.order)]
    if shape.further:
        frame = frame.copy()
        frame.insert(0, FURTHER, 1.5)
    return frame


def _fitter(dtype: str) -> Callable[[Any], Any]:
    """Return what makes a value one that a type can hold."""
    if dtype in ("int64", "int32"):
        largest = LARGEST if dtype == "int64" else 2**31 - 1
        return lambda value: max(-largest, min(largest, round(_number(value))))
    if dtype == "bool":
        return lambda value: _number(value) > 0
    return lambda value: value


def _number(value: Any) -> float:
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if math.isfinite(number) else 0.0


def _column(values: Values, kind: ColumnKind | None, dtype: str) -> Any:
    """Return a column of a type: an array of numpy, or one of pandas' own."""
    import numpy as np

    null = kind.null if kind and kind.dtype != "float64" else math.nan
    filled = [null if value is None else value for value in values]
    if dtype == "category":
        import pandas as pd

        known = list(kind.categories) if kind and kind.dtype == "category" else None
        return pd.Categorical(filled, categories=known)
    if dtype == "object":
        found = np.empty(len(values), dtype=object)
        found[:] = filled
        return found
    if dtype in ("str", "string"):
        import pandas as pd

        return pd.Series(filled, dtype=dtype).array
    return np.array(filled, dtype=dtype)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: None for NaN."""
    if value is None or value != value:
        return None
    return value.item() if hasattr(value, "item") else value

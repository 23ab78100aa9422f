"""Makes what the methods of an estimator are given, a DataFrame, an array or a list, of rows that
have one value for each column of its compiled form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.target import Target

LARGEST = 2.0**53
"""The largest number that is made an integer: up to it all are doubles too."""

INTEGERS = ("int64", "int32", "bool")

FURTHER = "modelsync_further"
"""The name of a column that no estimator knows."""

Values = list[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a call is given. `kind`: what holds the rows. `labels`: those of its columns, or none:
    then they are numbers. `dtypes`: the type of each column, as numpy and pandas name it; of an
    array that of all. `order`: the places of the columns, if not in order.
    """

    kind: Literal["frame", "array", "list"]
    labels: tuple[Any, ...]
    dtypes: tuple[str, ...]
    order: tuple[int, ...] = ()
    further: bool = False


def is_text(kind: ColumnKind) -> bool:
    """Return whether a column holds texts, and nothing else."""
    return kind.dtype == "object" and not _holds_numbers(kind)


def _holds_numbers(kind: ColumnKind) -> bool:
    plain = str(kind.type)
    return "float" in plain or "int" in plain or "bool" in plain


def dtype_of(kind: ColumnKind, text: str) -> str:
    """Return the type of a column in the DataFrame that people make; `text`: that of texts."""
    if kind.dtype == "float64":
        return "float64"
    return text if is_text(kind) else kind.dtype or "object"


def places(target: Target, labels: Sequence[str], width: int) -> tuple[int, ...]:
    """Return where each column of a target is among the inputs of its estimator."""
    if labels:
        return tuple(labels.index(name) for name in target.names)
    return tuple(range(width))


@dataclass(frozen=True, slots=True)
class CallTables:
    """Makes tables of rows for one target, whose columns are at `places` of `width` inputs."""

    target: Target
    places: tuple[int, ...]
    width: int

    def fitting(self, rows: Sequence[Any], shape: Shape) -> list[tuple[Any, ...]]:
        """Return rows whose values the types of a shape can hold: integers in place of numbers."""
        kinds = [_fitter(shape.dtypes[place]) for place in self.places]
        return [tuple(fit(value) for fit, value in zip(kinds, row, strict=True)) for row in rows]

    def make(self, rows: Sequence[Any], shape: Shape) -> Any:
        """Return the table of rows that fit a shape."""
        import numpy as np

        columns: list[Values] = [[0] * len(rows) for _ in range(self.width)]
        kinds: list[ColumnKind | None] = [None] * self.width
        for place, kind, values in zip(
            self.places, self.target.kinds, zip(*rows, strict=True), strict=True
        ):
            columns[place], kinds[place] = list(values), kind
        made = [
            column(values, kind, dtype)
            for values, kind, dtype in zip(columns, kinds, shape.dtypes, strict=True)
        ]
        if shape.kind == "frame":
            return _frame(made, shape)
        if shape.kind == "list":
            return [list(row) for row in zip(*(one.tolist() for one in made), strict=True)]
        array = np.empty((len(rows), self.width), dtype=shape.dtypes[0])
        for place, one in enumerate(made):
            array[:, place] = one
        return array


def _frame(columns: list[Any], shape: Shape) -> Any:
    import pandas as pd

    frame = pd.concat([pd.Series(one) for one in columns], axis=1)
    frame.columns = list(shape.labels) or list(range(len(columns)))
    if shape.order:
        frame = frame.iloc[:, list(shape.order)]
    if shape.further:
        frame = frame.copy()
        frame.insert(0, FURTHER, 1.5)
    return frame


def _fitter(dtype: str) -> Callable[[Any], Any]:
    """Return what makes a value one that a type can hold."""
    if dtype in ("int64", "int32"):
        largest = LARGEST if dtype == "int64" else 2.0**31 - 1
        return lambda value: int(max(-largest, min(largest, round(_number(value)))))
    if dtype == "bool":
        return lambda value: _number(value) > 0
    if dtype == "float32":
        return lambda value: None if value is None else max(-3e38, min(3e38, float(value)))
    return lambda value: value


def _number(value: Any) -> float:
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if math.isfinite(number) else 0.0


def column(values: Values, kind: ColumnKind | None, dtype: str) -> Any:
    """Return a column of a type: an array of numpy, or one of pandas' own."""
    import numpy as np

    null = kind.null if kind and kind.dtype != "float64" else math.nan
    filled = [null if value is None else value for value in values]
    if dtype == "category" and kind and kind.dtype == "category":
        import pandas as pd

        return pd.Categorical(filled, categories=list(kind.categories))
    if dtype == "object":
        found = np.empty(len(values), dtype=object)
        found[:] = filled
        return found
    if dtype in ("str", "string", "category"):
        import pandas as pd

        return pd.array(filled, dtype=dtype) if dtype != "category" else pd.Categorical(filled)
    return np.array(filled, dtype=dtype)


def shape_of(x: Any) -> Shape | None:
    """Return the shape of what a call was given; None for what no form reads."""
    import numpy as np

    name = type(x).__name__
    if name == "DataFrame":
        dtypes = tuple(str(dtype) for dtype in x.dtypes)
        return Shape("frame", tuple(x.columns.tolist()), dtypes)
    if isinstance(x, list):
        try:
            array = np.array(x)
        except ValueError:
            return None
        found = shape_of(array)
        return found and replace(found, kind="list")
    if x.ndim != 2:
        return None
    return Shape("array", (), (str(x.dtype),) * x.shape[1])


def rows_of(x: Any, target: Target, at: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return the rows of what a call was given, with a value for each column of a target."""
    import numpy as np

    shape = shape_of(x)
    if shape is None:
        return []
    if shape.kind == "frame" and set(target.names).issubset(shape.labels):
        listed = [x[name].tolist() for name in target.names]
    else:
        array = np.asarray(x, dtype=object)
        if array.shape[1] <= max(at, default=0):
            return []
        listed = [array[:, place].tolist() for place in at]
    return [tuple(map(_plain, row)) for row in zip(*listed, strict=True)]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: None for NaN."""
    if value is None or value != value:
        return None
    return value.item() if hasattr(value, "item") else value

"""Makes DataFrames, arrays or lists of aligned columns: what `fit` and `predict` take.

pandas and numpy are imported when a model needs them, and only if its environment has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

from modelsync.models.tables.schema import TEXT
from modelsync.models.versions import Column

Wanted = Literal["frame", "polars", "array", "vector", "rows", "records", "columns"]
"""A DataFrame of pandas or polars, an array of shape (rows, columns) or of one dimension, a list of
rows as lists or as dicts, or a dict of columns.
"""


@cache
def has(library: str) -> bool:
    """Return whether the process can import a library."""
    return find_spec(library) is not None


def build(columns: Mapping[str, list[Any]], kinds: Sequence[Column], wanted: Wanted) -> Any:
    """Return what a method takes of these columns, whose types are `kinds`, in their order.

    Without pandas a `frame` is an array, and without numpy an array is a list of rows.
    """
    if wanted == "columns":
        return dict(columns)
    if wanted == "records":
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if wanted == "polars":
        import polars

        return polars.DataFrame(dict(columns))
    if wanted == "frame" and has("pandas"):
        return _frame(columns, kinds)
    if wanted == "rows" or not has("numpy"):
        if wanted == "vector":
            return list(next(iter(columns.values())))
        return [list(row) for row in zip(*columns.values(), strict=True)]
    if wanted == "vector":
        return vector(next(iter(columns.values())), kinds[0])
    return _array(columns, kinds)


def _frame(columns: Mapping[str, list[Any]], kinds: Sequence[Column]) -> Any:
    import pandas as pd

    return pd.DataFrame({kind.name: _series(columns[kind.name], kind) for kind in kinds})


def _series(values: list[Any], kind: Column) -> Any:
    """Return one column as pandas has it; a category that is not known is missing."""
    import pandas as pd

    if kind.dtype == "category":
        known = {str(value): value for value in kind.categories}  # 3 is "3", as in a query
        values = [None if value is None else known.get(str(value)) for value in values]
        return pd.Categorical(values, categories=list(kind.categories))
    if kind.dtype.startswith("datetime64"):
        return _times(values, kind.dtype)
    if kind.dtype == TEXT:
        empty = all(value is None for value in values)
        return pd.Series(values, dtype="object" if empty else None)
    if is_numeric(kind.dtype):
        return vector(values, kind)
    try:
        return pd.Series(values, dtype=kind.dtype or None)
    except (TypeError, ValueError, OverflowError):  # values that the type cannot hold
        return pd.Series(values)


def _times(values: list[Any], dtype: str) -> Any:
    """Return times as pandas has them: of ISO 8601, of dates, of milliseconds since 1970."""
    import pandas as pd

    zone = "," in dtype
    if all(value is None or isinstance(value, str) for value in values):
        found = pd.to_datetime(pd.Series(values, dtype="object"), format="ISO8601", utc=zone)
    elif all(value is None or isinstance(value, date) for value in values):
        found = pd.to_datetime(pd.Series(values, dtype="object"), utc=zone)
    else:
        known = [
            pd.Timestamp(one).value // 10**6 if isinstance(one, str) else one for one in values
        ]
        found = pd.to_datetime(pd.Series(known, dtype="float64"), unit="ms", utc=zone)
    if not zone and found.dt.tz is not None:
        found = found.dt.tz_convert("UTC").dt.tz_localize(None)
    return found.astype(dtype)  # type: ignore[call-overload]


def _array(columns: Mapping[str, list[Any]], kinds: Sequence[Column]) -> Any:
    import numpy as np

    if all(is_numeric(kind.dtype) or not kind.dtype for kind in kinds):
        parts = [vector(columns[kind.name], kind) for kind in kinds]
        if all(part.dtype.kind in "biuf" for part in parts):
            return np.ascontiguousarray(np.column_stack(parts))
    return np.array(list(zip(*columns.values(), strict=True)), dtype=object)


def is_numeric(dtype: str) -> bool:
    """Return whether a column's type is one of numpy's for numbers or booleans."""
    return dtype.startswith(("int", "uint", "float", "bool"))


def vector(values: list[Any], kind: Column) -> Any:
    """Return one column as an array of one dimension; missing numbers are NaN."""
    import numpy as np

    if not kind.dtype:
        found = np.array(values)
        return np.array(values, dtype=np.float64) if _has_null_numbers(found, values) else found
    if kind.dtype == TEXT:
        return np.array(values, dtype=object)
    if not is_numeric(kind.dtype):
        return np.array(values, dtype=object)
    if kind.dtype.startswith("float"):
        return np.array(values, dtype=kind.dtype)
    if None in values or any(isinstance(value, float) and value % 1 for value in values):
        return np.array(values, dtype=np.float64)  # as pandas does: integers know no NaN
    try:
        return np.array(values, dtype=kind.dtype)
    except OverflowError:  # a number that the column's integers cannot hold
        return np.array(values, dtype=np.float64)


def _has_null_numbers(found: Any, values: list[Any]) -> bool:
    return found.dtype == object and not any(isinstance(one, str) for one in values)


def target(
    columns: Mapping[str, list[Any]], kinds: Sequence[Column], wanted: str, *, named: bool
) -> Any:
    """Return what `fit` takes as `y`: a Series or array for one column, else a table.

    `wanted`: what the table of its inputs is. `named`: its columns have names.
    """
    if len(columns) > 1:
        return build(columns, kinds, "frame" if named and wanted == "frame" else "array")
    [values] = columns.values()
    if wanted == "polars":
        import polars

        return polars.Series(kinds[0].name, list(values))
    if wanted in ("rows", "records", "columns") or not has("numpy"):
        return list(values)
    if named and wanted == "frame" and has("pandas"):
        import pandas as pd

        return pd.Series(_series(values, kinds[0]), name=kinds[0].name)
    if kinds[0].dtype == TEXT:
        import numpy as np

        return np.array(values)
    return vector(values, kinds[0])

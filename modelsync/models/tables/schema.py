"""Describes the data that a version is fitted with, so that later tables can be made alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from modelsync.models.tables.table import Table, wrong
from modelsync.models.versions import Column, TableSchema

TEXT = "object"
"""The type of a column of texts, whatever the library that holds them calls it."""

ANY = ""
"""The type of a column of which nothing is known."""

_INT64 = range(-(2**63), 2**63)
_TEXTS = {"object", "str", "string"}

MAX_CATEGORIES = 10_000
"""Categories of a column that are kept; with more they are texts."""


def of_tables(x: Table, y: Table | None) -> TableSchema:
    """Describe training data. Raises VariablesInvalid for columns of several types."""
    columns = tuple(_column(x, name, "x") for name in x)
    form: Literal["frame", "array", "vector"] = "frame" if x.named else "array"
    if x.flat and columns[0].dtype == TEXT:
        form = "vector"
    target = _column(y, next(iter(y)), "y") if y and len(y) == 1 else None
    if target and y and not y.named:
        target = Column("y", target.dtype)
    return TableSchema(form, columns, target)


def columns_of(table: Table, member: str) -> tuple[Column, ...]:
    """Describe the columns of a table. Raises VariablesInvalid for one of several types."""
    return tuple(_column(table, name, member) for name in table)


def _column(table: Table, name: str, member: str) -> Column:
    values = table[name]
    kinds = set(map(type, values))
    nullable = type(None) in kinds
    kinds.discard(type(None))
    if name in table.categories:
        return Column(name, "category", nullable, tuple(table.categories[name]))
    if (dtype := table.dtypes.get(name)) is None:
        dtype = _dtype(values, kinds, f"{member}.{name}")
    return Column(name, dtype, nullable)


def _dtype(values: Sequence[Any], kinds: set[type], place: str) -> str:
    if kinds == {str}:
        return TEXT
    if str in kinds:
        texts = [number for number, value in enumerate(values) if isinstance(value, str)]
        first = values[texts[0]]
        message = f"holds numbers and texts: {len(texts)} of {len(values)} values are texts"
        raise wrong(place, f"{message}, the first is {first[:40]!r} in row {texts[0]}")
    if kinds == {bool}:
        return "bool"
    if not kinds <= {bool, int, float}:  # dates and times, by the schema of the folder
        return "datetime64[us]" if kinds == {datetime} else ANY
    if kinds and float not in kinds and all(one is None or one in _INT64 for one in values):
        return "int64"
    return "float64"


# --- of what libraries hold -----------------------------------------------------------------------


def of_data(x: Any, y: Any = None) -> TableSchema | None:
    """Describe training data that a library holds: a DataFrame, an array; None for others."""
    target = _target(y)
    if hasattr(x, "columns") and hasattr(x, "dtypes") and hasattr(x, "iloc"):
        names = list(map(str, x.columns))
        found = tuple(_series(x.iloc[:, place], name) for place, name in enumerate(names))
        return TableSchema("frame", found, target)
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if dtype is None or not isinstance(shape, tuple) or len(shape) not in (1, 2):
        return None
    kind = TEXT if dtype.kind in "UT" else ANY if dtype.kind == "O" else str(dtype)
    if len(shape) == 1:
        return TableSchema("vector", (Column("0", kind),), target)
    return TableSchema("array", tuple(Column(str(n), kind) for n in range(shape[1])), target)


def _target(y: Any) -> Column | None:
    if hasattr(y, "columns") and hasattr(y, "iloc"):
        return _series(y.iloc[:, 0], str(y.columns[0])) if y.shape[1] == 1 else None
    if hasattr(y, "iloc"):
        return _series(y, str(y.name) if y.name is not None else "y")
    if getattr(y, "ndim", 0) == 1:
        return Column("y", TEXT if y.dtype.kind in "UT" else str(y.dtype))
    return None


def _series(series: Any, name: str) -> Column:
    nullable = bool(series.isna().any())
    dtype = str(series.dtype)
    if dtype == "category":
        categories = series.cat.categories
        if len(categories) > MAX_CATEGORIES:
            return Column(name, TEXT, nullable)
        return Column(name, "category", nullable, tuple(categories.tolist()))
    if dtype in _TEXTS or dtype.startswith("string"):
        from pandas.api.types import infer_dtype

        return Column(name, TEXT if infer_dtype(series, skipna=True) == "string" else ANY, nullable)
    return Column(name, dtype, nullable)


def of_estimator(model: Any) -> TableSchema | None:
    """Describe what a fitted estimator says of its inputs; None if it says nothing."""
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return TableSchema("frame", tuple(Column(str(name), ANY) for name in names))
    count = getattr(model, "n_features_in_", None)
    if isinstance(count, int):
        return TableSchema("array", tuple(Column(str(number), ANY) for number in range(count)))
    return None

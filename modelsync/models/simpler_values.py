"""Simpler values for those of a model's result that orjson does not know.

The table in `results` says what becomes of which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from modelsync import json_text
from modelsync.models import single_precision


def simpler(value: Any) -> Any:
    """Return a simpler value for one that orjson does not know. Raises TypeError without one."""
    for kind, simpler in _SIMPLER:
        if isinstance(value, kind):
            return simpler(value)
    if (dump := getattr(value, "model_dump", None)) and not isinstance(value, type):  # pydantic
        return dump()
    if hasattr(value, "__fields__") and callable(dump := getattr(value, "dict", None)):
        return dump()  # a model of pydantic 1
    name = type(value).__name__
    if name == "NAType":
        return None
    if type(value).__module__ == "numpy" and value.dtype.kind in "Mm":
        # In microseconds numpy gives datetime, timedelta, or None for NaT; in finer units integers.
        return value.astype(f"{value.dtype.kind}8[us]").tolist()
    if name == "DataFrame" and hasattr(value, "columns"):
        is_pandas = hasattr(value, "iloc")  # else it is polars
        return _records(value) if is_pandas else value.to_dicts()
    if single_precision.is_single(value):
        return single_precision.listed(value)
    if callable(tolist := getattr(value, "tolist", None)) and (simple := tolist()) is not value:
        return float(simple) if type(simple) is type(value) else simple
    return _of_library(value)


def _of_library(value: Any) -> Any:
    """Return a simpler value for one of a library's type. Raises TypeError for any other."""
    kind = type(value)
    if is_text(kind):
        return str(value)
    for name in _LISTS:
        if callable(simple := getattr(value, name, None)) and not isinstance(value, type):
            return simple()
    if fields := getattr(kind, "__attrs_attrs__", None):
        return {field.name: getattr(value, field.name) for field in fields}
    raise TypeError(kind.__name__)


_TEXTS = ("Interval", "Period")
_LISTS = ("to_list", "to_pylist", "as_py", "toarray")
"""Methods that give Python's objects: of polars, of Arrow, of matrices of scipy."""


def is_text(kind: type) -> bool:
    """Return whether values of a library's type are written as text."""
    return kind.__name__ in _TEXTS and kind.__module__.partition(".")[0] == "pandas"


def _records(frame: Any) -> list[dict[Any, Any]]:
    """Return a DataFrame as a dict for each row."""
    small = [n for n, dtype in enumerate(frame.dtypes) if single_precision.is_small(dtype)]
    if small:
        frame = frame.copy()
        for place in small:
            frame.isetitem(place, single_precision.listed(frame.iloc[:, place]))
    records: list[dict[Any, Any]] = frame.to_dict("records")
    return records


def _instant(value: datetime | date | time) -> str | None:
    return value.isoformat() if value == value else None  # NaT is the one that differs from itself


def _decimal(value: Decimal) -> json_text.Fragment | None:
    return json_text.Fragment(str(value)) if value.is_finite() else None


def _seconds(value: timedelta) -> float | None:
    return value.total_seconds() if value == value else None


def _sorted(value: AbstractSet[Any]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


_SIMPLER: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((datetime, date, time), _instant),
    (timedelta, _seconds),
    (Decimal, _decimal),
    (float, float),
    (PurePath, str),
    ((bytes, bytearray), lambda value: value.decode()),
    (Mapping, dict),
    (AbstractSet, _sorted),
    ((tuple, deque, range, ValuesView), list),
)

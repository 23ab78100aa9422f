"""Makes rows of columns that are given as arrays, of types for which forms are compared."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any

from modelsync.models.forms.compiled_model import FormColumn, NotProven
from modelsync.models.forms.encoding import MAX_EXACT

_NUMBERS = frozenset({int, float, NoneType})


def rows(columns: Sequence[FormColumn], arrays: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of some arrays. Raises NotProven for one of another type than its column."""
    if len(arrays) != len(columns):
        raise NotProven(f"{len(arrays)} columns, not {len(columns)}")
    listed = [_listed(column, array) for column, array in zip(columns, arrays, strict=True)]
    return list(zip(*listed, strict=True))


def _listed(column: FormColumn, array: Any) -> list[Any]:
    """Return the values of a column. Raises NotProven.

    Numbers of 32 bits are none of those: an estimator computes with them as such.
    """
    values: list[Any] = array.tolist()
    kind = getattr(array.dtype, "kind", "O")
    if column.dtype == "str":
        is_alike = kind in "OTU" and all(map(_is_text, values))
    elif column.dtype == "bool":
        is_alike = kind == "b"
    elif kind in "iu":
        is_alike = all(-MAX_EXACT <= value <= MAX_EXACT for value in values)
    elif kind == "f":
        is_alike = array.dtype.itemsize == 8
    else:
        is_alike = kind == "O" and _NUMBERS.issuperset(map(type, values))
    if not is_alike:
        raise NotProven(f"{column.name} is a column of {array.dtype}")
    return values


def _is_text(value: Any) -> bool:
    """Return whether a value is a text or a missing one."""
    return type(value) is str or value is None or (type(value) is float and value != value)

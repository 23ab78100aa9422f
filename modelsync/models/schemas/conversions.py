"""Makes values of JSON, or texts, the Python types of columns.

| type | Python | taken |
|---|---|---|
| int | int of 64 bits | a number without a fraction, a boolean, a text that is such a number |
| float | float, finite | a number, a boolean, a text that is a number |
| str | str | a text |
| bool | bool | a boolean, 0 and 1, and as a text also yes, no, on, off, y, n, t, f |
| date, time, datetime | of `datetime`, without a zone | a text in the column's format, else of |
| | | ISO 8601; dates also as milliseconds since 1970, as pandas and JavaScript write them |
| category | str, int, float | a text or a number; of its allowed values also `3` for `"3"` |

A time with a zone is converted to UTC. In all types but str and category an empty text is a missing
value, and so is NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from modelsync.models.data_schema import ColumnRule, ColumnType

Convert = Callable[[Any], Any]
"""Returns a value as the column's type, None for one that is missing. Raises Unfit."""

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""The limits of an int, as pandas and Arrow hold it."""

_EPOCH = datetime(1970, 1, 1)
# Tuples: a union would be made anew for each value.
_NUMBERS = (int, float)
_SCALARS = (str, int, float)
# Without two ways to read the same digits: else a long text that is no number takes quadratic time.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII).fullmatch
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII).fullmatch
# Eight digits are a date of ISO 8601, such as 20260131.
_MILLISECONDS = re.compile(r"-?\d{9,}", re.ASCII).fullmatch

_BOOLS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


class Unfit(Exception):
    """A value that does not fit its column."""


def converter(rule: ColumnRule) -> Convert:
    """Return what converts the values of a column."""
    if rule.type == "category":
        return _member_of(members(rule)) if rule.allowed else _category
    if rule.format:
        return _in_format(rule.type, rule.format)
    return iso(rule.type)


def iso(kind: ColumnType) -> Convert:
    """Return what converts values of a type, in which texts of times are in ISO 8601."""
    return _CONVERTERS[kind]


def python_type(rule: ColumnRule) -> type | None:
    """Return the type of values that need no conversion; None if each must be looked at."""
    if rule.type == "category":
        kinds = set(map(type, members(rule))) or {str}
        return kinds.pop() if len(kinds) == 1 else None
    return _TYPES.get(rule.type)


def dtype(rule: ColumnRule) -> str:
    """Return the type that pandas has for a column, as `models.versions.Column` names it; empty
    where pandas holds Python's objects.
    """
    if rule.type == "bool" and rule.nullable:
        return ""
    return _DTYPES.get(rule.type, "")


# --- numbers and booleans -------------------------------------------------------------------------


def _int(value: Any) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if not _WHOLE(text):
            value = _number(text)
        elif len(text) <= 40:  # 2^63 has 19 digits; a text of a million takes long
            return int(text)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int):
        return int(value)
    if value is None or value != value:
        return None
    raise Unfit


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        value = _number(value.strip())
    if value is None or value != value:
        return None
    if not isinstance(value, _NUMBERS):
        raise Unfit
    try:
        found = float(value)
    except OverflowError:
        raise Unfit from None
    if math.isfinite(found):
        return found
    raise Unfit


def _number(text: str) -> float | None:
    """Return the number that a text is, None for an empty one or NaN. Raises Unfit."""
    if not text or text.lower() == "nan":
        return None
    if not _NUMBER(text):  # Python's float also takes `1_000` and `infinity`
        raise Unfit
    return float(text)


def _bool(value: Any) -> bool | None:
    if isinstance(value, str):
        text = value.strip().lower()
        if not text:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
    elif isinstance(value, _NUMBERS) and value in (0, 1):
        return bool(value)
    raise Unfit


# --- texts and categories -------------------------------------------------------------------------


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unfit


def _category(value: Any) -> str | int | float | None:
    if isinstance(value, bool) or not isinstance(value, _SCALARS):
        raise Unfit
    return value if value == value else None


def members(rule: ColumnRule) -> tuple[Any, ...]:
    """Return the values that a category takes, and its fill value: as texts, if one is a text."""
    found = rule.allowed
    if found and rule.fill is not None and rule.fill not in found:
        found = (*found, rule.fill)
    return tuple(map(str, found)) if any(isinstance(one, str) for one in found) else found


def _member_of(allowed: tuple[Any, ...]) -> Convert:
    """Return what finds the allowed value that a value is, or that has the same text."""
    members = {value: value for value in allowed}
    by_text = {str(value): value for value in allowed}

    def member(value: Any) -> Any:
        value = _category(value)
        if value is None or value == "":
            return members.get(value)
        if value in members:
            return members[value]
        if (text := str(value)) in by_text:
            return by_text[text]
        raise Unfit

    return member


# --- dates and times ------------------------------------------------------------------------------


def _date(value: Any) -> date | None:
    if isinstance(value, str):
        text = value.strip()
        if not _MILLISECONDS(text):
            try:
                return date.fromisoformat(text) if text else None
            except ValueError:
                value = text  # midnight of a day, as JavaScript and pandas write it
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    found = _datetime(value)
    if found is None or found.time() == time():
        return found and found.date()
    raise Unfit


def _time(value: Any) -> time | None:
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value.strip()) if value.strip() else None
        except ValueError:
            raise Unfit from None
    if value is None or (isinstance(value, time) and value.tzinfo is None):
        return value
    raise Unfit


def _datetime(value: Any) -> datetime | None:
    """Return the instant of a text in ISO 8601, or of milliseconds since 1970. Raises Unfit."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if not _MILLISECONDS(text):
            try:
                return _without_zone(datetime.fromisoformat(text))
            except ValueError:
                raise Unfit from None
        value = float(text)
    if isinstance(value, datetime):
        return _without_zone(value)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise Unfit
    if value != value:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise Unfit from None


def _without_zone(value: datetime) -> datetime:
    try:
        return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # in the year 1 or 9999
        raise Unfit from None


def _in_format(kind: ColumnType, form: str) -> Convert:
    """Return what reads texts in a format of strptime; a value that is no text is taken as ever."""
    other = iso(kind)

    def parse(value: Any) -> Any:
        if not isinstance(value, str) or not value.strip():
            return other(value)
        try:
            found = datetime.strptime(value.strip(), form)
        except ValueError:
            raise Unfit from None
        if kind == "time":
            return found.time()
        found = _without_zone(found)
        return found.date() if kind == "date" else found

    return parse


_TYPES: dict[ColumnType, type] = {"int": int, "float": float, "str": str, "bool": bool}

_DTYPES: dict[ColumnType, str] = {
    "int": "int64",
    "float": "float64",
    "str": "object",
    "bool": "bool",
    "datetime": "datetime64[us]",
}
"""As pandas makes them of Arrow's types, in which training data is read."""

_CONVERTERS: dict[ColumnType, Convert] = {
    "int": _int,
    "float": _float,
    "str": _str,
    "bool": _bool,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "category": _category,
}

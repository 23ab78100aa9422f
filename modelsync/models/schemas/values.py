"""The values that `schema.yml` names: of a fill, a range, a list of what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from modelsync.models.data_schema import COLUMN_TYPES, ColumnRule, ColumnType

ALIASES: dict[str, ColumnType] = {
    "integer": "int", "int32": "int", "int64": "int", "bigint": "int",
    "number": "float", "numeric": "float", "double": "float", "float32": "float",
    "float64": "float", "decimal": "float", "real": "float",
    "string": "str", "text": "str", "object": "str", "varchar": "str",
    "boolean": "bool", "timestamp": "datetime", "datetime64": "datetime",
    "categorical": "category", "enum": "category", "factor": "category",
}  # fmt: skip

TIMES: dict[ColumnType, Any] = {"date": date, "time": time, "datetime": datetime}
"""The types of dates and times, and of Python."""

NUMBERS = ("int", "float")

EXPECTED: dict[ColumnType, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "date": "a date, YYYY-MM-DD",
    "time": "a time, HH:MM:SS",
    "datetime": "a date and time, YYYY-MM-DDTHH:MM:SS",
    "category": "a text or a number",
}


def type_of(name: str) -> ColumnType | None:
    """Return the type of a name in any case, also of its usual other names; None if unknown."""
    lower = name.lower()
    return next((one for one in COLUMN_TYPES if one == lower), None) or ALIASES.get(lower)


def typed(kind: ColumnType, value: Any, written: str) -> Any:
    """Return a value of the file as one of the column's type, with which JSON can hold it.

    `value` is what YAML takes it for, `written` the text in the file, which counts for texts:
    01234 and `no` stay as they are. Raises ValueError.
    """
    if kind == "str":
        return written
    if kind == "category":
        return written if isinstance(value, bool | date) or value is None else value
    if kind in TIMES:
        return TIMES[kind].fromisoformat(written).isoformat()
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in NUMBERS and not isinstance(value, bool | date):
        number = value if isinstance(value, int) else float(written)  # YAML: 1e3 is a text
        if kind == "float":
            return float(number)
        if int(number) == number:
            return int(number)
    raise ValueError


def is_nan(value: Any) -> bool:
    """Return whether a value is the float that is no number."""
    return isinstance(value, float) and math.isnan(value)


def contradictions(rule: ColumnRule) -> Iterator[tuple[str, str]]:
    """Yield the keys of a column that cannot hold, and why."""
    ordered = rule.type in (*NUMBERS, *TIMES)
    for key, bound in ("min", rule.minimum), ("max", rule.maximum):
        if bound is not None and not ordered:
            yield key, f"{key} is for numbers, dates and times, not for type {rule.type}"
    if None not in (rule.minimum, rule.maximum) and ordered and rule.minimum > rule.maximum:
        yield "min", f"min {rule.minimum} is greater than max {rule.maximum}"
    if rule.pattern and rule.type not in ("str", "category"):
        yield "pattern", f"a pattern is for texts, not for type {rule.type}"
    try:
        re.compile(rule.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield "pattern", f"the pattern is no regular expression: {error}"
    if rule.format and rule.type not in TIMES:
        yield "format", f"a format is for dates and times, not for type {rule.type}"
    if rule.format and "%" not in rule.format:
        yield "format", f"expected a format such as %d.%m.%Y, came {rule.format!r}"
    yield from _not_allowed(rule)


def _not_allowed(rule: ColumnRule) -> Iterator[tuple[str, str]]:
    """Yield allowed values that the other rules of the column exclude."""
    for value in rule.allowed:
        below = rule.minimum is not None and value < rule.minimum
        if below or (rule.maximum is not None and value > rule.maximum):
            yield "allowed", f"allowed has {value!r}, which is outside of min and max"
    if len(set(rule.allowed)) < len(rule.allowed):
        twice = next(one for one in rule.allowed if rule.allowed.count(one) > 1)
        yield "allowed", f"allowed has {twice!r} twice"

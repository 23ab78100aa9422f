"""Says in words what a column takes, and what has come in place of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from modelsync import json_text
from modelsync.models.data_schema import ColumnRule, ColumnType
from modelsync.models.tables.table import kind_of

MAX_SHOWN = 40
"""Characters of a value that a message shows."""

MAX_LISTED = 20
"""Allowed values that a message lists."""

SAMPLE = datetime(2026, 1, 31, 12, 30)
"""The date and time of samples."""

_KINDS: dict[ColumnType, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "date": "a date",
    "time": "a time",
    "datetime": "a date and time",
    "category": "a text or a number",
}


def expected(rule: ColumnRule) -> str:
    """Return what a column takes, such as `a number from 0 to 120, or null`."""
    text = _KINDS[rule.type]
    if rule.allowed:
        text = f"one of {', '.join(map(shown, rule.allowed[:MAX_LISTED]))}"
        if len(rule.allowed) > MAX_LISTED:
            text += f" or {len(rule.allowed) - MAX_LISTED} more"
    elif rule.type in ("date", "time", "datetime"):
        text += f" such as {sample_time(rule)}"
        if rule.format:
            text += f", in the format {rule.format}"
    text += limits(rule)
    if rule.pattern:
        text += f" that matches {rule.pattern}"
    return f"{text}, or null" if rule.takes_missing else text


def limits(rule: ColumnRule) -> str:
    """Return what a column's values must lie between; empty without limits."""
    low, high = map(_plain, (rule.minimum, rule.maximum))
    if low is None:
        return "" if high is None else f" of at most {high}"
    return f" of at least {low}" if high is None else f" from {low} to {high}"


def _plain(limit: Any) -> Any:
    """Return 120 for 120.0, as people write it."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def sample_time(rule: ColumnRule) -> str:
    """Return a date or time that a column takes, as a request has it."""
    found: Any = SAMPLE
    if rule.type != "datetime":
        found = SAMPLE.date() if rule.type == "date" else SAMPLE.time()
    made = type(found).fromisoformat
    if rule.minimum is not None:
        found = max(found, made(rule.minimum))
    if rule.maximum is not None:
        found = min(found, made(rule.maximum))
    return str(found.strftime(rule.format) if rule.format else found.isoformat())


def shown(value: Any) -> str:
    """Return a value as JSON writes it, a long one cut off; of lists and objects only the kind."""
    if isinstance(value, list | dict):
        return kind_of(value)
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        value = f"{value[:MAX_SHOWN]}…"
    if value is None or isinstance(value, str | int | float):
        return json_text.dump_lossy(value).decode()
    return str(value)


def meant(name: Any, known: Iterable[Any]) -> str:
    """Return a question whether another name or value was meant; empty if none is near."""
    if not isinstance(name, str):
        return ""
    texts = [one for one in known if isinstance(one, str)]
    folded = {_folded(one): one for one in reversed(texts)}
    close = difflib.get_close_matches(_folded(name), folded, n=1)
    return f"; did you mean {shown(folded[close[0]])}?" if close else ""


def _folded(text: str) -> str:
    return text[:MAX_SHOWN].strip().casefold().replace("-", "_").replace(" ", "_")


def misspelt(name: str, given: Sequence[str]) -> str:
    """Return which of the given names differs from `name` by its case, blanks or hyphens alone."""
    return next((one for one in given if _folded(one) == _folded(name)), "")

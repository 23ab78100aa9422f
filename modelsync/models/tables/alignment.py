"""Brings the table of a request into the columns, and the types, that a version was fitted with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any

from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.models.tables.table import Table, kind_of, shown, wrong
from modelsync.models.versions import Column, TableSchema

MAX_FIELDS = 100
"""Wrong columns that an answer names."""

Columns = dict[str, list[Any]]


def align(table: Table, schema: TableSchema | None) -> Columns:
    """Return the columns that the version takes, in its order; others are dropped.

    Raises VariablesInvalid, which names the columns that are missing or of another type.
    """
    if schema is None or not schema.columns:
        return _unknown(table)
    columns = _picked(table, schema)
    failed: list[InvalidField] = []
    for column in schema.columns:
        if (convert := _converter(column.dtype)) is None:
            continue
        values = columns[column.name]
        try:
            columns[column.name] = convert(values)
        except _Unfit as unfit:
            message = unfit.message(values, column)
            failed.append(InvalidField(table.field(column.name), message))
    _refuse(failed)
    return columns


def _unknown(table: Table) -> Columns:
    """Return the columns as they came; of a flat table of numbers, which is one row, one each."""
    [*first] = next(iter(table.values()))
    if table.flat and not any(isinstance(value, str) for value in first):
        return {str(place): [value] for place, value in enumerate(first)}
    return dict(table)


def _picked(table: Table, schema: TableSchema) -> Columns:
    member = table.member
    names = [column.name for column in schema.columns]
    if table.flat:
        return _unfolded(table["0"], names, member)
    missing = [name for name in names if name not in table] if table.named else names
    if not missing:
        return {name: table[name] for name in names}
    if table.named and schema.form == "frame":
        known = f"{len(names)} columns; these are missing: {shown(missing)}"
        message = f"is missing; the model was fitted with {known}"
        _refuse([InvalidField(table.field(name), message) for name in missing])
    if len(table) != len(names):  # without names, an extra value is a mistake in all
        taken = f"{len(names)} columns" if schema.form != "frame" else shown(names)
        raise wrong(member, f"its rows have {len(table)} values; the model takes {taken}")
    return dict(zip(names, table.values(), strict=True))


def _unfolded(values: list[Any], names: Sequence[str], member: str) -> Columns:
    """Return the columns of a flat list: a column if the model takes one, else a row."""
    if len(names) == 1:
        return {names[0]: values}
    if len(values) != len(names):
        raise wrong(
            member,
            f"is a list of {len(values)} values; a row has {len(names)}: {shown(names)}",
        )
    return {name: [value] for name, value in zip(names, values, strict=True)}


def _refuse(failed: Sequence[InvalidField]) -> None:
    if len(failed) > MAX_FIELDS:
        more = InvalidField("variables", f"{len(failed) - MAX_FIELDS} more columns do not fit")
        raise VariablesInvalid([*failed[:MAX_FIELDS], more])
    if failed:
        raise VariablesInvalid(failed)


# --- values ---------------------------------------------------------------------------------------


class _Unfit(Exception):
    """Values that are not of the column's type; `wanted` names it."""

    def __init__(self, wanted: str, fits: Callable[[Any], bool]) -> None:
        super().__init__()
        self.wanted = wanted
        self.fits = fits

    def message(self, values: Sequence[Any], column: Column) -> str:
        """Return what is wrong: how many values, and the first of them."""
        bad = [place for place, value in enumerate(values) if not self.fits(value)]
        value = values[bad[0]]
        came = f"row {bad[0]} is {kind_of(value)}"
        if isinstance(value, str):
            came += f", {value[:40]!r}"
        count = f"; {len(bad)} of {len(values)} values do not fit" if len(values) > 1 else ""
        return f"takes {self.wanted}: {came}{count}"


_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str, type(None)})
_BOOLS = frozenset({bool, type(None)})


def _numbers(values: list[Any]) -> list[Any]:
    """Take numbers, also as texts."""
    if _NUMBERS.issuperset(map(type, values)):
        return values
    try:
        return [_number(value) if isinstance(value, str) else value for value in values]
    except ValueError:
        raise _Unfit("numbers", _is_number) from None


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            _number(value)
        except ValueError:
            return False
    return True


def _texts(values: list[Any]) -> list[Any]:
    if _TEXTS.issuperset(map(type, values)):
        return values
    if any(isinstance(value, date | time) for value in values):  # by the schema of the folder
        return _texts([one.isoformat() if isinstance(one, date | time) else one for one in values])
    raise _Unfit("texts", lambda value: value is None or isinstance(value, str))


def _bools(values: list[Any]) -> list[Any]:
    """Take booleans, also as 0 and 1."""
    if _BOOLS.issuperset(map(type, values)):
        return values
    if all(_is_bool(value) for value in values):
        return [value if value is None else bool(value) for value in values]
    raise _Unfit("booleans", _is_bool)


def _is_bool(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and value in (0, 1))


def _times(values: list[Any]) -> list[Any]:
    """Take times as texts of ISO 8601, or as milliseconds since 1970, as pandas writes them."""
    if all(_is_time(value) for value in values):
        return values
    raise _Unfit("times: texts of ISO 8601, or milliseconds since 1970", _is_time)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return not isinstance(value, bool)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _converter(dtype: str) -> Callable[[list[Any]], list[Any]] | None:
    """Return what checks and converts values of this type of numpy or pandas; None for any."""
    name = dtype.lower()
    if name.startswith(("int", "uint", "float")):
        return _numbers
    if name in ("bool", "boolean"):
        return _bools
    if name.startswith("datetime64"):
        return _times
    return _texts if name == "object" else None

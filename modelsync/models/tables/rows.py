"""Makes tables of lists and objects, as `parsing` describes them."""

from __future__ import annotations

from typing import Any

from modelsync.models.tables.table import Table, by_rows, kind_of, shown, wrong

WANTED = "send a list of rows, or an object with a list for each column"
"""The end of messages about something that is no table."""


def read_object(value: dict[str, Any], name: str, *, series: bool) -> Table:
    """Return the table of an object with a list for each column, or with the values of one row.

    `series`: single values are those of one column, by their labels.
    """
    lists = [key for key, item in value.items() if isinstance(item, list)]
    if len(lists) == len(value) and value:
        return Table(_even(value, name), named=True)
    if lists:
        other = next(key for key in value if key not in lists)
        message = f"is {kind_of(value[other])}, but {shown(lists)} hold lists; send a list for each"
        raise wrong(f"{name}.{other}", message)
    if series:
        return Table({"0": list(value.values())}, named=False, flat=True, index=list(value))
    return Table({key: [item] for key, item in value.items()}, named=True)


def _even(columns: dict[str, list[Any]], name: str) -> dict[str, list[Any]]:
    if len({len(values) for values in columns.values()}) > 1:
        found = [f"{key} has {len(values)}" for key, values in columns.items()]
        raise wrong(name, f"its columns have different numbers of values: {shown(found)}")
    return columns


def read_list(value: list[Any], name: str) -> Table:
    """Return the table of a list of rows, of objects, or of single values."""
    lists = sum(isinstance(item, list) for item in value)
    objects = sum(isinstance(item, dict) for item in value)
    if lists == len(value) and value:
        return _rows(value, name)
    if objects == len(value) and value:
        return Table(_records(value), named=True)
    if not lists and not objects:
        return Table({"0": list(value)}, named=False, flat=True)
    odd = next(i for i, item in enumerate(value) if type(item) is not type(value[0]))
    message = f"row 0 is {kind_of(value[0])}, row {odd} is {kind_of(value[odd])}; {WANTED}"
    raise wrong(name, message)


def _rows(rows: list[list[Any]], name: str) -> Table:
    width = len(rows[0])
    ragged = [number for number, row in enumerate(rows) if len(row) != width]
    if ragged:
        first = ragged[0]
        message = f"row 0 has {width} values, row {first} has {len(rows[first])}"
        raise wrong(name, f"{message}; {len(ragged)} of {len(rows)} rows differ from the first")
    return Table(by_rows(rows), named=False)


def _records(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(key for record in records for key in record)
    return {key: [record.get(key) for record in records] for key in names}

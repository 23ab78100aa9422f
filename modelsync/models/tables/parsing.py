"""Makes tables of the forms in which people send rows as JSON.

| value | is |
|---|---|
| `[[1, 2], [3, 4]]` | rows |
| `[{"a": 1}, {"a": 2}]` | rows with names; what one lacks is missing |
| `{"a": [1, 2], "b": [3, 4]}` | columns |
| `{"a": 1, "b": 3}` | one row |
| `[1, 2]` | a column, or one row: the version that is asked decides |
| what `DataFrame.to_json(orient=...)` writes, also as a text in JSON | `orients` reads it |
"""

from __future__ import annotations

from typing import Any

from modelsync import json_text
from modelsync.models.tables import orients, rows
from modelsync.models.tables.rows import WANTED
from modelsync.models.tables.table import Table, kind_of, wrong


def parse(value: Any, name: str, orient: str = "", *, series: bool = False) -> Table:
    """Return the table that a member of a request, of this `name`, holds.

    `orient` is what the request says of its form; empty if it says nothing. `series`: it is one
    column, so that an object of single values has a label for each. Raises VariablesInvalid.
    """
    as_text = isinstance(value, str)
    if as_text:
        value = _parsed(value, name)
    if orient:
        table = orients.read(value, name, orient, series=series)
    else:
        table = _recognized(value, name, series=series)
    _check(table, name)
    table.as_text = as_text
    if as_text or orient:
        table.orient = orients.named(orient or "columns")
    return table


def _parsed(text: str, name: str) -> Any:
    try:
        return json_text.loads(text)
    except json_text.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        message = f"is a text, but no JSON ({error.msg} at {place}); {WANTED}"
        raise wrong(name, message) from None


def _recognized(value: Any, name: str, *, series: bool) -> Table:
    if isinstance(value, dict):
        if orient := orients.recognize(value):
            return orients.read(value, name, orient, series=series)
        return rows.read_object(value, name, series=series)
    if isinstance(value, list):
        return rows.read_list(value, name)
    raise wrong(name, f"is {kind_of(value)}; {WANTED}")


def _check(table: Table, name: str) -> None:
    """Refuse a table without rows or columns, and one whose values are no single values."""
    if not table:
        raise wrong(name, f"has no columns; {WANTED}")
    if not table.rows:
        raise wrong(name, f"has no rows; {WANTED}")
    for key, values in table.items():
        kinds = set(map(type, values))
        if not kinds.isdisjoint((list, dict)):
            number, value = next(
                (number, value)
                for number, value in enumerate(values)
                if isinstance(value, list | dict)
            )
            message = f"row {number} holds {kind_of(value)}; a table has one value in each place"
            raise wrong(f"{name}.{key}", message)

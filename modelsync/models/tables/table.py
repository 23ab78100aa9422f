"""A table as it came in JSON: columns by name, in pure Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from modelsync.errors import InvalidField, VariablesInvalid

Form = Literal["x", "data", "rows", "variables"]
"""How a request holds its rows, which decides how it is answered: `{"x": ...}`, `{"data": {column:
[...]}}`, `{"data": [...]}` or, one row, `{"variables": {...}}`.
"""

Orient = Literal["split", "records", "index", "columns", "values", "table", "list"]
"""The forms in which pandas writes a DataFrame as JSON, and `list`, one of its to_dict."""

MAX_SHOWN = 10
"""Names and numbers that a message lists."""


class Table(dict[str, list[Any]]):
    """Columns by name, each a list of as many values; without names they are `0`, `1` and so on.

    `flat`: it came as one list of values, which is a column or one row; the version that is asked
    decides. `form` is how the request holds it, `key` which version is asked for. `orient`: the
    form of pandas in which the answer is expected, empty for none; `as_text`: as a text with JSON.
    `index`: the labels of the rows, None if they have none. `dtypes`: those that the sender gave,
    or the schema of the folder. `categories`: all values of some columns, by that schema.
    """

    __slots__ = (
        "as_text", "categories", "dtypes", "flat", "form", "index", "key", "named", "orient",
    )  # fmt: skip

    def __init__(
        self,
        columns: Mapping[str, list[Any]],
        *,
        named: bool,
        flat: bool = False,
        index: Sequence[Any] | None = None,
        dtypes: Mapping[str, str] | None = None,
        categories: Mapping[str, tuple[Any, ...]] | None = None,
    ) -> None:
        super().__init__(columns)
        self.named = named
        self.flat = flat
        self.index = index
        self.dtypes = dtypes or {}
        self.categories = categories or {}
        self.form: Form = "x"
        self.key = ""
        self.orient: Orient | Literal[""] = ""
        self.as_text = False

    @property
    def member(self) -> str:
        """The member of the body that holds the rows."""
        return "data" if self.form in ("data", "rows") else "x"

    def field(self, column: str) -> str:
        """Return how an error names a column."""
        return column if self.form == "variables" else f"{self.member}.{column}"

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return len(next(iter(self.values()), ()))

    def without(self, name: str) -> Table:
        """Return the same table without one column."""
        columns = {key: values for key, values in self.items() if key != name}
        return Table(
            columns,
            named=self.named,
            index=self.index,
            dtypes=self.dtypes,
            categories=self.categories,
        )

    def with_columns(self, columns: Mapping[str, list[Any]]) -> Table:
        """Return a table of the same request with other columns, which have names."""
        found = Table(
            columns,
            named=True,
            index=self.index,
            dtypes=self.dtypes,
            categories=self.categories,
        )
        found.form, found.key = self.form, self.key
        found.orient, found.as_text = self.orient, self.as_text
        return found


def by_rows(rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the columns of rows that have as many values, named by their numbers."""
    return {str(number): list(values) for number, values in enumerate(zip(*rows, strict=True))}


def wrong(name: str, message: str) -> VariablesInvalid:
    """Return the error for a part of a table that cannot be used."""
    return VariablesInvalid([InvalidField(name, message)])


def kind_of(value: object) -> str:
    """Return what JSON calls a value, with an article."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def shown(names: Sequence[object]) -> str:
    """Return names for a message, of many only the first ones."""
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(str(name)[:60] for name in names[:MAX_SHOWN]) + more

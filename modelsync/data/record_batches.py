"""The record batches of a source: the columns that are asked for, in types that models take, in
pieces of bounded size.
"""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.conforming import conformed
from modelsync.data.typed_columns import arrow_type
from modelsync.errors import DataInvalid
from modelsync.models.data_schema import ColumnRule, DataSchema

BATCH_BYTES = 16 * 1024**2
"""Bytes of a batch, about: the model's process holds it as a table besides, and its own copies."""

MAX_ROWS = 1_000_000
"""Rows of a batch."""

SHOWN = 30
"""Columns that a message lists."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the data: `columns` of x (none: all others), and those that are y.

    `rules`: what `schema.yml` says of columns. If `columns` are none, x are its features.
    """

    columns: tuple[str, ...]
    target: tuple[str, ...]
    rules: DataSchema | None = None

    def rule(self, name: str) -> ColumnRule | None:
        """Return the rule of a column, None if it has none."""
        return next((one for one in self.known if one.name == name), None)

    @property
    def known(self) -> tuple[ColumnRule, ...]:
        """The rules of the columns that are asked for."""
        rules = self.rules.columns if self.rules else ()
        asked = (*self.target, *self.columns)
        return tuple(one for one in rules if not self.columns or one.name in asked)

    def choose(self, schema: pa.Schema, place: str) -> pa.Schema:
        """Return the columns that a source delivers, x before y, in the types that models take.

        Raises DataInvalid if `schema`, which is that of `place`, lacks one. One that has a rule is
        left out instead, so that a check can tell of it.
        """
        refuse_twins(schema, place)
        for name in (*self.target, *self.columns):
            if name not in schema.names and self.rule(name) is None:
                self._refuse(name, schema, place)
        x = [name for name in self._features(schema) if name not in self.target]
        if not x and not self.rules:
            raise DataInvalid(f"{place} has no column besides the target: x would be empty")
        names = [name for name in (*x, *self.target) if name in schema.names]
        return pa.schema([(name, self._type(name, schema.field(name).type)) for name in names])

    def require(self, schema: pa.Schema, place: str) -> None:
        """Raise DataInvalid if `schema`, which is that of `place`, lacks a column with a rule."""
        for rule in self.known:
            if rule.name not in schema.names and (rule.name in self.target or not rule.target):
                self._refuse(rule.name, schema, place)

    def _refuse(self, name: str, schema: pa.Schema, place: str) -> NoReturn:
        role = "target: " if name in self.target else ""
        raise DataInvalid(f"{role}{unknown_column(name, schema.names, place)}")

    def _features(self, schema: pa.Schema) -> Sequence[str]:
        if self.columns or not self.rules:
            return self.columns or _without_index(schema)
        return [one.name for one in self.rules.features]

    def _type(self, name: str, came: pa.DataType) -> pa.DataType:
        rule = self.rule(name)
        return arrow_type(rule, came) if rule else plain_type(came)


def refuse_twins(schema: pa.Schema, place: str) -> None:
    """Raise DataInvalid if two columns have the same name."""
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise DataInvalid(f"{place} has two columns of the name {twice!r}")


def _without_index(schema: pa.Schema) -> list[str]:
    """Return the names of all columns but those of a pandas index, which is no column there."""
    try:
        index = (schema.pandas_metadata or {}).get("index_columns", [])
    except ValueError:
        index = []
    return [name for name in schema.names if name not in index]


def unknown_column(name: str, columns: list[str], place: str) -> str:
    """Return the message that a column is missing: what is there, and what may be meant."""
    shown = ", ".join(columns[:SHOWN]) + (", …" if len(columns) > SHOWN else "")
    return f"{place} has no column {name!r}{meant(name, columns)}; it has {shown}"


def meant(name: str, columns: Sequence[str]) -> str:
    """Return the hint which of some columns may be meant; empty if none is near."""
    by_lower = {one.strip().lower(): one for one in columns}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    if not near:
        return ""
    found = by_lower[near[0]]
    return f" (is {found if found == found.strip() else repr(found)} meant?)"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which models get a column: the same in each batch.

    Decimals become floats, dates become times at midnight, categories, which each batch would
    number anew, their values; a column without any value is one of numbers.
    """
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return pa.float64()
    if pa.types.is_date(kind):
        return pa.timestamp("us")
    return kind


def selected(
    batch: pa.RecordBatch, schema: pa.Schema, wanted: Wanted, row: int, place: str
) -> pa.RecordBatch:
    """Return the columns of `schema` in its types, those with rules as `schema.yml` says.

    `row`: the number of the first one. Raises DataInvalid if a column cannot be converted.
    """
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            raise DataInvalid(unknown_column(field.name, batch.schema.names, place))
        column = batch.column(index)
        if rule := wanted.rule(field.name):
            column = conformed(column, rule, place=place, row=row)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataInvalid(
                f"{place}: column {field.name!r}: expected {field.type} as in the first rows, came "
                f"{column.type} ({first_line(error)})"
            ) from None
    return pa.record_batch(columns, schema=schema)


def shaped(
    read: Iterable[tuple[int, pa.RecordBatch]],
    schema: pa.Schema,
    wanted: Wanted,
    skip: int,
    place: str,
) -> Generator[pa.RecordBatch, None, int]:
    """Make batches for a model of those of a file or query, without the first `skip` rows.

    `read` has them with the number of their first row. Returns the number of all rows. Raises
    DataInvalid for a column of another type, and for a row without a target.
    """
    end = 0
    for row, batch in read:
        end = row + batch.num_rows
        if end <= skip:
            continue
        first = max(row, skip)
        made = selected(batch.slice(first - row), schema, wanted, first, place)
        _check_target(made, wanted.target, first, place)
        size = rows_for(made)
        for start in range(0, made.num_rows, size):
            yield made.slice(start, size)
    return end


def _check_target(batch: pa.RecordBatch, target: Iterable[str], row: int, place: str) -> None:
    for name in target:
        missing = pc.is_null(batch.column(name), nan_is_null=True)
        at = pc.index(missing, True).as_py()
        if at >= 0:
            raise DataInvalid(
                f"target: column {name!r} has no value in row {row + at + 1:,} of {place}: "
                "expected one in each; leave such rows out, by a query for instance"
            )


def rows_for(sample: pa.RecordBatch, wanted: int = 0) -> int:
    """Return how many rows like these make a batch of so many bytes, else of `BATCH_BYTES`."""
    if not sample.num_rows:
        return MAX_ROWS
    size = max(1, int(sample.nbytes))
    return max(1, min(MAX_ROWS, (wanted or BATCH_BYTES) * int(sample.num_rows) // size))


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return str(error).strip().partition("\n")[0][:300]

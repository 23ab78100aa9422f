"""The record batches of a source: the columns that are asked for, in types that models take, in
pieces of bounded size.
"""

from __future__ import annotations

import difflib
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.errors import DataInvalid

BATCH_BYTES = 16 * 1024**2
"""Bytes of a batch, about: the model's process holds it as a table besides, and its own copies."""

MAX_ROWS = 1_000_000
"""Rows of a batch."""

SHOWN = 30
"""Columns that a message lists."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the data: `columns` of x (none: all others), and those that are y."""

    columns: tuple[str, ...]
    target: tuple[str, ...]

    def choose(self, schema: pa.Schema, place: str) -> pa.Schema:
        """Return the columns that a source delivers, x before y, in the types that models take.

        Raises DataInvalid if `schema`, which is that of `place`, lacks one.
        """
        refuse_twins(schema, place)
        for name in (*self.target, *self.columns):
            if name not in schema.names:
                role = "target: " if name in self.target else ""
                raise DataInvalid(f"{role}{unknown_column(name, schema.names, place)}")
        offered = self.columns or _without_index(schema)
        x = [name for name in offered if name not in self.target]
        if not x:
            raise DataInvalid(f"{place} has no column besides the target: x would be empty")
        fields = [pa.field(name, plain_type(schema.field(name).type)) for name in x]
        fields += [pa.field(name, plain_type(schema.field(name).type)) for name in self.target]
        return pa.schema(fields)


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
    by_lower = {one.lower(): one for one in columns}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    shown = ", ".join(columns[:SHOWN]) + (", …" if len(columns) > SHOWN else "")
    hint = f" (is {by_lower[near[0]]} meant?)" if near else ""
    if len(columns) == 1 and ";" in columns[0]:
        hint = " (expected commas between the columns, not semicolons)"
    return f"{place} has no column {name!r}{hint}; it has {shown}"


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


def conform(batch: pa.RecordBatch, schema: pa.Schema, place: str) -> pa.RecordBatch:
    """Return the columns of `schema`, in its types. Raises DataInvalid if one cannot be cast."""
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            raise DataInvalid(unknown_column(field.name, batch.schema.names, place))
        column = batch.column(index)
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
    target: Iterable[str],
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
        made = conform(batch, schema, place).slice(max(0, skip - row))
        _check_target(made, target, max(row, skip), place)
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


def rows_for(sample: pa.RecordBatch) -> int:
    """Return how many rows like these make a batch."""
    if not sample.num_rows:
        return MAX_ROWS
    size = max(1, int(sample.nbytes))
    return max(1, min(MAX_ROWS, BATCH_BYTES * int(sample.num_rows) // size))


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return str(error).strip().partition("\n")[0][:300]

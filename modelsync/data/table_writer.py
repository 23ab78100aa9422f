"""Fills a table: the rows of one day take the place of those that it had of that day before.

In PostgreSQL the table is made by its first day, and each day is one transaction. Without a
database a table is a folder of Parquet files, one a day.
"""

from __future__ import annotations

import filecmp
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv, parquet

from modelsync.data import sources
from modelsync.data.data_database import DataDatabase, driver_text
from modelsync.data.record_batches import first_line
from modelsync.data.table_source import DAY, DataTable, arrow_type, split
from modelsync.errors import DataInvalid
from modelsync.files import storage
from modelsync.settings import Settings

Batches = Iterable[pa.RecordBatch]

OURS = "modelsync_"
"""How the names of the store's tables begin."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a day has brought: how many `rows`. `added`: columns that the table did not have before;
    `absent`: those of the table that the day lacks, whose values are missing.
    """

    rows: int
    added: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def replace_day(table: str, day: date, batches: Batches, settings: Settings) -> Filled:
    """Write the rows of a day, in place of those it had. A day without rows changes nothing.

    Raises DataInvalid if `table` is no name of a table that may be filled, or its columns cannot
    hold the rows; StoreUnavailable, StorageFailed. Then the table is as it was.
    """
    _require_name(table)
    rows = iter(batches)
    first = next((one for one in rows if one.num_rows), None)
    if first is None:
        return Filled(0)
    if not first.schema.names:
        raise DataInvalid("incoming: the data has no column")
    rest = chain([first], rows)
    if (database := DataDatabase.find(settings)) and not _is_folder(table, settings):
        with database.writing(f"to fill table {table}") as connection:
            return _replace_rows(table, day, first.schema, rest, connection)
    return _replace_file(sources.table_folder(settings) / table, day, first.schema, rest)


def _require_name(table: str) -> None:
    """Hold to it that a table is one: its name is also that of a folder. Raises DataInvalid."""
    if not sources.TABLE.fullmatch(table):
        raise DataInvalid(
            f"table: expected a name such as titanic or shop.titanic, came {table!r:.100}"
        )
    if split(table)[1].lower().startswith(OURS):  # the data may be in the store's database
        raise DataInvalid(f"table: {table} is a table of modelsync itself: take another name")


def _is_folder(table: str, settings: Settings) -> bool:
    """Whether a table is a folder of MODELSYNC_DATA, which a source finds before the database."""
    return any((settings.training.data / table).glob("*.parquet"))


# --- a folder -------------------------------------------------------------------------------------


def _replace_file(folder: Path, day: date, schema: pa.Schema, batches: Batches) -> Filled:
    """Write a file, and give it its name when it is whole."""
    file = folder / f"{day.isoformat()}.parquet"
    partial = folder / f".{file.name}.{secrets.token_hex(4)}"
    others = sorted(one for one in folder.glob("*.parquet") if one != file)
    rows = 0
    try:
        with storage():
            folder.mkdir(parents=True, exist_ok=True)
            with parquet.ParquetWriter(partial, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch.cast(schema))
                    rows += batch.num_rows
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            if not (file.exists() and filecmp.cmp(partial, file, shallow=False)):
                partial.rename(file)  # else it keeps its time, so that nothing counts as changed
    finally:
        partial.unlink(missing_ok=True)
    before = parquet.read_schema(others[-1]).names if others else schema.names
    added = tuple(name for name in schema.names if name not in before)
    return Filled(rows, added, tuple(name for name in before if name not in schema.names))


# --- a database -----------------------------------------------------------------------------------


def _replace_rows(
    name: str, day: date, schema: pa.Schema, batches: Batches, connection: sa.Connection
) -> Filled:
    """Replace the rows of a day in the transaction of `connection`; make the table if needed."""
    schema = pa.schema([field for field in schema if field.name != DAY])
    if connection.dialect.name == "postgresql":  # two runs that fill one table come one by one
        lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        connection.execute(lock, {"name": f"modelsync {name}"})
    found = DataTable.read(name, connection)
    added: tuple[str, ...] = ()
    if found is None:
        _create(name, schema, connection)
        found = DataTable(*split(name), {one.name: _held(one.type) for one in schema})
    else:
        added = _extend(found, schema, connection)
    table = sa.table(found.name, sa.column(DAY, sa.Date), schema=found.schema)
    connection.execute(sa.delete(table).where(table.c[DAY] == day))
    wanted = pa.schema(
        [(one.name, found.columns.get(one.name) or _held(one.type)) for one in schema]
    )
    write = _copy if connection.dialect.name == "postgresql" else _insert
    rows = write(found, day, wanted, _cast(found.name, wanted, batches), connection)
    absent = tuple(one for one in found.columns if one not in schema.names and one != DAY)
    return Filled(rows, added, absent)


def _create(name: str, schema: pa.Schema, connection: sa.Connection) -> None:
    place, table = split(name)
    columns = [sa.Column(one.name, _sql_type(one.type)) for one in schema]
    day = sa.Column(DAY, sa.Date, nullable=False, index=True)
    sa.Table(table, sa.MetaData(), day, *columns, schema=place).create(connection)


def _extend(found: DataTable, schema: pa.Schema, connection: sa.Connection) -> tuple[str, ...]:
    """Add the columns that a table lacks; return their names."""
    quote = connection.dialect.identifier_preparer
    place = quote.format_table(sa.table(found.name, schema=found.schema))
    fields = [one for one in schema if one.name not in found.columns]
    new = [(one.name, _sql_type(one.type)) for one in fields]
    if DAY not in found.columns:
        new.insert(0, (DAY, sa.Date()))
    for name, kind in new:
        column = f"{quote.quote(name)} {kind.compile(connection.dialect)}"
        change = driver_text(f"ALTER TABLE {place} ADD COLUMN {column}", connection)
        connection.exec_driver_sql(change, execution_options={"no_parameters": True})
    return tuple(one.name for one in fields)


def _cast(table: str, schema: pa.Schema, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Bring batches into the types of the table. Raises DataInvalid where values would be lost."""
    for batch in batches:
        columns = []
        for field in schema:
            column = batch.column(field.name)
            try:
                columns.append(_plain(column).cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DataInvalid(
                    f"incoming: column {field.name!r} is {column.type}, and {field.type} in table "
                    f"{table} ({first_line(error)}): ALTER the table, or correct the data"
                ) from None
        yield pa.record_batch(columns, schema=schema)


def _plain(column: pa.Array) -> pa.Array:
    """Return lists and structs as JSON."""
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        return pa.array([None if one is None else json.dumps(one, default=str) for one in values])
    return column


def _copy(
    table: DataTable, day: date, schema: pa.Schema, batches: Batches, connection: sa.Connection
) -> int:
    """Write rows by COPY ... FROM STDIN, as CSV: a text without quotes is missing if it is empty.

    https://www.postgresql.org/docs/current/sql-copy.html
    """
    quote = connection.dialect.identifier_preparer
    place = quote.format_table(sa.table(table.name, schema=table.schema))
    listed = ", ".join(quote.quote(name) for name in (DAY, *schema.names))
    command = driver_text(f"COPY {place} ({listed}) FROM STDIN (FORMAT csv)", connection)
    options = csv.WriteOptions(include_header=False, quoting_style="all_valid")
    driver: Any = connection.connection.driver_connection
    rows = 0
    with (
        _as_sqlalchemy(connection, command),
        driver.cursor() as cursor,
        cursor.copy(command) as copy,
    ):
        for batch in batches:
            days = pa.repeat(pa.scalar(day, pa.date32()), batch.num_rows)
            whole = pa.record_batch([days, *batch.columns], names=[DAY, *schema.names])
            text = io.BytesIO()
            csv.write_csv(whole, text, options)
            copy.write(text.getbuffer())
            rows += batch.num_rows
    return rows


@contextmanager
def _as_sqlalchemy(connection: sa.Connection, command: str) -> Iterator[None]:
    """Raise the driver's errors as those of SQLAlchemy, which are told apart in one place."""
    dbapi: Any = connection.dialect.dbapi
    try:
        yield
    except dbapi.Error as error:
        raise sa.exc.DBAPIError.instance(
            command, (), error, dbapi.Error, hide_parameters=True, dialect=connection.dialect
        ) from None


def _insert(
    table: DataTable, day: date, schema: pa.Schema, batches: Batches, connection: sa.Connection
) -> int:
    """Write rows by INSERT."""
    columns = [sa.column(one.name, _sql_type(one.type)) for one in schema]
    into = sa.table(table.name, sa.column(DAY, sa.Date), *columns, schema=table.schema)
    rows = 0
    for batch in batches:
        values = [{DAY: day, **row} for row in batch.to_pylist()]
        if values:
            connection.execute(sa.insert(into), values)
        rows += len(values)
    return rows


def _sql_type(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    """Return the type of a column for values of an Arrow type: text for the JSON of nested ones."""
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=kind.tz is not None)
    return next((made for is_of, made in _TYPES if is_of(kind)), sa.Text())


def _held(kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a table that we make holds values of another."""
    return arrow_type(_sql_type(kind))


_TYPES: tuple[tuple[Any, sa.types.TypeEngine[Any]], ...] = (
    (pa.types.is_boolean, sa.Boolean()),
    (pa.types.is_integer, sa.BigInteger()),
    (pa.types.is_floating, sa.Double()),
    (pa.types.is_decimal, sa.Double()),
    (pa.types.is_null, sa.Double()),
    (pa.types.is_date, sa.Date()),
    (pa.types.is_time, sa.Time()),
)

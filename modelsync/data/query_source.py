"""A SQL query as a source: rows of a cursor on the server, in a transaction that only reads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import cached_property, partial
from itertools import chain
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from modelsync.data.data_database import DataDatabase
from modelsync.data.record_batches import Wanted, first_line, rows_for, shaped
from modelsync.errors import DataInvalid
from modelsync.fitting.row_hash import fingerprint

SAMPLE = 1000
"""Rows from which the types of the columns are inferred, and the size of a row."""

PLACE = "the query"

_STREAM = {"stream_results": True, "no_parameters": True}  # no_parameters: % is no placeholder

_ORDERED = re.compile(r"\border\s+by\b(?!.*\))", re.IGNORECASE | re.DOTALL)


class QuerySource:
    """The rows of one SELECT.

    It is `resumable` with an ORDER BY alone: without it the rows come in any order. `rows` is not
    known: counting them would run the query twice.
    """

    rows = None
    tells_changes = False
    tells_rows = True

    def __init__(
        self, query: str, wanted: Wanted, database: DataDatabase, place: str = PLACE
    ) -> None:
        """Ask the database for the columns. Raises DataInvalid and StoreUnavailable.

        `place`: what messages call it.
        """
        self.text = query
        self.name = place
        self._query = query.strip().rstrip(";").rstrip()
        self._wanted = wanted
        self._database = database
        self.target = wanted.target
        self.resumable = bool(_ORDERED.search(self._query))
        # Whoever may train may run any query, in a transaction that only reads.
        described = f"SELECT * FROM (\n{self._query}\n) AS modelsync_source WHERE 1 = 0"  # noqa: S608
        with self._rows(described) as rows:
            names = list(rows.keys())
        wanted.choose(pa.schema([(name, pa.null()) for name in names]), place)

    @property
    def digest(self) -> str:
        """Return the digest of the query: whether its rows have changed nobody knows."""
        return hashlib.sha256(repr((self._query, self._wanted)).encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return a digest of the rows, whatever their order; PostgreSQL takes it by itself."""
        with self._database.reading() as connection:
            if connection.dialect.name == "postgresql":
                found = connection.exec_driver_sql(
                    "SELECT count(*), sum(hashtextextended(modelsync_source::text, 0)::numeric) "  # noqa: S608
                    f"FROM (\n{self._query}\n) AS modelsync_source",
                    execution_options=_STREAM,
                ).one()
                return hashlib.sha256(repr(tuple(map(str, found))).encode()).hexdigest()
        return fingerprint(self.raw())

    @cached_property
    def columns(self) -> pa.Schema:
        """Return all columns, in the types of the first rows. Raises as `batches` does."""
        with self._rows(self._query) as rows:
            return self._types(_batch(rows.fetchmany(SAMPLE), list(rows.keys()), None))

    @cached_property
    def schema(self) -> pa.Schema:
        """Return the columns of the batches. Raises as `batches` does."""
        return self._wanted.choose(self.columns, self.name)

    def batches(self, skip: int = 0) -> Iterator[pa.RecordBatch]:
        """Read all rows but the first `skip`, as `DataSource.batches` says."""
        self._wanted.require(self.columns, self.name)
        with closing(self._read()) as read:
            yield from shaped(read, self.schema, self._wanted, skip, self.name)

    def raw(self) -> Iterator[pa.RecordBatch]:
        """Read all rows, as `DataSource.raw` says."""
        with closing(self._read()) as read:
            for _, batch in read:
                yield batch

    def _read(self) -> Generator[tuple[int, pa.RecordBatch], None, None]:
        """Read batches of the columns that are wanted, with the numbers of their first rows."""
        with self._rows(self._query) as rows:
            names = list(rows.keys())
            first = rows.fetchmany(SAMPLE)
            sample = _batch(first, names, None)
            known = self._types(sample)
            kinds = pa.schema(
                [known.field(name) for name in self._wanted.choose(known, self.name).names]
            )
            parts = chain([first], iter(partial(rows.fetchmany, rows_for(sample)), []))
            row = 0
            for part in parts:
                yield row, _batch(part, names, kinds)
                row += len(part)

    def _types(self, sample: pa.RecordBatch) -> pa.Schema:
        """Return the columns, whose types the first rows tell."""
        return sample.schema

    @contextmanager
    def _rows(self, query: str) -> Iterator[sa.CursorResult[Any]]:
        """Run a query in a transaction that only reads. Raises DataInvalid, StoreUnavailable."""
        with self._database.reading(self.name) as connection:
            yield connection.exec_driver_sql(query, execution_options=_STREAM)


def _batch(
    rows: Sequence[sa.Row[Any]], names: list[str], schema: pa.Schema | None
) -> pa.RecordBatch:
    """Return rows as a batch: in the types of `schema`, or in those of the rows without one.

    Raises DataInvalid if a value has another type.
    """
    wanted = schema.names if schema else names
    arrays = []
    for name in wanted:
        index = names.index(name)
        values = [_value(row[index]) for row in rows]
        kind = schema.field(name).type if schema else None
        try:
            try:
                arrays.append(pa.array(values, kind))
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                arrays.append(pa.array(values))  # cast by `conform`, or refused there
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataInvalid(
                f"{PLACE}: column {name!r} has values of several types: expected "
                f"{kind or 'one type'} ({first_line(error)}); CAST it in the query"
            ) from None
    return pa.record_batch(arrays, names=wanted)


def _value(value: Any) -> Any:
    """Return what pyarrow takes: JSON, UUIDs and the like as text."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str)
    if value is None or isinstance(value, _KNOWN):
        return value
    if isinstance(value, Decimal):
        return float(value)
    return value if type(value).__module__ == "datetime" else str(value)


_KNOWN = (bool, int, float, str, bytes)

"""A table of the database of training data as a source: its rows in the order in which they were
written, without the column that says which day has brought them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from modelsync.data.data_database import DataDatabase, driver_text
from modelsync.data.query_source import QuerySource
from modelsync.data.record_batches import Wanted
from modelsync.errors import DataInvalid

DAY = "modelsync_date"
"""The column of a table that says which day has brought a row."""


class DataTable:
    """A table, or a view, that exists: where it is, and its columns by name, as Arrow types."""

    def __init__(
        self, schema: str | None, name: str, columns: Mapping[str, pa.DataType | None]
    ) -> None:
        self.schema = schema
        self.name = name
        self.columns = columns

    @classmethod
    def find(cls, name: str, database: DataDatabase) -> DataTable | None:
        """Return the table of that name, else of that name in lower case, None without either.

        Raises DataInvalid and StoreUnavailable.
        """
        with database.reading(f"table {name}") as connection:
            return cls.read(name, connection)

    @classmethod
    def read(cls, name: str, connection: sa.Connection) -> DataTable | None:
        """Do as `find` on a connection."""
        inspector = sa.inspect(connection)
        for candidate in dict.fromkeys((name, name.lower())):
            schema, table = split(candidate)
            try:
                columns = inspector.get_columns(table, schema)
            except sa.exc.NoSuchTableError:
                continue
            if columns:
                kinds = {str(one["name"]): arrow_type(one["type"]) for one in columns}
                return cls(schema, table, kinds)
        return None


def split(name: str) -> tuple[str | None, str]:
    """Return schema and table of a name, which a dot may separate."""
    schema, _, table = name.rpartition(".")
    return schema or None, table


class TableSource(QuerySource):
    """All rows of one table. Its `digest` changes with the rows."""

    tells_changes = True

    def __init__(self, text: str, table: DataTable, wanted: Wanted, database: DataDatabase) -> None:
        """Raise DataInvalid and StoreUnavailable, as `QuerySource` does."""
        self._table = table
        with database.reading(f"table {text}") as connection:
            query, ordered = _query(table, connection)
        super().__init__(query, wanted, database, f"table {text}")
        self.text = text
        self.resumable = ordered

    @cached_property
    def digest(self) -> str:
        """Return the digest of the rows, and of the columns that are wanted."""
        return f"{super().digest[:16]}{self.fingerprint()[:48]}"

    def _types(self, sample: pa.RecordBatch) -> pa.Schema:
        # By the table's own types: the first rows may lack all values of a column.
        known = self._table.columns
        return pa.schema([(one.name, known.get(one.name) or one.type) for one in sample.schema])


def _query(table: DataTable, connection: sa.Connection) -> tuple[str, bool]:
    """Return the query of a table, and whether it has the same rows in the same order each time.

    Raises DataInvalid for a table without columns of its own.
    """
    names = [name for name in table.columns if name != DAY]
    if not names:
        raise DataInvalid(f"source: table {table.name} has no column")
    place = _place(table, connection)
    order = [DAY] if DAY in table.columns else []
    order += place
    listed: list[sa.ColumnElement[Any]] = [sa.column(name) for name in names]
    query = sa.select(*listed).select_from(sa.table(table.name, schema=table.schema))
    if order:
        query = query.order_by(*(sa.literal_column(one) for one in order))
    return driver_text(str(query.compile(connection)), connection), bool(place)


def _place(table: DataTable, connection: sa.Connection) -> list[str]:
    """Return the hidden columns that say where a row stands: none of a view or a foreign table."""
    if connection.dialect.name == "sqlite":
        names = sa.inspect(connection).get_table_names(table.schema)
        return ["rowid"] if table.name in names else []
    if connection.dialect.name != "postgresql":
        return []
    quoted = connection.dialect.identifier_preparer.format_table(
        sa.table(table.name, schema=table.schema)
    )
    found = connection.execute(
        sa.text("SELECT relkind FROM pg_class WHERE oid = to_regclass(:name)"), {"name": quoted}
    ).scalar()
    return {"r": ["ctid"], "m": ["ctid"], "p": ["tableoid", "ctid"]}.get(str(found), [])


_ARROW: tuple[tuple[type[sa.types.TypeEngine[Any]], pa.DataType], ...] = (
    (sa.Boolean, pa.bool_()),
    (sa.Integer, pa.int64()),
    (sa.Float, pa.float64()),
    (sa.Numeric, pa.float64()),
    (sa.Date, pa.date32()),
    (sa.Time, pa.time64("us")),
    (sa.String, pa.string()),
)


def arrow_type(kind: sa.types.TypeEngine[Any]) -> pa.DataType | None:
    """Return the Arrow type of a column's values, None where these tell it."""
    if isinstance(kind, sa.DateTime):
        return pa.timestamp("us", "UTC" if kind.timezone else None)
    return next((found for known, found in _ARROW if isinstance(kind, known)), None)

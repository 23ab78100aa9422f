"""Engines of SQLAlchemy: where the database is, and how a transaction begins.

SQLite and PostgreSQL behave the same above this module: a reading transaction sees one state of the
database, and writing transactions come one after another. So a check and the change that it allows
are never apart, without a lock for each row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from modelsync.errors import SettingsError
from modelsync.settings.secret import Secret
from modelsync.store import sqlite
from modelsync.store.location import database_file


def parse_url(raw: str, home: Path) -> URL:
    """Return where the database is; `raw` is empty for the file in the state directory.

    Raises SettingsError, whose text holds nothing of `raw`.
    """
    if not raw:
        return URL.create("sqlite", database=str(database_file(home)))
    try:
        url = make_url(raw)
        if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
            return url.set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        pass
    else:
        if url.drivername == "sqlite" and url.database not in {None, "", ":memory:"}:
            return url
    raise SettingsError(
        "MODELSYNC_DATABASE_URL must be postgresql://user:password@host/name, or "
        "sqlite:////path/of/a/file"
    )


def make_engine(secret: Secret, home: Path) -> Engine:
    """Return an engine, which connects when it is used. Raises SettingsError."""
    url = parse_url(secret.read(), home)
    if url.drivername == "sqlite":
        return sqlite.make(url)
    from modelsync.store import postgresql  # its driver is an extra

    return postgresql.make(lambda: parse_url(secret.read(), home))


def begin_reading(engine: Engine) -> Connection:
    """Connect for a transaction that sees one state of the database."""
    if engine.dialect.name == "sqlite":
        return engine.connect()
    return engine.connect().execution_options(isolation_level="REPEATABLE READ")


def begin_writing(engine: Engine) -> tuple[Connection, datetime]:
    """Connect and begin the only writing transaction; return its time by the database's clock."""
    connection = engine.connect().execution_options(**{sqlite.WRITES: True})
    try:
        connection.begin()
        if engine.dialect.name == "sqlite":  # its clock is that of this machine
            return connection, datetime.now(UTC)
        from modelsync.store.postgresql import LOCK

        # One round trip: the lock is waited for before the clock is read.
        query = text(f"SELECT pg_advisory_xact_lock({LOCK}), clock_timestamp()")
        return connection, connection.execute(query).one()[1].astimezone(UTC)
    except BaseException:
        connection.close()
        raise

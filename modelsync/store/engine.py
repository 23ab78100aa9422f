"""Engines of SQLAlchemy: how each kind of database is connected, and how a transaction begins.

SQLite and PostgreSQL behave the same above this module: a reading transaction sees one state of the
database, and writing transactions come one after another. So a check and the change that it allows
are never apart, without a lock for each row.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from modelsync.errors import SettingsError
from modelsync.settings.secret import Secret
from modelsync.store.location import database_file

SETTING = "MODELSYNC_DATABASE_URL"
BUSY = 10.0
"""Seconds that a transaction waits for the one that is writing."""

_LOCK = 0x6D6F64656C  # any number that no other program takes for its advisory lock
_WRITES = "modelsync_writes"


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
        if url.drivername == "sqlite" and url.database:
            return url
    raise SettingsError(
        f"{SETTING} must be postgresql://user:password@host/name, or sqlite:////path of a file"
    )


def make_engine(secret: Secret, home: Path) -> Engine:
    """Return an engine, which connects when it is used. Raises SettingsError."""
    url = parse_url(secret.read(), home)
    if url.drivername == "sqlite":
        return _sqlite(url)
    return _postgresql(url, secret, home)


def begin_reading(engine: Engine) -> Connection:
    """Connect for a transaction that sees one state of the database."""
    if engine.dialect.name == "sqlite":
        return engine.connect()
    return engine.connect().execution_options(isolation_level="REPEATABLE READ")


def begin_writing(engine: Engine) -> tuple[Connection, datetime]:
    """Connect and begin the only writing transaction; return its time by the database's clock."""
    connection = engine.connect().execution_options(**{_WRITES: True})
    try:
        connection.begin()
        if engine.dialect.name == "sqlite":  # its clock is that of this machine
            return connection, datetime.now(UTC)
        # One round trip: the lock is waited for before the clock is read.
        query = text(f"SELECT pg_advisory_xact_lock({_LOCK}), clock_timestamp()")
        return connection, connection.execute(query).one()[1].astimezone(UTC)
    except BaseException:
        connection.close()
        raise


# --- SQLite ---------------------------------------------------------------------------------------


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY}, pool_timeout=BUSY
    )

    @event.listens_for(engine, "do_connect")
    def _(dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the transactions are ours, not the driver's
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, once: readers never wait for a writer.

    While several processes do this to a new file SQLite answers that it is locked, at once.
    """
    deadline = time.monotonic() + BUSY
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",):
                return
            raise sqlite3.OperationalError("unable to open a write-ahead log")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


# --- PostgreSQL -----------------------------------------------------------------------------------

_CONNECTING = {
    "connect_timeout": "4",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "modelsync",
}
"""Seconds, but milliseconds for the user timeout: a server whose machine is gone is given up."""

_SESSION = (
    "SET lock_timeout = '10s'; SET statement_timeout = '60s'; "
    "SET idle_in_transaction_session_timeout = '60s'"
)
"""A process that is stopped in the middle of a transaction must not stop all others."""


def _postgresql(url: URL, secret: Secret, home: Path) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_timeout=BUSY,
        connect_args={"prepare_threshold": None},  # a pooler like PgBouncer gives any connection
    )

    @event.listens_for(engine, "do_connect")
    def _(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        # The URL may come from a file that has been rotated: it is read for each connection.
        now = parse_url(secret.read(), home)
        given, found = dialect.create_connect_args(now)
        arguments[:] = given
        options.clear()
        options.update({**_CONNECTING, "prepare_threshold": None, **found})

    @event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        connection.execute(_SESSION)
        connection.commit()

    return engine

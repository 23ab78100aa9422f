"""SQLite, the database of one machine: one file, which all its processes open."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

WRITES = "modelsync_writes"
"""The execution option of a connection that is going to write."""

_BUSY = 10.0
"""Seconds that a transaction waits for the one that is writing."""


def make(url: URL) -> Engine:
    """Return an engine, which connects when it is used."""
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY}, pool_timeout=_BUSY
    )

    @event.listens_for(engine, "do_connect")
    def _(dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        file = Path(url.database or "")
        file.parent.mkdir(parents=True, exist_ok=True)
        # It holds training data. Only a new file is opened here: closing one that is in use would
        # release the locks that this process has on it.
        with suppress(FileExistsError):
            file.touch(0o600, exist_ok=False)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # the transactions are ours, not the driver's
        connection.execute("PRAGMA auto_vacuum=FULL")  # of a new file: it shrinks again
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # Without IMMEDIATE a transaction that has read may find that it cannot write any more.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, once: readers never wait for a writer.

    While several processes do this to a new file SQLite answers that it is locked, at once.
    """
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",):
                return
            raise sqlite3.OperationalError("unable to open a write-ahead log")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)

"""The database of the store: reading and writing transactions, and what is raised without it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from modelsync.errors import SettingsError, StoreUnavailable
from modelsync.settings.secret import Secret
from modelsync.store import migration
from modelsync.store.diagnostics import reason
from modelsync.store.engine import begin_reading, begin_writing, make_engine, parse_url

_log = logging.getLogger(__name__)


class Database:
    """One database, used from any thread and, after a fork, from any process.

    It is connected and migrated at its first use. Raises SettingsError if the URL is malformed;
    the transactions raise StoreUnavailable if the database does not answer.
    """

    def __init__(self, url: Secret, home: Path) -> None:
        self._url, self._home = url, home
        # A connection belongs to the process that opened it. A child leaves those of its parent
        # alone, open: closing them would end the parent's sessions too.
        self._engines: dict[int, Engine] = {}
        self._migrated = False
        parse_url(url.read(), home)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, from its first query on."""
        with self._available():
            self._migrate()
            with begin_reading(self._engine) as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[tuple[Connection, datetime]]:
        """Give a connection and the time: all of the block is done or nothing, and writing
        transactions of all processes come one after another.
        """
        with self._available():
            self._migrate()
            connection, now = begin_writing(self._engine)
            with connection:
                yield connection, now
                connection.commit()

    def close(self) -> None:
        """Close the connections of this process; the next use connects again."""
        if engine := self._engines.pop(os.getpid(), None):
            engine.dispose()

    @property
    def _engine(self) -> Engine:
        pid = os.getpid()
        if (engine := self._engines.get(pid)) is None:
            engine = self._engines.setdefault(pid, make_engine(self._url, self._home))
        return engine

    def _migrate(self) -> None:
        if not self._migrated:
            migration.migrate(self._engine)
            self._migrated = True

    @contextmanager
    def _available(self) -> Iterator[None]:
        """Turn the errors of a database that does not answer into StoreUnavailable."""
        try:
            yield
        except IntegrityError:
            raise  # a fault of ours
        except (DBAPIError, PoolTimeout, OSError, SettingsError, ImportError) as error:
            self._migrated = False  # whatever comes back may be another one
            words = _words(error)
            _log.debug("%s", words, exc_info=error)
            raise StoreUnavailable(f"the store of trained models is away: {words}") from None


def _words(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "PostgreSQL needs psycopg: install modelsync[postgres]"
    if isinstance(error, SettingsError):
        return "the setting of its database cannot be read"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"its database does not answer, {reason(cause)}"

"""The database of training data: MODELSYNC_DATA_URL, else the PostgreSQL of the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from modelsync.data.record_batches import first_line
from modelsync.errors import DataInvalid, StoreUnavailable
from modelsync.observability.redaction import redacted
from modelsync.settings import Settings

_ANSWERS_NOT = (exc.InterfaceError, exc.TimeoutError)


class DataDatabase:
    """Connections to the database, one for each use. All raise DataInvalid for what it refuses,
    and StoreUnavailable if it does not answer.
    """

    def __init__(self, url: sa.URL) -> None:
        self._url = url

    @classmethod
    def find(cls, settings: Settings) -> DataDatabase | None:
        """Return the database of the settings, None if none is set. Raises DataInvalid."""
        text = settings.training.data_url.read()
        if not text:
            text = settings.store.database_url.read()
            if not text.startswith(("postgres:", "postgresql")):
                return None
        try:
            url = sa.make_url(text)
        except exc.ArgumentError:
            raise DataInvalid("source: MODELSYNC_DATA_URL is no URL of a database") from None
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg")
        return cls(url)

    @classmethod
    def require(cls, settings: Settings) -> DataDatabase:
        """Return the database of the settings. Raises DataInvalid if none is set."""
        if (found := cls.find(settings)) is None:
            raise DataInvalid(
                "source: a query needs a database: set MODELSYNC_DATA_URL, such as "
                "postgresql://reader:password@host/name"
            )
        return found

    @contextmanager
    def reading(self, what: str = "the query") -> Iterator[sa.Connection]:
        """Give a connection that only reads, and sees one state of the database.

        `what`: that which the database may refuse, in messages.
        """
        with self._errors(what), self._engine().connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(
                    postgresql_readonly=True, isolation_level="REPEATABLE READ"
                )
            elif connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            elif connection.dialect.name in {"mysql", "mariadb"}:
                connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                connection.rollback()
            yield connection

    @contextmanager
    def writing(self, what: str) -> Iterator[sa.Connection]:
        """Give a connection in a transaction: all of the block is done, or nothing."""
        with self._errors(what), self._engine().begin() as connection:
            yield connection

    def _engine(self) -> sa.Engine:
        return sa.create_engine(
            self._url, poolclass=NullPool, hide_parameters=True, connect_args=_options(self._url)
        )

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (exc.NoSuchModuleError, ImportError) as error:
            raise DataInvalid(f"source: no driver for this database: {first_line(error)}") from None
        except exc.DBAPIError as error:
            said = redacted(first_line(error.orig or error))
            if error.connection_invalidated or isinstance(error, _ANSWERS_NOT) or _is_away(error):
                raise StoreUnavailable(
                    f"the database of training data does not answer: {said}"
                ) from None
            raise DataInvalid(f"source: the database refuses {what}: {said}") from None


def driver_text(text: str, connection: sa.Connection) -> str:
    """Return SQL that was compiled or quoted as a driver takes it without parameters: in SQL for
    some drivers each `%` is doubled.
    """
    doubles = connection.dialect.paramstyle in {"format", "pyformat"}
    return text.replace("%%", "%") if doubles else text


def _options(url: sa.URL) -> dict[str, Any]:
    """Return the driver's options with which a server that is gone is given up."""
    if url.drivername == "postgresql+psycopg":
        return {"connect_timeout": 5, "keepalives_idle": 30, "application_name": "modelsync"}
    return {}


def _is_away(error: exc.DBAPIError) -> bool:
    """Whether it has failed before the query: a driver's OperationalError without an SQLSTATE."""
    state = getattr(error.orig, "sqlstate", None)
    text = str(error.orig).lower()
    return isinstance(error, exc.OperationalError) and (
        (state is None and ("connect" in text or "resolve" in text or "refused" in text))
        or (state or "")[:2] in {"08", "57"}
    )

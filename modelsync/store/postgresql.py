"""PostgreSQL, the database of several replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

T = TypeVar("T")

LOCK = 0x6D6F64656C
"""The advisory lock of who writes: any number that no other program takes."""

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
    "SET lock_timeout = '10s'; SET statement_timeout = '20s'; "
    "SET idle_in_transaction_session_timeout = '60s'"
)
"""A process that is stopped in the middle of a transaction must not stop all others."""

_ANSWER = 25.0
"""Seconds after which a server that says nothing at all is given up."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for an answer for a bounded time, and is closed after it."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for an answer. Raises OperationalError if there is none in time."""
        try:
            return super().wait(gen, interval, timeout or _ANSWER)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # it still waits
                self.close()
            raise


def make(read_url: Callable[[], URL]) -> Engine:
    """Return an engine, which connects when it is used.

    `read_url` is called for each connection, because the file of its secret may be rotated.
    """
    engine = create_engine(
        read_url(),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=2,  # of each process: servers have a hundred connections in all
        max_overflow=13,
        pool_timeout=10,
    )

    @event.listens_for(engine, "do_connect")
    def _(dialect: Any, record: Any, arguments: Any, options: Any) -> BoundedConnection:
        given, found = dialect.create_connect_args(read_url())
        # A pooler such as PgBouncer gives any connection: none knows the statements of another.
        return BoundedConnection.connect(*given, prepare_threshold=None, **{**_CONNECTING, **found})

    @event.listens_for(engine, "connect")
    def _(connection: BoundedConnection, record: Any) -> None:
        connection.execute(_SESSION)
        connection.commit()

    return engine

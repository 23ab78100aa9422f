"""Leases: of all processes that share a store, one does a thing at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from modelsync.store.database import Database
from modelsync.store.tables import leases


class Leases:
    """Who does what, until when. All times are the database's, so clocks may differ."""

    database: Database

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take a lease for so many seconds from now, or go on with it; False if another has it."""
        with self.database.writing() as (connection, now):
            row = _row(connection, name)
            if row and row.owner != owner and row.until > now:
                return False
            _write(connection, name, owner=owner, until=now + timedelta(seconds=seconds))
            return True

    def release(self, name: str, owner: str) -> None:
        """Give a lease back, so that another can take it at once; nothing if it is another's."""
        with self.database.writing() as (connection, now):
            mine = and_(leases.c.name == name, leases.c.owner == owner)
            connection.execute(delete(leases).where(mine, leases.c.done.is_(None)))
            connection.execute(update(leases).where(mine).values(until=now))

    def done_until(self, name: str) -> datetime | None:
        """Return the time up to which a thing has been done; None if it never was."""
        with self.database.reading() as connection:
            row = _row(connection, name)
            return row.done if row else None

    def mark_done(self, name: str, moment: datetime) -> None:
        """Remember that a thing has been done up to this time, whoever has the lease."""
        with self.database.writing() as (connection, now):
            row = _row(connection, name)
            if row:
                _write(connection, name, done=moment)
            else:
                _write(connection, name, owner="", until=now, done=moment)


def _row(connection: Connection, name: str) -> Row[tuple[str, str, datetime, datetime]] | None:
    return connection.execute(select(leases).where(leases.c.name == name)).first()


def _write(connection: Connection, name: str, **values: str | datetime) -> None:
    changed = update(leases).where(leases.c.name == name).values(**values)
    if not connection.execute(changed).rowcount:
        connection.execute(insert(leases).values(name=name, **values))

"""Contents of blobs in the database: rows of a megabyte each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from modelsync.errors import StoreUnavailable
from modelsync.store.database import Database
from modelsync.store.tables import chunks

GIVEN_UP = "an artefact took so long to be stored that it was given up"


class DatabaseContents:
    """Contents as rows. Each row is a transaction of its own: other writers get their turn."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def location(self, content: str, sha256: str) -> str:
        """Return the empty location, that of contents in this database."""
        return ""

    def write(self, content: str, location: str, parts: Iterable[bytes]) -> None:
        """Store the parts in order. Raises StoreUnavailable; then some of them may be stored."""
        for position, data in enumerate(parts):
            values = {"content": content, "position": position, "data": data}
            try:
                with self._database.writing() as (connection, _):
                    connection.execute(insert(chunks).values(**values))
            except IntegrityError:  # it was collected meanwhile, a day after it was begun
                raise StoreUnavailable(GIVEN_UP) from None

    def read(self, content: str, location: str) -> Iterator[bytes]:
        """Return the parts in order. Raises StoreUnavailable."""
        position = 0
        while True:
            query = select(chunks.c.data).where(
                chunks.c.content == content, chunks.c.position == position
            )
            with self._database.reading() as connection:
                data: bytes | None = connection.scalar(query)
            if data is None:
                return
            yield data
            position += 1

    def remove(self, content: str, location: str) -> None:
        """Remove the parts. Raises StoreUnavailable."""
        with self._database.writing() as (connection, _):
            connection.execute(delete(chunks).where(chunks.c.content == content))

"""Blobs: bytes by their SHA-256, in the database or on S3. What needs one names it in its row.

A blob is stored before the row that needs it, and a row cannot name one that is not stored: a crash
between the two leaves a blob too many, never a row without its blob. `collect` removes those that
no row names. Each time that a blob is written its content gets a name of its own: so a content that
is being removed is never one that was put again meanwhile.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Protocol

from sqlalchemy import CompoundSelect, Connection, Row, delete, insert, select, union, update

from modelsync.errors import ArtifactCorrupt, StoreUnavailable
from modelsync.files import replacing, storage
from modelsync.settings import Settings
from modelsync.store.bucket import Bucket
from modelsync.store.chunks import GIVEN_UP, DatabaseContents
from modelsync.store.database import Database
from modelsync.store.records import FINAL
from modelsync.store.tables import blobs, contents, jobs, versions

PART = 1024**2
"""Bytes that are read, sent and stored at a time."""

DAY = 24 * 3600.0


class Contents(Protocol):
    """Where contents of blobs are kept; all of it raises StoreUnavailable."""

    def location(self, content: str, sha256: str) -> str:
        """Return where a new content will be."""

    def write(self, content: str, location: str, parts: Iterator[bytes]) -> None:
        """Store a content."""

    def read(self, content: str, location: str) -> Iterator[bytes]:
        """Return a content in parts."""

    def remove(self, content: str, location: str) -> None:
        """Remove a content, if it is there."""


class Blobs:
    """All blobs of a store. New ones go where the settings say; each is read from where it is.

    All methods raise StoreUnavailable if the database or S3 does not answer.
    """

    def __init__(self, database: Database, bucket: Bucket, *, on_s3: bool) -> None:
        self._database = database
        self._chunks, self._bucket = DatabaseContents(database), bucket
        self._writes_to: Contents = self._bucket if on_s3 else self._chunks

    def put(self, file: Path) -> str:
        """Store a file, unless these bytes are stored, and return its SHA-256 in hex.

        Raises OSError if the file cannot be read, ArtifactCorrupt if it changes meanwhile.
        """
        with file.open("rb") as source:
            return self._put(source)

    def put_bytes(self, data: bytes) -> str:
        """Store bytes, unless they are stored, and return their SHA-256 in hex."""
        return self._put(BytesIO(data))

    def fetch(self, sha256: str, to: Path) -> None:
        """Write a blob to a file, which appears when it is complete and verified.

        Raises ArtifactCorrupt if it is not stored or not what it should be, StorageFailed if the
        file cannot be written.
        """
        with storage(), replacing(to) as file:
            for part in self._verified(sha256):
                file.write(part)

    def read(self, sha256: str) -> bytes:
        """Return a small blob, verified. Raises ArtifactCorrupt."""
        return b"".join(self._verified(sha256))

    def collect(self, older_than: float = DAY) -> int:
        """Remove blobs that no version and no live job names and that were last put so many seconds
        ago, and what puts that were killed have left; return how many.
        """
        removed = 0
        for content in self._forget(older_than):
            self._contents(content.location).remove(content.id, content.location)
            with self._database.writing() as (connection, _):
                connection.execute(delete(contents).where(contents.c.id == content.id))
            removed += 1
        return removed

    # --- writing ----------------------------------------------------------------------------------

    def _put(self, source: BufferedReader | BytesIO) -> str:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        if self._use(sha256):
            return sha256
        source.seek(0)
        content = secrets.token_hex(16)
        location = self._writes_to.location(content, sha256)
        with self._database.writing() as (connection, now):
            values = {"id": content, "location": location, "created": now, "doomed": False}
            connection.execute(insert(contents).values(**values))
        parts = _Parts(source)
        self._writes_to.write(content, location, iter(parts))
        if parts.digest.hexdigest() != sha256:
            raise ArtifactCorrupt("the file changed while it was stored")
        self._complete(sha256, content, parts.size)
        return sha256

    def _use(self, sha256: str) -> bool:
        """Whether a blob is stored; then it counts as put now."""
        with self._database.writing() as (connection, now):
            return _use(connection, sha256, now)

    def _complete(self, sha256: str, content: str, size: int) -> None:
        """Make a content a blob, unless another process was faster: then `collect` removes it."""
        with self._database.writing() as (connection, now):
            if _use(connection, sha256, now):
                return
            query = select(contents.c.id).where(contents.c.id == content, ~contents.c.doomed)
            if connection.scalar(query) is None:
                raise StoreUnavailable(GIVEN_UP)
            values = {"sha256": sha256, "content": content, "size": size, "used": now}
            connection.execute(insert(blobs).values(**values))

    # --- reading ----------------------------------------------------------------------------------

    def _verified(self, sha256: str) -> Iterator[bytes]:
        """The parts of a blob; the last one comes only if all are what they should be."""
        query = (
            select(contents.c.id, contents.c.location)
            .join(blobs, blobs.c.content == contents.c.id)
            .where(blobs.c.sha256 == sha256)
        )
        with self._database.reading() as connection:
            found = connection.execute(query).first()
        if found is None:
            raise ArtifactCorrupt(f"the store has no artefact {sha256[:12]}")
        digest, held = hashlib.sha256(), b""
        for part in self._contents(found.location).read(found.id, found.location):
            yield held
            digest.update(part)
            held = part
        if digest.hexdigest() != sha256:
            raise ArtifactCorrupt(
                f"the artefact {sha256[:12]} is damaged in the store: its SHA-256 is another one"
            )
        yield held

    def _contents(self, location: str) -> Contents:
        return self._bucket if location else self._chunks

    # --- collecting -------------------------------------------------------------------------------

    def _forget(self, older_than: float) -> list[Row[tuple[str, str]]]:
        """Forget the blobs that nobody needs; return the contents that nobody can use any more."""
        with self._database.writing() as (connection, now):
            before = now - timedelta(seconds=older_than)
            connection.execute(
                delete(blobs).where(blobs.c.used < before, blobs.c.sha256.not_in(_needed()))
            )
            stray = contents.c.id.not_in(select(blobs.c.content)) & (contents.c.created < before)
            connection.execute(update(contents).where(stray).values(doomed=True))
            query = select(contents.c.id, contents.c.location).where(contents.c.doomed)
            return list(connection.execute(query))


def open_blobs(settings: Settings, database: Database) -> Blobs:
    """Return the blobs of these settings. Raises SettingsError if they are malformed."""
    return Blobs(database, Bucket(settings.store), on_s3=bool(settings.store.artifacts))


class _Parts:
    """Reads a file in parts, and knows what it has read."""

    def __init__(self, source: BufferedReader | BytesIO) -> None:
        self._source = source
        self.digest, self.size = hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        while part := self._source.read(PART):
            self.digest.update(part)
            self.size += len(part)
            yield part


def _use(connection: Connection, sha256: str, now: datetime) -> bool:
    """Whether a blob is stored; then it counts as put now."""
    found = connection.execute(update(blobs).where(blobs.c.sha256 == sha256).values(used=now))
    return found.rowcount > 0


def _needed() -> CompoundSelect[tuple[str]]:
    """The blobs that versions and live jobs name."""
    live = jobs.c.state.not_in(FINAL)
    return union(
        select(versions.c.sha256),
        select(jobs.c.input).where(live),
        select(jobs.c.checkpoint).where(live),
    )

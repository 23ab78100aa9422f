"""Rows of the database as records, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update

from modelsync.errors import ArtifactCorrupt, UnknownJob
from modelsync.store.records import Job, NewJob, NewVersion, TrainingRun, Version
from modelsync.store.tables import blobs, jobs, revisions


def job_of(row: RowMapping) -> Job:
    """Return a row of `jobs` as a record."""
    return Job(asked=NewJob(**_values(NewJob, row)), **_values(Job, row))


def version_of(row: RowMapping) -> Version:
    """Return a row of `versions` as a record."""
    return Version(made=NewVersion(**_values(NewVersion, row)), **_values(Version, row))


def run_of(row: RowMapping) -> TrainingRun:
    """Return a row of `training_runs` as a record."""
    return TrainingRun(**_values(TrainingRun, row))


def columns_of(record: NewJob | NewVersion) -> dict[str, Any]:
    """Return a record's fields as values of the columns of these names."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def job_row(connection: Connection, id: str) -> RowMapping:
    """Return the row of a job. Raises UnknownJob."""
    row = connection.execute(select(jobs).where(jobs.c.id == id)).mappings().first()
    if row is None:
        raise UnknownJob(f"there is no job {id!r}")
    return row


def update_job(connection: Connection, id: str, values: Mapping[str, Any]) -> Job:
    """Change a job and return it as it is now."""
    connection.execute(update(jobs).where(jobs.c.id == id).values(**values))
    return job_of(job_row(connection, id))


def require_blob(connection: Connection, sha256: str) -> None:
    """Hold to it that no row names a blob that is not there. Raises ArtifactCorrupt."""
    query = select(func.count()).select_from(blobs).where(blobs.c.sha256 == sha256)
    if not connection.scalar(query):
        raise ArtifactCorrupt(f"the store has no artefact {sha256[:12]}: it was never put there")


def count_revision(connection: Connection) -> None:
    """Tell those who look that what serves has changed."""
    connection.execute(update(revisions).values(revision=revisions.c.revision + 1))


def _values(kind: type[Any], row: RowMapping) -> dict[str, Any]:
    return {item.name: row[item.name] for item in fields(kind) if item.name in row}

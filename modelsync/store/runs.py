"""Jobs while they run, and how they end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from modelsync.errors import VersionConflict
from modelsync.store import pointer
from modelsync.store.database import Database
from modelsync.store.records import Job, JobState, NewVersion, Version
from modelsync.store.rows import (
    columns_of,
    count_revision,
    job_row,
    require_blob,
    update_job,
    version_of,
)
from modelsync.store.tables import jobs, versions

ATTEMPTS = 3
"""How often a job is tried that has lost its process, the first time included."""


class JobRuns:
    """What the process of a job tells, and what is found of those that tell nothing any more."""

    database: Database

    def heartbeat(
        self,
        id: str,
        owner: str,
        *,
        progress: float | None = None,
        rows: int | None = None,
        message: str = "",
    ) -> bool:
        """Tell that the job is alive, and what it does; what is not given stays as it was.

        False if it should end: it is to be cancelled, it has ended, or it is another process's. A
        job that was taken for lost, while the database was away for example, goes on.
        """
        with self.database.writing() as (connection, now):
            row = job_row(connection, id)
            if row["owner"] != owner or row["state"] not in {"running", "lost"}:
                return False
            told = {"progress": progress, "rows": rows, "message": message or None}
            values = {name: value for name, value in told.items() if value is not None}
            return not update_job(connection, id, {"heartbeat": now, **values}).cancelling

    def checkpoint(self, id: str, owner: str, sha256: str, rows: int) -> None:
        """Remember from where the job goes on if it is killed, after how many rows.

        Raises VersionConflict if the job is not this owner's, ArtifactCorrupt without the blob.
        """
        with self.database.writing() as (connection, now):
            _require_owner(job_row(connection, id), owner)
            require_blob(connection, sha256)
            update_job(connection, id, {"checkpoint": sha256, "rows": rows, "heartbeat": now})

    def finish(
        self, id: str, owner: str, made: NewVersion, *, promote: bool = True, verdict: str = ""
    ) -> Version:
        """Store what a job has made; the version, the pointer and the job's end are one step.

        The version becomes current with `promote`, unless a newer one was; else `verdict` says why
        it did not. Told twice by the same owner, it is done once.

        Raises VersionConflict if the job is not this owner's or has ended otherwise,
        ArtifactCorrupt if the blob is not stored.
        """
        with self.database.writing() as (connection, now):
            row = job_row(connection, id)
            if (
                row["state"] == "done"
                and row["owner"] == owner
                and (found := _version(connection, row))
            ):
                return found
            _require_owner(row, owner)
            require_blob(connection, made.sha256)
            newest = pointer.highest(connection, row["model"])
            if promote and newest > row["number"]:
                promote, verdict = False, f"version {newest}, which is newer, was current before"
            verdict = "" if promote else verdict or "it waits to be promoted"
            connection.execute(insert(versions).values(**_columns(row, made, verdict, now)))
            if promote:
                pointer.move(connection, row["model"], row["number"], now)
            else:
                count_revision(connection)
            ended = {"state": "done", "ended": now, "progress": 1.0, "verdict": verdict}
            if made.rows is not None:  # a short job has ended before it was reported
                ended["rows"] = made.rows
            update_job(connection, id, ended)
            found = _version(connection, row)
            assert found
            return found

    def fail(
        self, id: str, owner: str, error: Mapping[str, Any], state: JobState = "failed"
    ) -> None:
        """End a job without a version; nothing happens if it is not this owner's or has ended."""
        with self.database.writing() as (connection, now):
            row = job_row(connection, id)
            if row["owner"] == owner and row["state"] in {"queued", "running", "lost"}:
                update_job(connection, id, {"state": state, "error": dict(error), "ended": now})

    def requeue(self, id: str, owner: str, *, message: str) -> bool:
        """Let a job wait again, from its checkpoint if it has one, because its process has to end.

        False if nothing changes: it is not this owner's, it is to be cancelled, or it was tried
        `ATTEMPTS` times.
        """
        with self.database.writing() as (connection, _):
            row = job_row(connection, id)
            ours = row["owner"] == owner and row["state"] in {"running", "lost"}
            if not ours or row["cancelling"] or row["attempts"] >= ATTEMPTS:
                return False
            values = {"state": "queued", "owner": "", "ended": None, "error": None}
            update_job(connection, id, {**values, "message": message})
            return True

    def lose(self, silent_for: float, *, owner: str | None = None) -> list[Job]:
        """Find running jobs, of one owner or all, that were silent for so many seconds; return them
        as they are now.

        One with a checkpoint waits again, until it was tried `ATTEMPTS` times; one that was to be
        cancelled is cancelled; any other is lost.
        """
        with self.database.writing() as (connection, now):
            query = select(jobs).where(
                jobs.c.state == "running", jobs.c.heartbeat <= now - timedelta(seconds=silent_for)
            )
            if owner is not None:
                query = query.where(jobs.c.owner == owner)
            found = connection.execute(query).mappings().all()
            return [update_job(connection, row["id"], _after_loss(row, now)) for row in found]


def _require_owner(row: RowMapping, owner: str) -> None:
    if row["owner"] != owner or row["state"] not in {"running", "lost"}:
        raise VersionConflict(f"job {row['id']} is not run by this process: it is {row['state']}")


def _version(connection: Connection, job: RowMapping) -> Version | None:
    query = select(versions).where(
        versions.c.model == job["model"], versions.c.number == job["number"]
    )
    row = connection.execute(query).mappings().first()
    return version_of(row) if row else None


def _columns(job: RowMapping, made: NewVersion, verdict: str, now: datetime) -> dict[str, Any]:
    taken = ("model", "number", "key", "params", "parent", "code", "commit")
    return {
        **{name: job[name] for name in taken},
        **columns_of(made),
        "created": now,
        "origin": job["kind"],
        "job": job["id"],
        "verdict": verdict,
    }


def _after_loss(job: RowMapping, now: datetime) -> dict[str, Any]:
    """What becomes of a job whose process is silent."""
    if job["cancelling"]:
        return {"state": "cancelled", "ended": now}
    if job["checkpoint"] and job["attempts"] < ATTEMPTS:
        return {"state": "queued", "owner": "", "message": "it goes on from its checkpoint"}
    error = {
        "stage": "crash",
        "kind": "",
        "message": "the process of this job ended without a word: it was killed, or its machine is "
        "gone",
    }
    return {"state": "lost", "ended": now, "error": error}

"""Jobs until they run: asked for, found, claimed, cancelled."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, RowMapping, and_, func, insert, or_, select, update

from modelsync.errors import IdempotencyMismatch, JobsFull, UnknownJob
from modelsync.store import lookup
from modelsync.store.database import Database
from modelsync.store.records import Job, NewJob
from modelsync.store.rows import columns_of, job_of, job_row, require_blob, update_job
from modelsync.store.tables import jobs, models, versions

_LIVE = ("queued", "running")


class JobQueue:
    """The jobs of all models, in the order in which they were asked for."""

    database: Database

    def add_job(
        self, asked: NewJob, *, max_waiting: int, retrain: bool = False
    ) -> tuple[Job, bool]:
        """Return the job that does what is asked, and whether it was made now.

        A job is made unless one with the same idempotency key exists, or the newest one of this key
        has, or is going to have, a version of the same data, parameters and code. That one is given
        again; with `retrain` only by the idempotency key.

        Raises IdempotencyMismatch if that key was used for another request, JobsFull if
        `max_waiting` jobs wait, ArtifactCorrupt if the blob `input` is not stored.
        """
        with self.database.writing() as (connection, now):
            if found := _given(connection, asked, max_waiting, retrain):
                return job_of(found), False
            if asked.input:
                require_blob(connection, asked.input)
            return _add(connection, asked, now), True

    def check_room(self, asked: NewJob, *, max_waiting: int, retrain: bool = False) -> None:
        """Raise what `add_job` would: IdempotencyMismatch, JobsFull. The job's data need not be
        stored yet, so that those of requests that are refused never are.
        """
        with self.database.reading() as connection:
            _given(connection, asked, max_waiting, retrain)

    def job(self, model: str | None, id: str) -> Job:
        """Return a job of a model, or of any. Raises UnknownJob."""
        with self.database.reading() as connection:
            return job_of(_row(connection, model, id) if model else job_row(connection, id))

    def jobs(self, model: str | None = None, *, limit: int = 50, live: bool = False) -> list[Job]:
        """Return the newest jobs of a model, or of all, newest first. `live`: not ended ones."""
        query = select(jobs).order_by(jobs.c.sequence.desc()).limit(limit)
        if model is not None:
            query = query.where(jobs.c.model == model)
        if live:
            query = query.where(jobs.c.state.in_(_LIVE))
        with self.database.reading() as connection:
            return [job_of(row) for row in connection.execute(query).mappings()]

    def claim(self, owner: str, *, concurrency: int, id: str | None = None) -> Job | None:
        """Take the oldest job that can run, or the one of this id, and make `owner` run it.

        None if there is none, if another job of its model runs, or if as many as `concurrency` jobs
        run on this host, which is what stands before the first colon of `owner`. Who has claimed
        the job `id` already gets it again: the first answer may have been lost on the way. The
        parent of an update is chosen now, as its `follows` says.
        """
        if not self._any_queued(owner, id):
            return None
        with self.database.writing() as (connection, now):
            if id and (row := _claimed(connection, owner, id)):
                return job_of(row)
            host = owner.partition(":")[0] + ":"
            here = jobs.c.owner.startswith(host, autoescape=True)
            running = select(jobs.c.model).where(jobs.c.state == "running")
            if len(connection.execute(running.where(here)).all()) >= concurrency:
                return None
            query = select(jobs).where(jobs.c.state == "queued", jobs.c.model.not_in(running))
            if id:
                query = query.where(jobs.c.id == id)
            found = connection.execute(query.order_by(jobs.c.sequence).limit(1)).first()
            if found is None:
                return None
            values = {
                "state": "running",
                "owner": owner,
                "started": found.started or now,
                "heartbeat": now,
                "attempts": found.attempts + 1,
                "parent": lookup.base(connection, found),
            }
            return update_job(connection, found.id, values)

    def cancel(self, model: str, id: str) -> Job:
        """Cancel a job that waits; ask for the end of one that runs. Raises UnknownJob."""
        with self.database.writing() as (connection, now):
            row = _row(connection, model, id)
            if row["state"] == "queued":
                return update_job(
                    connection, id, {"state": "cancelled", "ended": now, "cancelling": True}
                )
            if row["state"] == "running":
                return update_job(connection, id, {"cancelling": True})
            return job_of(row)

    def _any_queued(self, owner: str, id: str | None) -> bool:
        """Whether to wait for the writer's turn at all: trainers ask several times a second."""
        query = select(jobs.c.id).where(jobs.c.state == "queued")
        if id:
            mine = and_(jobs.c.state == "running", jobs.c.owner == owner)
            query = select(jobs.c.id).where(jobs.c.id == id, or_(jobs.c.state == "queued", mine))
        with self.database.reading() as connection:
            return connection.execute(query.limit(1)).first() is not None


def _row(connection: Connection, model: str, id: str) -> RowMapping:
    query = select(jobs).where(jobs.c.id == id, jobs.c.model == model)
    if (row := connection.execute(query).mappings().first()) is None:
        raise UnknownJob(f"{model} has no job {id!r}")
    return row


def _claimed(connection: Connection, owner: str, id: str) -> RowMapping | None:
    query = select(jobs).where(jobs.c.id == id, jobs.c.state == "running", jobs.c.owner == owner)
    return connection.execute(query).mappings().first()


def _given(
    connection: Connection, asked: NewJob, max_waiting: int, retrain: bool
) -> RowMapping | None:
    """The job that there is already; None if a new one may wait.

    Raises IdempotencyMismatch, JobsFull.
    """
    found = _repeated(connection, asked) or (None if retrain else _alike(connection, asked))
    if found is None:
        waiting = select(func.count()).select_from(jobs).where(jobs.c.state == "queued")
        if (count := connection.scalar(waiting) or 0) >= max_waiting:
            raise JobsFull(f"{count} jobs wait already; try again when some have ended")
    return found


def _repeated(connection: Connection, asked: NewJob) -> RowMapping | None:
    """The job of the same idempotency key. Raises IdempotencyMismatch."""
    if not asked.idempotency_key:
        return None
    query = select(jobs).where(
        jobs.c.model == asked.model, jobs.c.idempotency_key == asked.idempotency_key
    )
    row = connection.execute(query).mappings().first()
    if row is not None and row["request_digest"] != asked.request_digest:
        raise IdempotencyMismatch(
            f"this Idempotency-Key was used for another request, which became job {row['id']}; "
            "take a new key for a new request"
        )
    return row


def _alike(connection: Connection, asked: NewJob) -> RowMapping | None:
    """The newest job of this key, if what it makes or has made is what is asked for.

    Only the newest, because a key means its newest version.
    """
    if not asked.fingerprint:
        return None
    made = and_(versions.c.model == jobs.c.model, versions.c.number == jobs.c.number)
    query = (
        select(jobs)
        .outerjoin(versions, made)
        .where(
            jobs.c.model == asked.model,
            jobs.c.key == asked.key,
            or_(jobs.c.state.in_(_LIVE), versions.c.number.is_not(None)),
        )
        .order_by(jobs.c.sequence.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    what = ("fingerprint", "code", "parent")
    if row is None or row["cancelling"]:
        return None
    return row if all(row[name] == getattr(asked, name) for name in what) else None


def _add(connection: Connection, asked: NewJob, now: datetime) -> Job:
    id = secrets.token_hex(8)
    values = {
        "id": id,
        "number": _take_number(connection, asked.model),
        "state": "queued",
        "created": now,
        "owner": "",
        "attempts": 0,
        "message": "",
        "checkpoint": "",
        "cancelling": False,
        "verdict": "",
    }
    connection.execute(insert(jobs).values(**columns_of(asked), **values))
    return job_of(job_row(connection, id))


def _take_number(connection: Connection, model: str) -> int:
    query = select(models.c.last_number).where(models.c.name == model)
    last: int | None = connection.scalar(query)
    if last is None:
        connection.execute(insert(models).values(name=model, last_number=1, highest=0))
        return 1
    connection.execute(update(models).where(models.c.name == model).values(last_number=last + 1))
    return last + 1

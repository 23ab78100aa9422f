"""The step `train`: a job as any other, which the service's trainer runs, else this process."""

from __future__ import annotations

import io
import logging
from functools import partial
from time import monotonic
from typing import Any

from modelsync.continuous.context import RunContext, StepReport
from modelsync.continuous.failures import StepFailed
from modelsync.errors import IdempotencyMismatch, StoreUnavailable, UnknownVersion
from modelsync.store.records import Job, Version
from modelsync.training.job import JobRun, host_of
from modelsync.training.submission import Intake, Submission
from modelsync.training.workspace import Workspace

log = logging.getLogger(__name__)

LOOK = 0.3
"""Seconds between two looks at the job."""

UNCLAIMED, BUSY = 3.0, 60.0
"""Seconds after which a job that nobody has begun is run by this process: without a service here,
and beside one, whose trainer begins it within a second unless it is busy.
"""

TRIES = 2
"""Times that a run has a job that is lost: one that was left by a process that was killed."""

AGAIN = 5.0
"""Seconds between two tries to begin it: another job of the model may run."""


def train(run: RunContext) -> StepReport:
    """Have a job train, and wait for its end.

    Raises StepFailed if it fails; StoreUnavailable, DataInvalid, JobsFull if it is not taken.
    """
    for _ in range(TRIES):
        job = _submitted(run)
        run.record.note(job=job.id)
        if (job := _ended(run, job)).state != "lost":
            break
    if job.state != "done":
        raise _failure(job)
    try:
        version = run.record.insist(lambda: run.store.catalog.version(job.model, f"v{job.number}"))
    except UnknownVersion as error:
        raise StepFailed("UnknownVersion", f"{error}: it was deleted meanwhile") from None
    run.record.note(version=version.number)
    facts = {"job": job.id, "version": version.number, "rows": version.made.rows}
    return StepReport(_said(job, version), {**facts, "metrics": dict(version.made.metrics)})


def _submitted(run: RunContext) -> Job:
    """Return the job of this run: the one that was made before this process was killed, unless it
    has failed.
    """
    release = run.code.release
    intake = Intake(run.store, run.config, release.path, release.commit or "", release.id)
    row, count = run.record.row, 0
    while True:
        count += 1
        asked = Submission(
            "fit",
            io.BytesIO(),
            0,
            retrain=True,
            idempotency_key=f"run-{row.number}-{count}",
            day=run.day,
            key=run.day.isoformat(),
            source=row.source,
            checked=run.record.checked,
            promote=False,
        )
        try:
            job, made = run.record.insist(partial(intake.submit, run.entry, asked))
        except IdempotencyMismatch:  # the data has changed since
            continue
        if made or not job.final or job.state == "done":
            return job


def _ended(run: RunContext, job: Job) -> Job:
    """Wait for the end of a job; run it here if nobody else does."""
    catalog, most = run.store.catalog, BUSY if run.code.is_served else UNCLAIMED
    patience = monotonic() + most
    while not (job := run.record.insist(lambda: catalog.job(None, job.id))).final:
        run.record.require_own()
        if job.state == "running":
            patience = monotonic() + most
            if _is_left(run, job):
                _settle(run, job)
        elif run.config.training.jobs == "process" and monotonic() > patience:
            log.info("no service runs the job: it runs here")
            _run_here(run, job)
            patience = monotonic() + AGAIN
        run.stop.wait(LOOK)
    return job


def _is_left(run: RunContext, job: Job) -> bool:
    """Whether a job that runs by its row was left by a process of this machine that was killed."""
    home = run.config.state.home
    return job.owner.startswith(host_of(home)) and not Workspace(home, job.id).is_held()


def _settle(run: RunContext, job: Job) -> None:
    """Store what such a job has fitted, or let it be lost, as a service's trainer would."""
    _run_here(run, job)
    catalog = run.store.catalog
    if (row := run.record.insist(lambda: catalog.job(None, job.id))).state == "running":
        run.record.insist(lambda: catalog.lose(0.0, owner=row.owner))


def _run_here(run: RunContext, job: Job) -> None:
    """Run a job in this process and its child; nothing happens if another has claimed it."""
    try:
        JobRun(run.config, run.store, job.id, run.stop).run()
    except StoreUnavailable as error:
        log.warning("job %s: %s", job.id, error)


def _failure(job: Job) -> StepFailed:
    error: dict[str, Any] = {"stage": "", "kind": job.state, "message": "", **(job.error or {})}
    facts = {"job": job.id, "stage": error["stage"]}
    if report := error.get("report"):
        facts["report"] = report
    place = f" ({error['file']}:{error['line']})" if error.get("file") else ""
    kind = error["kind"] or "JobFailed"
    said = ": ".join(filter(None, (error["stage"], error["kind"], error["message"])))
    state = "has failed" if job.state == "failed" else f"is {job.state}"
    return StepFailed(kind, f"job {job.id} {state}: {said}{place}", **facts)


def _said(job: Job, version: Version) -> str:
    made = version.made
    said = f"version {version.number} by job {job.id}"
    if job.started and job.ended:
        said += f" in {(job.ended - job.started).total_seconds():.1f} s"
    facts = [f"{made.rows:,} rows"] if made.rows is not None else []
    facts += [f"{name} {shown(value)}" for name, value in made.metrics.items()]
    return f"{said}: {', '.join(facts[:6])}" if facts else said


def shown(value: Any) -> str:
    """Return a metric as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

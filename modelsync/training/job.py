"""One job, from the claim of its row to its end: the process `modelsync job run ID`.

It fits in a child, and stores the artefact first and the row after. What was fitted is not lost: a
store that is away is tried again and again, and if this process is ended meanwhile, the next one
finds the artefact in the workspace.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from modelsync.backoff import Backoff
from modelsync.environments.store import python_of
from modelsync.errors import (
    ArtifactCorrupt,
    DataInvalid,
    DataRefused,
    JobFailed,
    ModelsyncError,
    StoreUnavailable,
)
from modelsync.errors.training import JobStage
from modelsync.fitting.messages import FitError, FitResult
from modelsync.models.serialization import from_json, to_json
from modelsync.models.statistics.merging import merged, without
from modelsync.models.statistics.summary import TableStatistics
from modelsync.models.types import ModelSpec
from modelsync.observability.logs import event
from modelsync.observability.redaction import redacted
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import Job, JobState, NewVersion, Version
from modelsync.training import callback
from modelsync.training.fit_process import FitProcess, ProcessKilled
from modelsync.training.inputs import JobInputs, feeding
from modelsync.training.insistence import insist
from modelsync.training.release import code_of
from modelsync.training.reporter import Reporter
from modelsync.training.stop import Stop
from modelsync.training.workspace import Workspace

log = logging.getLogger(__name__)

AWAY = Backoff(first=0.5, most=30.0)
"""Seconds between two tries of a store that is away."""

PATIENCE = 24 * 3600.0
"""Seconds for which a store may be away without a result being lost."""

ENDING = 1.0
"""Seconds between the signals of whoever ends a whole service, process by process."""

T = TypeVar("T")


def host_of(home: Path) -> str:
    """Return what the owners of all jobs that run from this state directory begin with."""
    place = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:8]
    return f"{socket.gethostname()}/{place}:"


class JobRun:
    """One try to run a job. When `stop` is asked for, the service ends: the job is queued again."""

    def __init__(self, config: Settings, store: Store, job: str, stop: Stop) -> None:
        self._config = config
        self._store = store
        self._id = job
        self._owner = f"{host_of(config.state.home)}{os.getpid()}-{secrets.token_hex(4)}"
        self._workspace = Workspace(config.state.home, job)
        self._stop = stop

    def run(self) -> JobState | None:
        """Run the job, if it is queued and nobody else runs it; else return None at once.

        Returns the state it has now. Raises StoreUnavailable if the store was away at the start, or
        this process is ended while it is; StorageFailed.
        """
        with self._workspace.held() as ours:
            if not ours:
                return None
            if left := self._workspace.finished():
                self._owner = left[0]
                row = self._row()
                if not row.final and row.owner == self._owner:
                    return self._keep(row, left[1])
            claimed = self._store.catalog.claim(
                self._owner, concurrency=self._config.training.concurrency, id=self._id
            )
            if claimed is None:
                self._workspace.remove()  # what is in it belongs to no live job of ours
                return None
            return self._run(claimed)

    def _run(self, job: Job) -> JobState:
        """Fit, and write down how that ended, whatever it was."""
        event(log, logging.INFO, "the job begins", **_facts(job))
        with Reporter(self._store, job, self._owner) as reporter:
            try:
                result = self._result(job, reporter)
            except ProcessKilled as killed:
                return self._killed(job, killed)
            reporter.flush()
            if reporter.refused == "taken":  # its row has another owner: nothing here counts
                return self._row().state
            if reporter.refused == "cancelled":
                return self._fail(job, _error("fit", "", "it was cancelled"), "cancelled")
            if result is None:
                return self._requeue(job, "the service has ended meanwhile", None)
            if result.error:
                return self._fail(job, _plain(result.error), "failed")
            return self._keep(job, result)

    def _result(self, job: Job, reporter: Reporter) -> FitResult | None:
        """Fit; return what came of it, None if it is to end before. Raises ProcessKilled."""
        try:
            self._workspace.begin(self._owner)
            with code_of(job, self._config) as spec:
                return self._fit(job, spec, reporter)
        except ProcessKilled:
            raise
        except StoreUnavailable:  # this process is ended while it waits for it
            return None
        except DataRefused as error:
            return FitResult(error=FitError("data", error.kind, error.message, report=error.report))
        except JobFailed as error:
            return _failure(error.stage, error.kind, error.message)
        except ModelsyncError as error:
            stage: JobStage = "data" if isinstance(error, DataInvalid) else "load"
            return _failure(stage, type(error).__name__, str(error))
        except Exception as error:  # the edge of a job
            log.exception("job %s: unexpected", job.id)
            return _failure("crash", type(error).__name__, "an error of the service: see its log")

    def _fit(self, job: Job, spec: ModelSpec, reporter: Reporter) -> FitResult | None:
        """Run the model's code with what the job needs; None if it was ended from here."""
        inputs = JobInputs(self._config, self._store, self._workspace)
        task, source = self._insist(lambda: inputs.collect(job, spec))
        self._insist(lambda: inputs.check(job, spec, task, source, reporter.output))
        python = python_of(self._config.state.home, spec.environment) if spec.environment else None
        process = FitProcess(
            task,
            self._workspace.path,
            python=python,
            timeout=self._config.training.timeout,
            on_output=reporter.output,
            on_progress=reporter.progress,
        )
        with feeding(source, task) as (batches, feed):
            result = process.run(lambda: self._stop.asked or bool(reporter.refused), batches)
        if result and feed and feed.error:  # what the model says follows from it
            return _failure("data", type(feed.error).__name__, str(feed.error))
        return result

    # --- the end ----------------------------------------------------------------------------------

    def _keep(self, job: Job, result: FitResult) -> JobState:
        """Store the artefact, then the row; the job is done."""
        file = self._workspace.output / result.file

        def store() -> Version:
            sha256 = self._store.blobs.put(file)
            if sha256 != result.sha256:
                raise ArtifactCorrupt("the artefact has changed since it was written")
            made = _new_version(job, result, self._statistics(job, result))
            return self._store.catalog.finish(
                job.id, self._owner, made, promote=result.promote, verdict=result.verdict
            )

        try:
            version = self._insist(store)
        except ArtifactCorrupt as error:
            return self._fail(job, _error("serialise", "ArtifactCorrupt", str(error)), "failed")
        return self._ended(job, "done", version=version.number, verdict=version.verdict)

    def _statistics(self, job: Job, result: FitResult) -> TableStatistics | None:
        """Return the statistics of all that a version has seen, without columns that are masked.

        An update goes on from the version that it started from. Raises StoreUnavailable.
        """
        found = result.statistics
        if job.asked.kind == "update" and job.asked.parent is not None:
            before = self._store.catalog.statistics(job.model, job.asked.parent)
            found = merged(from_json(TableStatistics, before) if before else None, found)
        mask = {name.casefold() for name in self._config.continuous.sample_mask}
        return without(found, mask) if found and mask else found

    def _fail(self, job: Job, error: Mapping[str, Any], state: JobState) -> JobState:
        self._insist(lambda: self._store.catalog.fail(job.id, self._owner, error, state))
        return self._ended(job, state, stage=error["stage"], reason=error["message"])

    def _killed(self, job: Job, killed: ProcessKilled) -> JobState:
        """The process that fits was killed: by whoever ends the whole service, or by somebody."""
        if str(killed) != "SIGKILL" and self._stop.wait(ENDING):
            return self._requeue(job, "the service has ended meanwhile", None)
        error = _error("crash", str(killed), f"the process that fits was ended with {killed}")
        row = self._insist(self._row)
        if row.checkpoint:
            return self._requeue(job, f"it goes on: {error['message']}", error)
        return self._fail(job, error, "lost")

    def _requeue(self, job: Job, why: str, error: Mapping[str, Any] | None) -> JobState:
        """Queue the job again, from its checkpoint if it has one; after three tries it is lost."""
        self._workspace.remove()  # before another process makes it anew
        catalog = self._store.catalog
        if self._insist(lambda: catalog.requeue(job.id, self._owner, message=why)):
            event(log, logging.WARNING, "the job is queued again", **_facts(job), reason=why)
            return "queued"
        return self._fail(job, error or _error("crash", "", why), "lost")

    def _ended(self, job: Job, state: JobState, **facts: object) -> JobState:
        level = logging.INFO if state == "done" else logging.WARNING
        event(log, level, f"the job is {state}", **_facts(job), state=state, **facts)
        self._workspace.remove()
        if job.asked.webhook:
            with suppress(StoreUnavailable):
                callback.deliver(self._store.catalog, self._row(), self._config)
        return state

    def _row(self) -> Job:
        return self._store.catalog.job(None, self._id)

    def _insist(self, action: Callable[[], T]) -> T:
        """Do what needs the store, again and again while that is away.

        Raises StoreUnavailable after `PATIENCE` seconds, or when this process has to end.
        """
        return insist(
            action,
            self._stop,
            pauses=AWAY,
            patience=PATIENCE,
            who="the job",
            event="job_waits",
            job=self._id,
        )


def _new_version(job: Job, result: FitResult, statistics: TableStatistics | None) -> NewVersion:
    return NewVersion(
        serializer=result.serializer,
        sha256=result.sha256,
        size=result.size,
        inputs=to_json(result.inputs) if result.inputs else None,
        metrics=result.metrics,
        libraries=result.libraries,
        fingerprint=str(job.asked.options.get("data", "")),
        rows=result.rows,
        call_seconds=result.call_seconds,
        statistics=to_json(statistics) if statistics else None,
        comparison=result.comparison,
    )


def _failure(stage: JobStage, kind: str, message: str) -> FitResult:
    return FitResult(error=FitError(stage, kind, message))


def _error(stage: JobStage, kind: str, message: str) -> dict[str, Any]:
    return {"stage": stage, "kind": kind, "message": message}


def _plain(error: FitError) -> dict[str, Any]:
    """Return an error as its row holds it; what the child said may quote a secret."""
    facts = {name: value for name, value in asdict(error).items() if value is not None}
    return {**facts, "message": redacted(error.message)}


def _facts(job: Job) -> dict[str, object]:
    return {"event": "job", "job": job.id, "model": job.model, "kind": job.asked.kind}

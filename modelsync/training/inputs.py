"""What a job reads: the data of its request, the version that it updates, its checkpoint; fetched
from the store into its workspace, for a process that knows no store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelsync import json_text
from modelsync.data import libraries
from modelsync.errors import ArtifactCorrupt, DataRefused, JobFailed, UnknownVersion
from modelsync.fitting.checkpoint import position
from modelsync.fitting.messages import FitJob
from modelsync.models.serialization import to_json
from modelsync.models.tables import bodies
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import Job, Version
from modelsync.training.artifacts import Artifacts
from modelsync.training.plan import CHECKED
from modelsync.training.workspace import Workspace

if TYPE_CHECKING:  # they import pyarrow
    from modelsync.data.sources import DataSource
    from modelsync.training.feed import Feed

log = logging.getLogger(__name__)

FEED_END = 5.0
"""Seconds that a feed gets to see that its reader has ended."""


class JobInputs:
    """Collects the inputs of one job."""

    def __init__(self, config: Settings, store: Store, workspace: Workspace) -> None:
        self._config = config
        self._store = store
        self._workspace = workspace

    def collect(self, job: Job, spec: ModelSpec) -> tuple[FitJob, DataSource | None]:
        """Return what the process that fits is told, but for what it inherits, and the source of
        its data, if that is not in the request.

        Raises StoreUnavailable, ArtifactCorrupt, StorageFailed, DataInvalid; JobFailed if the
        version that is to be updated has been deleted.
        """
        asked, training = job.asked, self._config.training
        body = self._fetched(asked.input, "body") if asked.input else None
        record = self._store.catalog.model(job.model)
        current = next((one for one in record.versions if one.number == record.current), None)
        task = FitJob(
            spec=spec,
            kind=asked.kind,
            parent=0,
            output=self._workspace.output,
            params=dict(asked.params),
            input=None if asked.kind == "upload" else body,
            upload=body if asked.kind == "upload" else None,
            base=self._base(job) if asked.kind == "update" else None,
            serializer=str(asked.options.get("serializer") or training.serializer),
            promote=bool(asked.options.get("promote", True)),
            old_metrics=dict(current.made.metrics) if current else None,
            planned=bool(asked.options.get("planned")),
            test_size=float(asked.options.get("test_size") or 0.0),
            current=self._current(current) if asked.options.get("planned") else None,
            memory=training.memory,
            log_format="text",
            log_level=self._config.logs.level,
        )
        source = self._source(job, spec)
        if source:
            digest = source.digest if source.resumable else ""
            task = replace(
                task,
                source=digest,
                target=source.target,
                rows=source.rows,
                checkpoint=self._checkpoint(job, digest),
            )
        return task, source

    def check(
        self,
        job: Job,
        spec: ModelSpec,
        task: FitJob,
        source: DataSource | None,
        say: Callable[[bytes], None],
    ) -> None:
        """Check the data of a job by the model's `schema.yml`, unless whoever asked for the job has
        done so; `say` gets what is found, for the log of the job.

        Raises DataRefused with the report if it breaks the schema, DataInvalid, StoreUnavailable.
        """
        if spec.schema is None or (source is None and task.input is None):
            return
        if source and job.asked.options.get(CHECKED) == source.fingerprint():
            return
        libraries.require()
        from modelsync.data import checking, reports  # they import pyarrow
        from modelsync.data.body_source import BodySource

        if source is None:
            assert task.input is not None
            body = bodies.training(json_text.loads(task.input.read_bytes()))
            report = checking.check(BodySource(body, spec.schema), spec.schema)
        else:
            report = checking.check(source, spec.schema)
        report = reports.masked(report, self._config.continuous.sample_mask)
        say(f"{reports.text(report)}\n".encode())
        if not report.passed:
            raise DataRefused(reports.summary(report), to_json(report))

    def _checkpoint(self, job: Job, source: str) -> Path | None:
        """Return the file from which the job goes on; None if it begins anew: it was never stored,
        or the data has changed since.
        """
        if not job.checkpoint:
            return None
        try:
            file = self._fetched(job.checkpoint, "checkpoint")
            return file if source and position(file)[0] == source else None
        except ArtifactCorrupt as error:
            log.warning("job %s begins anew: %s", job.id, error)
            return None

    def _source(self, job: Job, spec: ModelSpec) -> DataSource | None:
        if not job.asked.source:
            return None
        from modelsync.data.sources import examine

        options = job.asked.options
        return examine(
            job.asked.source,
            options.get("target") or job.asked.target,
            options.get("columns") or (),
            folder=spec.path,
            settings=self._config,
            schema=spec.schema,
        )

    def _current(self, version: Version | None) -> FittedVersion | None:
        """Return the version that serves, to be compared with; None if it cannot be had."""
        if version is None:
            return None
        artifacts = Artifacts(self._config.state.home, self._store.blobs)
        found = artifacts.describe(version)
        try:
            artifacts.fetch(found)
        except ArtifactCorrupt as error:  # the evaluation says that it cannot be loaded
            log.warning("version %d of %s cannot be compared: %s", found.number, found.model, error)
        return found

    def _fetched(self, sha256: str, name: str) -> Path:
        file = self._workspace.path / name
        self._store.blobs.fetch(sha256, file)
        return file

    def _base(self, job: Job) -> FittedVersion:
        artifacts = Artifacts(self._config.state.home, self._store.blobs)
        try:
            version = self._store.catalog.version(job.model, f"v{job.asked.parent}")
        except UnknownVersion as error:
            raise JobFailed("load", "UnknownVersion", str(error)) from None
        base = artifacts.describe(version)
        artifacts.fetch(base)
        return base


@contextmanager
def feeding(source: DataSource | None, task: FitJob) -> Iterator[tuple[int, Feed | None]]:
    """Feed a source to a pipe, whose reading end is given; -1 without a source.

    Rows that a checkpoint of the same source holds are left out.
    """
    if source is None:
        yield -1, None
        return
    from modelsync.training.feed import Feed

    reading, writing = os.pipe()
    skip = position(task.checkpoint)[1] if task.checkpoint else 0
    feed = Feed(source, writing, skip=skip)
    feed.start()
    yield reading, feed
    feed.join(FEED_END)

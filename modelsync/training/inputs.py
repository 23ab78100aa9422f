"""What a job reads: the data of its request, the version that it updates, its checkpoint; fetched
from the store into its workspace, for a process that knows no store.
"""

from __future__ import annotations

from pathlib import Path

from modelsync.errors import JobFailed, UnknownVersion
from modelsync.fitting.messages import FitJob
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import Job
from modelsync.training.artifacts import Artifacts
from modelsync.training.workspace import Workspace


class JobInputs:
    """Collects the inputs of one job."""

    def __init__(self, config: Settings, store: Store, workspace: Workspace) -> None:
        self._config = config
        self._store = store
        self._workspace = workspace

    def collect(self, job: Job, spec: ModelSpec) -> FitJob:
        """Return what the process that fits is told; but for what it inherits.

        Raises StoreUnavailable, ArtifactCorrupt, StorageFailed; JobFailed if the version that is to
        be updated has been deleted.
        """
        asked, training = job.asked, self._config.training
        body = self._fetched(asked.input, "body") if asked.input else None
        record = self._store.catalog.model(job.model)
        current = next((one for one in record.versions if one.number == record.current), None)
        return FitJob(
            spec=spec,
            kind=asked.kind,
            parent=0,
            output=self._workspace.output,
            params=dict(asked.params),
            input=None if asked.kind == "upload" else body,
            upload=body if asked.kind == "upload" else None,
            base=self._base(job) if asked.kind == "update" else None,
            checkpoint=self._fetched(job.checkpoint, "checkpoint") if job.checkpoint else None,
            serializer=str(asked.options.get("serializer") or training.serializer),
            promote=bool(asked.options.get("promote", True)),
            old_metrics=dict(current.made.metrics) if current else None,
            memory=training.memory,
            log_format="text",
            log_level=self._config.logs.level,
        )

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

"""Jobs of a running service: asked for in its store, watched until they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

from modelsync.models.versions import FittedVersion
from modelsync.releases.fitted import FittedVersions
from modelsync.releases.store import Releases
from modelsync.store import Store
from modelsync.store.records import Job, JobState, NewJob
from tests.fixtures.processes import marked
from tests.training.storing import MOST, open_store
from tests.waiting import until


class Jobs:
    """The jobs of one state directory."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.store: Store = open_store(home, **settings)

    def add(self, model: str, data: Any = None, **asked: Any) -> Job:
        """A job as a `PUT` makes it: `fit` with data, `train` without."""
        release = Releases(self.home).current()
        assert release
        entry = {str(name): one for name, one in release.models.items()}[model]
        body = self.store.blobs.put_bytes(json.dumps(data).encode()) if data is not None else ""
        values = {
            "kind": "train" if data is None else "fit",
            "key": "key",
            "input": body,
            "code": entry.version,
            "commit": release.commit,
            "release": release.id,
            **asked,
        }
        return self.store.catalog.add_job(NewJob(model=model, **values), max_waiting=MOST)[0]

    def row(self, job: Job) -> Job:
        return self.store.catalog.job(job.model, job.id)

    def ended(self, job: Job, timeout: float = 40.0) -> Job:
        """The job when it has ended."""
        until(lambda: self.row(job).final, timeout, message=f"{self.row(job)}")
        return self.row(job)

    def reach(self, job: Job, state: JobState) -> Job:
        """The job when it has this state."""
        until(lambda: self.row(job).state == state, 40, message=f"{self.row(job)}")
        return self.row(job)

    def served(self, model: str) -> FittedVersion:
        """The version of a model that is on the disk to serve."""

        def found() -> FittedVersion | None:
            versions = FittedVersions(self.home).read().get(model)
            return versions.serving if versions else None

        return until(found)

    def log(self, job: Job) -> str:
        return self.store.catalog.read_log(job.id)[0]

    # --- its processes ----------------------------------------------------------------------------

    def process(self, job: Job) -> psutil.Process:
        """The process of a job."""
        return until(lambda: _first(self.home, "job run " + job.id))

    def fitting(self, job: Job) -> psutil.Process:
        """The process that fits."""
        return until(lambda: _first(self.home, f"modelsync.fitting {self._folder(job)}"))

    def trainer(self) -> psutil.Process:
        return until(lambda: _first(self.home, "modelsync.training.trainer"))

    def _folder(self, job: Job) -> Path:
        return (self.home / "jobs" / job.id).absolute()


def _first(home: Path, words: str) -> psutil.Process | None:
    for one in marked(home):
        try:
            if words in " ".join(one.cmdline()):
                return one
        except psutil.Error:
            continue
    return None

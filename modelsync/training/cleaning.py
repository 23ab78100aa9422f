"""Removes what nobody needs any more: blobs without a row, artefacts that do not serve, the folders
of jobs and the bodies of requests whose processes were killed.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

from modelsync.files import remove_tree
from modelsync.observability.logs import event
from modelsync.releases.fitted import FittedVersions
from modelsync.store import Store
from modelsync.training import workspace
from modelsync.training.artifacts import Artifacts
from modelsync.training.workspace import Workspace

log = logging.getLogger(__name__)

INTERVAL = 3600.0
"""Seconds between two cleanings; the first comes soon after the start."""

DAY = 24 * 3600.0
"""Seconds for which a blob without a row stays, whose job may be about to write it; and the body of
a request.
"""

MOST_JOBS = 1_000_000


class Cleaning:
    """Cleans the store and this state directory, now and then."""

    def __init__(self, home: Path, store: Store) -> None:
        self._home = home
        self._store = store
        self._files = FittedVersions(home)
        self._artifacts = Artifacts(home, store.blobs)
        self._next = 0.0

    def step(self, now: float) -> None:
        """Clean, if it is time. Raises StoreUnavailable."""
        if now < self._next:
            return
        folders = workspace.unheld(self._home)  # first: a job is a row before it is a folder
        live = {job.id for job in self._store.catalog.jobs(live=True, limit=MOST_JOBS)}
        for job in folders - live:
            Workspace(self._home, job).remove()
        self._remove_bodies(time.time() - DAY)
        files = self._artifacts.sweep(self._needed(), time.time())
        blobs = self._store.blobs.collect(DAY)
        self._next = now + INTERVAL
        if files or blobs:
            event(log, logging.INFO, "cleaned", event="cleaned", artifacts=files, blobs=blobs)

    def _remove_bodies(self, before: float) -> None:
        """Remove bodies of requests that nobody reads any more, older than `before`: files, and
        folders of workers that were killed.
        """
        with suppress(OSError):
            for left in (self._home / "run" / "requests").iterdir():
                with suppress(OSError):
                    if left.lstat().st_mtime < before:
                        remove_tree(left)

    def _needed(self) -> set[str]:
        """Return the digests of the artefacts that serve, have a label, or are in a worker."""
        mirrored = self._files.read()
        needed = [(name, one.current) for name, one in mirrored.items()]
        for served in self._files.acknowledged():
            needed += served.items()
        for name, record in self._store.catalog.models().items():
            needed += [(name, number) for number in (record.current, *record.labels.values())]
        return {
            mirrored[name].versions[number].sha256
            for name, number in needed
            if number and name in mirrored and number in mirrored[name].versions
        }

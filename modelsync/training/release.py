"""The release whose code a job runs: one on this machine, or made here from the recorded commit."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelsync.errors import JobFailed, ReleaseUnreadable, StorageFailed, SyncError
from modelsync.models.types import ModelName, ModelSpec
from modelsync.releases.store import Release, Releases
from modelsync.settings import Revision, Settings
from modelsync.store.records import Job

log = logging.getLogger(__name__)


@contextmanager
def code_of(job: Job, config: Settings) -> Iterator[ModelSpec]:
    """The model of a job as it was when the job was asked for; its release is kept meanwhile.

    Raises JobFailed if that code is not here and cannot be had.
    """
    releases = Releases(config.state.home)
    if (release := release_of(job, config)) is None:
        raise JobFailed(
            "load", "", f"the code of {job.model} has been replaced since: ask for the job again"
        )
    number = releases.hold(release)
    try:
        spec = release.models[ModelName(job.model)].spec
        yield spec.below(release.path)
    finally:
        os.close(number)


def release_of(job: Job, config: Settings) -> Release | None:
    """Return a release that holds the code of a job; None if there is none.

    In a state directory without a release, as in a pod of a Kubernetes Job, an update makes one of
    the commit with this model alone. Raises JobFailed if that fails.
    """
    releases = Releases(config.state.home)
    if releases.current_id() is None:
        _update(job, config)
    try:
        named = [releases.read(job.asked.release)] if job.asked.release else []
    except ReleaseUnreadable:  # swept since
        named = []
    return next((one for one in (*named, *releases.history()) if _holds(one, job)), None)


def _holds(release: Release, job: Job) -> bool:
    entry = release.models.get(ModelName(job.model))
    if entry is None or not entry.version:
        return False
    return not job.asked.code or entry.version == job.asked.code


def _update(job: Job, config: Settings) -> None:
    # Here, because it imports git and the check, which a job on the machine of its service never
    # needs.
    from modelsync.sync.sources import SingleModel, source_of
    from modelsync.sync.update import Updater

    if not config.standalone and not config.git.revision and job.asked.commit:
        revision = Revision.parse(job.asked.commit)
        # Proven: it served when the job was asked for, whatever else is broken in it.
        pinned = dataclasses.replace(config.git, revision=revision, proven=revision)
        config = dataclasses.replace(config, git=pinned)
    try:
        Updater(config, SingleModel(source_of(config), ModelName(job.model))).run()
    except (SyncError, StorageFailed) as error:
        raise JobFailed("load", "", f"the code of {job.model} cannot be had: {error}") from error


class KeptReleases:
    """Keeps the releases of queued and running jobs from being removed by a sync."""

    def __init__(self, home: Path) -> None:
        self._releases = Releases(home)
        self._held: dict[str, int] = {}

    def keep(self, live: Iterable[Job]) -> None:
        """Hold the releases of these jobs, and no others."""
        needed = {job.asked.release for job in live} - {""}
        for name in self._held.keys() - needed:
            os.close(self._held.pop(name))
        for name in needed - self._held.keys():
            with suppress(ReleaseUnreadable, StorageFailed):  # swept before this was asked
                self._held[name] = self._releases.hold(self._releases.read(name))

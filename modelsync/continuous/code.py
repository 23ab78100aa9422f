"""The code that is trained: that of the current release, or of one that is made here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from modelsync import locks
from modelsync.errors import ModelsyncError, SyncError
from modelsync.models.types import ModelEntry, ModelName, ModelSpec
from modelsync.releases.store import Release, Releases
from modelsync.settings import Settings

log = logging.getLogger(__name__)


class NoCode(ModelsyncError):
    """There is no model of that name, or no release at all."""

    reason = "no_code"


@dataclass(frozen=True, slots=True)
class Code:
    """The models of a release. `is_served`: a service serves from this state directory."""

    release: Release
    is_served: bool = False

    def entry(self, name: str) -> ModelEntry:
        """Return a model of it. Raises NoCode, which names those that there are."""
        known = self.release.models
        if (found := known.get(ModelName(name))) is None:
            listed = ", ".join(sorted(known)) or "none"
            raise NoCode(f"there is no model {name}; there are {listed}")
        return found

    def spec(self, entry: ModelEntry) -> ModelSpec:
        """Return the spec of a model, with the absolute path of its folder."""
        spec = entry.spec
        fault = entry.fault if entry.state == "failed" else None
        return replace(spec.below(self.release.path), fault=fault)


@contextmanager
def current(config: Settings, names: Sequence[str]) -> Iterator[Code]:
    """Give the current release, which is kept meanwhile.

    In a state directory from which no service serves, as in a pod of a CronJob, it is brought up to
    date first: of the one model of `names` alone, or of all. If that fails, the release that is
    there counts. Raises NoCode, SyncError, StorageFailed.
    """
    releases = Releases(config.state.home)
    if not _is_served(config.state.home):
        _update(config, releases.current(), names)
    release = releases.current()
    if release is None:
        raise NoCode("there is no release to train: `modelsync sync` says why")
    number = releases.hold(release)
    try:
        yield Code(release, is_served=_is_served(config.state.home))
    finally:
        os.close(number)


def _is_served(home: Path) -> bool:
    """Whether a service serves from this state directory."""
    file = home / "run" / "supervisor.pid"
    return file.exists() and locks.is_locked(file, exclusively=True)


def _update(config: Settings, found: Release | None, names: Sequence[str]) -> None:
    """Make a release of the newest code; `found` is the current one, which goes on if that fails.

    Raises SyncError if there is none.
    """
    # Here, because it imports git and the check, which nobody needs beside a running service.
    from modelsync.sync.sources import SingleModel, source_of
    from modelsync.sync.update import Updater

    source, force = source_of(config), False
    known = set(found.models) if found else set[str]()
    if not config.standalone:
        if len(names) == 1 and known <= set(names):
            source = SingleModel(source, ModelName(names[0]))
        else:  # that release may hold one model alone, of the same commit
            force = len(known) == 1 or not set(names) <= known
    try:
        Updater(config, source).run(force=force)
    except SyncError as error:
        if found is None:
            raise
        log.warning("the code cannot be brought up to date, release %s counts: %s", found.id, error)

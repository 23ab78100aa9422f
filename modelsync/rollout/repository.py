"""The repository as a run sees it: the ref's tip, commits by any name, the labels of tags."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace

from modelsync.deadline import Deadline
from modelsync.errors import RefNotFound, SettingsError, SyncError
from modelsync.observability.logs import event
from modelsync.releases.store import Releases
from modelsync.settings import Settings
from modelsync.sync.schedule import RETRY
from modelsync.sync.sources import GitSource

log = logging.getLogger(__name__)


class Repository:
    """The repository of the settings; `tip` is the commit that the ref pointed to when last read.

    Nothing takes longer than a sync may, nor than until the `deadline`, which may be replaced.
    """

    def __init__(self, settings: Settings, deadline: Deadline) -> None:
        self._settings = settings
        self._source = GitSource(settings)
        self.deadline = deadline
        self.view = self._source.view
        self.tip = ""

    def sync_deadline(self) -> Deadline:
        """The deadline of what is done now."""
        return Deadline(max(0.1, min(self._settings.sync.timeout, self.deadline.remaining())))

    def resolve(self) -> str:
        """Read the ref once; returns the tip. Raises SyncError."""
        self.tip = self._source.resolve(self.sync_deadline())
        return self.tip

    def resolve_patiently(self) -> None:
        """Read the ref; a failed read is tried again until the deadline. Raises SyncError."""
        failures = 0
        while True:
            try:
                self.resolve()
                return
            except SyncError as error:
                failures += 1
                pause = RETRY.pause(failures, 0.5)
                if pause >= self.deadline.remaining():
                    raise
                _tell(logging.WARNING, str(error), result="retry", reason=error.reason)
                time.sleep(pause)

    def refresh(self) -> None:
        """Read the ref again; a failure is logged, the rollout continues."""
        before = self.tip
        try:
            tip = self.resolve()
        except SyncError as error:  # pods on their way fetch by themselves
            log.info("the repository cannot be asked for a newer commit: %s", error)
            return
        if tip != before:
            _tell(logging.INFO, f"a newer commit, {tip[:12]}", result="newer", tip=tip)

    def find(self, name: str) -> str:
        """The commit of a branch, a tag or a hash, which may be a short one; it is fetched.

        Raises RefNotFound if there is none, other SyncErrors if that cannot be found out.
        """
        if re.fullmatch(r"[0-9A-Fa-f]{4,40}", name):
            name = name.lower()
        named = replace(self._settings, git=replace(self._settings.git, ref=name))
        deadline = self.sync_deadline()
        try:
            source = GitSource(named)
        except SettingsError as error:
            raise RefNotFound(str(error).removeprefix("MODELSYNC_GIT_REF ")) from None
        with Releases(self._settings.state.home).lock(deadline):
            commit = source.resolve(deadline)
            source.versions(commit, deadline)
        return commit

    def apply_tags(self) -> None:
        """Give the versions in the database, if there is one, the labels of the tags."""
        if not self._settings.store.database_url:
            return
        from modelsync.rollout.labels import apply_tags  # which needs all of the store

        deadline = self.sync_deadline()
        try:
            with Releases(self._settings.state.home).lock(deadline):
                apply_tags(self._settings, self._source, deadline)
        except SyncError as error:  # another run has the lock, and applies them
            log.info("the tags are left to another run: %s", error)


def _tell(level: int, message: str, **fields: object) -> None:
    event(log, level, f"rollout: {message}", event="rollout", **fields)

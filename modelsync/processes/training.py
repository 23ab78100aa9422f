"""The trainer as the supervisor sees it: a child that is started once something can be trained.

The supervisor loads neither SQLAlchemy nor the code of training.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from modelsync.errors import StorageFailed
from modelsync.orphans import Children
from modelsync.processes.kept_child import KeptChild
from modelsync.releases.store import Releases
from modelsync.settings import Settings
from modelsync.store.location import database_file
from modelsync.sync import sources
from modelsync.sync.schedule import Schedule, training_schedule

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks whether a trainer is needed."""

ENDING = 15.0
"""Seconds that the trainer has to end its jobs and itself."""


def check_schedule(config: Settings) -> None:
    """Refuse a schedule that cannot be kept now, rather than in the trainer, later.

    Raises SettingsError.
    """
    wanted = training_schedule(config)
    if config.training.jobs == "off" and (wanted != Schedule() or config.continuous.poll):
        log.warning("MODELSYNC_JOBS is off, so nothing is trained by itself")


class TrainerProcess:
    """Starts the trainer when it is needed, and again when it dies."""

    def __init__(self, config: Settings, children: Children) -> None:
        self._config = config
        self._seen: str | None = None
        self._child = KeptChild(
            children,
            "modelsync.training.trainer",
            name="the trainer",
            kind="trainer",
            grace=ENDING,
            alone=True,
        )

    async def run(self) -> None:
        """Keep it running, until cancelled; then it has ended."""
        while not self._is_needed():
            await asyncio.sleep(LOOK)
        await self._child.run()

    def kill(self) -> None:
        """Kill it; its jobs end themselves."""
        self._child.kill()

    def _is_needed(self) -> bool:
        """Whether a model can be trained, or was: another replica may do so, too."""
        if self._config.store.database_url or database_file(self._config.state.home).exists():
            return True
        if self._config.continuous.sample_rate:  # it has the samples collected
            return True
        if self._config.training.jobs == "off":
            return False
        if (current := Releases(self._config.state.home).current_id()) == self._seen:
            return False
        self._seen = current
        with contextlib.suppress(StorageFailed):
            if release := sources.current(self._config):
                return any(entry.spec.trainable for entry in release.models.values())
        return False

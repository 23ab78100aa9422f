"""Records in the state directory how the swap to a release went."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from modelsync.clock import moment
from modelsync.errors import SyncError
from modelsync.processes.generation import NotReady
from modelsync.releases.store import Release
from modelsync.settings import Settings
from modelsync.sync import rejection, unfit

log = logging.getLogger(__name__)


class SwapRecord:
    """The record of one service's swaps. A failure to write it is logged."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def not_served(
        self, release: Release, serving: Release | None, error: NotReady
    ) -> tuple[bool, bool]:
        """Take back a release that is not served; `serving` is current again.

        Returns whether the matter is settled, as no other try is due, and whether a release with
        the previous versions of the models that do not load is to be made now.
        """
        lasting = not error.transient
        try:
            await asyncio.to_thread(
                rejection.withdraw, self._settings, release, serving, str(error), lasting=lasting
            )
        except SyncError as problem:
            log.error("the release cannot be taken back now: %s", problem)
            return False, False
        again = bool(error.unfit) and await self.served(release, error.unfit)
        # A pinned pod waits for no other commit.
        return lasting and self._settings.git.follows, again

    async def served(self, release: Release, missing: Mapping[str, str]) -> bool:
        """Record which models of a release do not load here; False if that cannot be done."""
        home = self._settings.state.home
        try:
            await asyncio.to_thread(unfit.record, home, release, missing, moment())
        except SyncError as problem:
            log.error("what does not load cannot be recorded: %s", problem)
            return False
        return True

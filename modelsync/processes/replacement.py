"""Replaces a generation by another one of the same release, when a model is to run elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from modelsync.backoff import Backoff
from modelsync.processes.generation import NotReady

log = logging.getLogger(__name__)

PAUSE = Backoff(first=2.0, most=300.0)
"""Seconds between two replacements, because each loads all models."""


class Replacement:
    """Calls `replace` when it is requested, each time after a longer pause."""

    def __init__(self, replace: Callable[[], Awaitable[None]]) -> None:
        self._replace = replace
        self._requested = asyncio.Event()

    def request(self) -> None:
        """Request a replacement; many requests during a pause cause one."""
        self._requested.set()

    async def run(self) -> None:
        """Replace at each request, until cancelled; a replacement that fails is tried again."""
        in_a_row, last = 0, monotonic()
        while True:
            await self._requested.wait()
            self._requested.clear()
            if monotonic() - last > 2 * PAUSE.most:
                in_a_row = 0
            try:
                await self._replace()
            except (NotReady, OSError) as error:
                log.error("the generation cannot be replaced now: %s", error)
                self._requested.set()
            in_a_row, last = in_a_row + 1, monotonic()
            await asyncio.sleep(PAUSE.pause(in_a_row))

"""A child of the supervisor that runs as long as it does, and is started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from time import monotonic
from typing import NoReturn

from modelsync.backoff import Backoff
from modelsync.observability.logs import event
from modelsync.orphans import Children
from modelsync.processes import module_child

log = logging.getLogger(__name__)

RESTART = Backoff(first=0.2, most=10.0)
"""Seconds between two starts of a child that keeps ending."""

SETTLED = 5.0
"""Seconds of life after which a child that ends is started again at once."""


class KeptChild:
    """The process of a module.

    `name` is what the log calls it, `kind` begins the name of the event that it has ended. It has
    `grace` seconds to end; then it is killed, with what it has started in its session unless
    `alone`.
    """

    def __init__(
        self,
        children: Children,
        module: str,
        *,
        name: str,
        kind: str,
        grace: float,
        alone: bool = False,
    ) -> None:
        self._children = children
        self._module = module
        self._name = name
        self._kind = kind
        self._grace = grace
        self._alone = alone
        self._process: asyncio.subprocess.Process | None = None
        self._failures = 0

    async def run(self) -> NoReturn:
        """Keep it running, until cancelled; then it has ended."""
        while True:
            born = monotonic()
            how = await self._live()
            self._failures = 1 if monotonic() - born > SETTLED else self._failures + 1
            said, kind = f"{self._name} has ended: {how}", f"{self._kind}_ended"
            event(log, logging.ERROR, said, event=kind)
            await asyncio.sleep(RESTART.pause(self._failures, random.random()))  # noqa: S311

    def kill(self) -> None:
        """Kill it."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def _live(self) -> str:
        """Start it and wait for its end; return how it ended."""
        try:
            process = await module_child.start(self._children, self._module)
        except OSError as error:
            return f"it cannot start: {error.strerror}"
        self._process = process
        code = await module_child.wait(self._children, process, self._grace, alone=self._alone)
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

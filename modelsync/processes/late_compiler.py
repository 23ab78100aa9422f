"""The compiling of what was late, as the supervisor sees it: a child, once for each release."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from modelsync.orphans import Children
from modelsync.processes import module_child
from modelsync.releases.store import Release

log = logging.getLogger(__name__)

ENDING = 5.0
"""Seconds that the child has to end its compilers and itself."""


class LateCompiler:
    """Compiles the late models of each release that serves, then asks for a sync.

    `request_sync`: that publishes what has been compiled.
    """

    def __init__(self, children: Children, request_sync: Callable[[], None]) -> None:
        self._children = children
        self._request_sync = request_sync
        self._release = ""
        self._wanted = asyncio.Event()

    def look(self, release: Release | None) -> None:
        """Have the late models of a release compiled, unless that has been done."""
        if release is None or release.id == self._release:
            return
        compilations = [entry.compilation for entry in release.models.values()]
        if any(one and one.state == "late" for one in compilations):
            self._release = release.id
            self._wanted.set()

    async def run(self) -> None:
        """Compile whenever there is something, one release after the other, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if await self._compile() == 0:
                self._request_sync()

    async def _compile(self) -> int | None:
        """Run the child and wait for its end; return its exit code, None if it cannot start."""
        try:
            process = await module_child.start(self._children, "modelsync.sync.late_compiling")
        except OSError as error:
            log.error("late models are not compiled: %s", error.strerror)
            return None
        return await module_child.wait(self._children, process, ENDING)

"""The sync loop: takes requests for a sync, and runs each update in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import watchfiles

from modelsync.errors import ReleaseRejected, ResourcesExhausted, StorageFailed, UpdateDied
from modelsync.orphans import Children
from modelsync.processes import module_child, requests_pipe
from modelsync.processes.requests_pipe import FORCED, PLACE_ANEW, SYNC
from modelsync.settings import Settings
from modelsync.sync import folder_source, sources, update
from modelsync.sync.plan import to_be_tried_again
from modelsync.sync.schedule import RECHECK, RETRY, Schedule
from modelsync.sync.status import read_status, record_failure, record_next_attempt

log = logging.getLogger(__name__)

LOOK = 5000
"""Milliseconds between two looks whether the models use files of other folders."""

UPDATE_GRACE = 10.0
"""Seconds an update gets to clean up when the service ends."""


class SyncLoop:
    """Runs an update whenever the source may have changed, and has the new release served.

    `request_writer` is the end of a pipe for requests (`requests_pipe`): of a sync, or of another
    generation of the same release, for which `place_anew` is called. `serve_current` is called
    after each update, also after one that failed; it returns False if serving must be tried
    again. `is_complete` tells whether all models that passed the check are served. Update processes
    are added to `children`.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        serve_current: Callable[[], Awaitable[bool]],
        is_complete: Callable[[], bool],
        *,
        watch: bool,
        place_anew: Callable[[], None],
        children: Children,
    ) -> None:
        self._children = children
        self._place_anew = place_anew
        self._settings = settings
        self._schedule = schedule
        self._serve_current = serve_current
        self._is_complete = is_complete
        self._watch = watch
        self._failures = 0
        self._rechecks = 0  # in a row, for models that are broken for a reason that may pass
        self._forced = False
        self._update_process: asyncio.subprocess.Process | None = None
        self._due: datetime | None = None  # by the schedule
        self._retry: datetime | None = None
        self._request_reader, self.request_writer = os.pipe()
        self._requested = asyncio.Event()

    def listen(self) -> None:
        """Accept requests for a sync from now on, through the pipe."""
        loop = asyncio.get_running_loop()
        os.set_blocking(self._request_reader, False)
        os.set_blocking(self.request_writer, False)
        loop.add_reader(self._request_reader, self._read_requests)

    def request(self) -> None:
        """Request a sync."""
        self._requested.set()

    async def run(self) -> None:
        """Sync at once and at each request, until cancelled; then no update is left running."""
        if (proven := self._settings.git.proven) and not proven.valid:
            message = "MODELSYNC_GIT_PROVEN is %r, no full hash of a commit, and is ignored"
            log.warning(message, proven.commit[:100])
        self._requested.set()
        loops: list[Callable[[], Awaitable[None]]] = [self._follow, self._keep_schedule]
        if self._watch:
            loops += [self._watch_files, self._watch_shared_code]
        async with asyncio.TaskGroup() as group:
            for one in loops:
                group.create_task(_run_for_ever(one))

    # --- requests for a sync ----------------------------------------------------------------------

    def _read_requests(self) -> None:
        """Read the requests of generations; many bytes of a kind count as one request."""
        requests = requests_pipe.read(self._request_reader)
        self._forced = self._forced or FORCED in requests
        if SYNC in requests or FORCED in requests:
            self._requested.set()
        if PLACE_ANEW in requests:
            self._place_anew()

    async def _keep_schedule(self) -> None:
        while not self._settings.standalone:
            now = datetime.now(UTC)
            if (due := self._schedule.next_after(now)) is None:
                return
            due += timedelta(seconds=random.uniform(0, self._jitter(due - now)))  # noqa: S311  spreads replicas out
            self._due = due
            record_next_attempt(self._settings.state.home, min(due, self._retry or due))
            # In steps, because the machine's clock may be set meanwhile, and timers of a suspended
            # machine stand still.
            while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
                await asyncio.sleep(min(left, 30.0))
            self._requested.set()

    def _jitter(self, interval: timedelta) -> float:
        """Seconds at random, at most a tenth of the interval: `@every 10s` must not start a minute
        late.
        """
        return min(self._settings.sync.jitter, interval.total_seconds() / 10)

    async def _watch_files(self) -> None:
        async for _ in self._changes():
            log.info("%s has changed", self._settings.state.models.name)
            self._requested.set()

    async def _watch_shared_code(self) -> None:
        """Watch the folders of the work tree whose files models use, which change with the code."""
        while places := await self._shared_places():
            async for changes in watchfiles.awatch(
                *places,
                recursive=False,  # there may be anything below
                debounce=300,
                step=100,
                rust_timeout=LOOK,
                yield_on_timeout=True,
            ):
                if changes:
                    log.info("files beside %s have changed", self._settings.state.models.name)
                    self._requested.set()
                if await self._shared_places() != places:
                    self._requested.set()  # what was saved there meanwhile was not seen
                    break

    async def _shared_places(self) -> frozenset[Path]:
        return await asyncio.to_thread(folder_source.shared_places, self._settings)

    def _changes(self) -> AsyncIterator[object]:
        return watchfiles.awatch(self._settings.state.models, debounce=300, step=100)

    # --- following --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Run one update at a time, and retry failed ones.

        Requests that arrive during an update cause one more update afterwards.
        """
        while True:
            self._plan(wait := self._pause())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._requested.wait(), wait)
            self._requested.clear()
            self._plan(None)
            self._failures += 1  # counts also if the next lines raise
            updated = await self._update()
            if (await self._serve_current() and updated) or self._rejected():
                self._failures = 0
            self._rechecks = self._rechecks + 1 if self._to_be_tried_again() else 0

    def _pause(self) -> float | None:
        """Seconds until the next try: of a sync that failed, or of a model that may work later."""
        pauses = [
            backoff.pause(count, random.random())  # noqa: S311  spreads replicas out
            for backoff, count in ((RETRY, self._failures), (RECHECK, self._rechecks))
            if count
        ]
        return min(pauses, default=None)

    def _to_be_tried_again(self) -> bool:
        """Whether a model of the current release may work later."""
        if not self._is_complete():
            return True
        try:
            release = sources.current(self._settings)
        except StorageFailed:
            return False
        return release is not None and bool(to_be_tried_again(release))

    def _plan(self, wait: float | None) -> None:
        """Record when the next sync starts: by the schedule, or `wait` seconds from now, if
        sooner.
        """
        now = datetime.now(UTC)
        self._retry = now + timedelta(seconds=wait) if wait is not None else None
        due = self._due if self._due and self._due > now else None
        record_next_attempt(
            self._settings.state.home, min(filter(None, (due, self._retry)), default=None)
        )

    def _rejected(self) -> bool:
        """Whether the commit was rejected, so that a retry would be rejected again.

        False for a pinned pod, which waits for no other commit.
        """
        return (
            self._settings.git.follows
            and read_status(self._settings.state.home).reason == ReleaseRejected.reason
        )

    async def _update(self) -> bool:
        """Run an update in a process of its own, so that none of its failures ends
        the supervisor.
        """
        forced, self._forced = self._forced, False
        try:
            options = ["--force"] if forced else []
            process = await module_child.start(self._children, "modelsync.sync.update", *options)
        except OSError as error:
            home, why = self._settings.state.home, error.strerror
            record_failure(home, ResourcesExhausted(f"the update process cannot start: {why}"))
            return False
        self._update_process = process
        code = await module_child.wait(self._children, process, UPDATE_GRACE)
        if code not in (0, update.FAILED):
            self._died(
                f"ended with {signal.Signals(-code).name}"
                if code < 0
                else f"ended with exit code {code}"
            )
        return code == 0

    def kill(self) -> None:
        """Kill an update that still cleans up, with all processes it has started."""
        if self._update_process and self._update_process.returncode is None:
            os.killpg(self._update_process.pid, signal.SIGKILL)

    def _died(self, how: str) -> None:
        """Report the death of an update, which could not report it itself."""
        record_failure(self._settings.state.home, UpdateDied(f"the update process {how}"))


async def _run_for_ever(loop: Callable[[], Awaitable[None]]) -> None:
    """Run one of the loops for ever: an unexpected error is logged, and the loop continues."""
    while True:
        try:
            await loop()
            return
        except Exception:  # the edge of a loop
            log.exception("unexpected error; the loop continues")
            await asyncio.sleep(5)

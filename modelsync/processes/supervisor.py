"""The supervisor: owns the listening socket, has the source followed, replaces one generation by
the next.

It runs no model code and imports none. What takes long runs in children: each update, each
generation. A crash of the supervisor ends them; started again it serves the current release at once
and then looks for a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from modelsync.errors import SettingsError, StorageFailed, SyncError
from modelsync.inference import circuit_breaker
from modelsync.models.types import ModelName
from modelsync.observability import counters
from modelsync.observability.logs import event
from modelsync.processes.generation import Generation, NotReady
from modelsync.processes.sync_loop import SyncLoop
from modelsync.releases import owners
from modelsync.releases.store import Release, Releases
from modelsync.settings import Settings
from modelsync.sync import sources, update
from modelsync.sync.schedule import Schedule

log = logging.getLogger(__name__)

READY_TIMEOUT = 120.0
"""Seconds a generation may take to load its models, on top of what one model may take in the check.
"""

RESTART_MOST = 30.0
"""Seconds between two starts of a generation that keeps dying, at most."""

EMPTY_DRAIN = 0.5
"""Seconds the generation without a release gets to end before the first release is let in."""

Announce = Callable[[Release, int], None]
"""Told of each release that starts to serve, with the port."""


def serve(settings: Settings, *, watch: bool = False, announce: Announce | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises SettingsError where the source, the schedule, the address or the state directory cannot
    be used.
    """
    # From here on others find our number and may signal; the first sync comes anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sources.source_of(settings)
    schedule = Schedule.parse(settings.sync.cron)
    with owners.sole(settings.state.home), _listener(settings) as listener:
        return asyncio.run(
            Supervisor(settings, listener, schedule, watch=watch, announce=announce).run()
        )


class Supervisor:
    """One process for the life of the service. All of it runs in one event loop."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        schedule: Schedule,
        *,
        watch: bool,
        announce: Announce | None,
    ) -> None:
        self.settings = settings
        self.releases = Releases(settings.state.home)
        self.current: Generation | None = None
        self._listener = listener
        self._announce = announce
        self._sync_loop = SyncLoop(settings, schedule, self._serve_current, watch=watch)
        self._ending = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._swapping = asyncio.Lock()
        self._guards: set[asyncio.Task[None]] = set()
        self._draining: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Start serving, keep following, and end in the reverse order of traffic."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._sync_loop.listen()
        counters.retire(counters.folder(self.settings.state.home))
        circuit_breaker.memory_file(self.settings.state.home).unlink(
            missing_ok=True
        )  # a restart gives every model another chance
        host, port = self._listener.getsockname()[:2]
        log.info("listening at http://%s:%d/%s", host, port, self.settings.server.base_url)
        await self._first_generation()
        following = loop.create_task(self._sync_loop.run())
        await self._ending.wait()
        patience = self.settings.server.drain_timeout
        log.info(
            "ending: waiting for requests in flight, at most %g s; Ctrl-C again ends at once",
            patience,
        )
        ended, hurried = (
            loop.create_task(self._end(following)),
            loop.create_task(self._hurrying.wait()),
        )
        await asyncio.wait([ended, hurried], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            log.warning("ending at once: requests in flight are not answered")
            await self._cut_off()
        await ended
        hurried.cancel()
        log.info("ended")
        return 0

    def _signalled(self) -> None:
        """End; told once more, at once."""
        if self._ending.is_set():
            self._hurrying.set()
        self._ending.set()

    async def _end(self, following: asyncio.Task[None]) -> None:
        await _cancel([following])
        await _cancel(self._guards)
        if self.current:
            await self.current.drain(self.settings.server.drain_timeout + 5)
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def _cut_off(self) -> None:
        """End everything that `_end` waits for."""
        self._sync_loop.kill()
        if self.current:
            await self.current.kill()
        await _cancel(self._draining)

    # --- generations ------------------------------------------------------------------------------

    async def _first_generation(self) -> None:
        """What was served last, at once; where nothing was, or it does not start, probes that say
        so.
        """
        release = self._current_release()
        if not release and (other := self.releases.current()):
            log.warning(
                "%s is of another source than is set now: waiting for its first sync", other.id
            )
        try:
            await self._start(release)
        except NotReady as error:
            log.error("%s", error)
            if release:
                event(
                    log,
                    logging.ERROR,
                    "the last release does not start",
                    release=release.id,
                    reason=str(error),
                )
                await self._start(None)

    def _current_release(self) -> Release | None:
        try:
            return sources.current(self.settings)
        except StorageFailed as error:
            log.error("%s", error)
            return None

    async def _serve_current(self) -> bool:
        """Swap to the current release, unless it is what serves; False where that has to be tried
        again.
        """
        release = self._current_release()
        serving = self.current.release if self.current else None
        if release is None or (serving and serving.id == release.id):
            return True
        try:
            await self._start(release)
        except NotReady as error:
            event(
                log,
                logging.ERROR,
                "the release is not served",
                release=release.id,
                reason=str(error),
            )
            try:
                await asyncio.to_thread(update.reject, self.settings, release, serving, str(error))
            except SyncError as problem:
                log.error("it cannot be taken back now: %s", problem)
                return False
            return not self.settings.git.revision  # a pinned pod has no other to wait for
        return True

    async def _start(self, release: Release | None) -> None:
        """Bring up a generation of `release`; once all of it is ready, let the one before drain.

        Raises NotReady; then what served goes on serving.
        """
        async with self._swapping:
            timeout = READY_TIMEOUT + self.settings.sync.check_timeout
            generation = await Generation.start(
                release,
                listener=self._listener,
                control=self._sync_loop.ask,
                config=self.settings,
                timeout=timeout,
            )
            lost = self._lost(generation)
            if lost and (self.settings.git.on_probation or (self.current and self.current.release)):
                await generation.kill()
                raise NotReady(
                    "; ".join(f"{name} does not load: {reason}" for name, reason in lost.items())
                )
            old, self.current = self.current, generation
            if (
                old and old.release is None
            ):  # it can answer nothing that the new one could not answer better
                await old.drain(EMPTY_DRAIN)
                old = None
            generation.go()
        event(
            log,
            logging.INFO,
            "serving" if release else "waiting for the first release",
            event="swap",
            release=release.id if release else None,
            models=len(release.models) if release else 0,
        )
        if release and self._announce:
            self._announce(release, self._listener.getsockname()[1])
        _keep(self._guards, self._guard(generation))
        if old:
            _keep(self._draining, old.drain(self.settings.server.drain_timeout + 5))

    def _lost(self, generation: Generation) -> dict[str, str]:
        """Models that passed the check but do not load in the generation: the machine's trouble, or
        a flaky model.
        """
        entries = generation.release.models if generation.release else {}
        return {
            name: reason
            for name, reason in generation.faults.items()
            if (entry := entries.get(ModelName(name))) and entry.state != "failed"
        }

    async def _guard(self, generation: Generation) -> None:
        """Start the release again where its master dies; the socket is ours, so clients wait
        meanwhile.
        """
        await generation.process.wait()
        pause = 0.1
        while generation is self.current and not self._ending.is_set():
            event(log, logging.ERROR, "the generation has died", exit=generation.process.returncode)
            try:
                await self._start(generation.release)
            except NotReady as error:
                log.error("it does not start again: %s", error)
                await asyncio.sleep(pause)
                pause = min(RESTART_MOST, pause * 2)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Run `work` as a task that is not forgotten before it has ended."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The socket all generations accept from. Raises SettingsError where the address cannot be had."""
    host, port = settings.server.host, settings.server.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4][:2]
        listener = socket.create_server(
            address,
            family=family,
            backlog=2048,
            dualstack_ipv6=family == socket.AF_INET6 and host == "::",
        )
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}): set MODELSYNC_HOST or MODELSYNC_PORT"
        ) from None
    with listener:
        yield listener

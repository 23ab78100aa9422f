"""The supervisor: owns the listening socket, follows the source, replaces generations.

It runs no model code and imports none. Each update, each generation and the trainer is a child
process. If the supervisor crashes, they end. After a restart it serves the current release at once,
then looks for a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from modelsync.backoff import Backoff
from modelsync.errors import StorageFailed
from modelsync.inference import circuit_breaker
from modelsync.observability import counters, totals
from modelsync.observability.logs import event
from modelsync.orphans import Children
from modelsync.processes import descriptors
from modelsync.processes.generation import Generation, NotReady, end_strangers
from modelsync.processes.hang_up import HangUp
from modelsync.processes.late_compiler import LateCompiler
from modelsync.processes.launcher import Launcher, not_loaded
from modelsync.processes.replacement import Replacement
from modelsync.processes.shadow import keep_shadow
from modelsync.processes.swap_record import SwapRecord
from modelsync.processes.sync_loop import SyncLoop
from modelsync.processes.tasks import cancel, start_task
from modelsync.processes.training import TrainerProcess, check_schedule
from modelsync.releases import owners
from modelsync.releases.store import Release, Releases
from modelsync.server.listener import address, listening
from modelsync.settings import Settings
from modelsync.sync import sources
from modelsync.sync.schedule import Schedule

log = logging.getLogger(__name__)

RESTART = Backoff(first=0.1, most=30.0)
"""Seconds between two starts of a generation that keeps dying."""

OLD_GENERATION = 10.0
"""Seconds for which the port may still be taken by a generation whose supervisor was killed."""

EMPTY_DRAIN = 0.5
"""Seconds the generation without a release gets to end before the first release serves."""

Announce = Callable[[Release, int], None]
"""Called with each release that starts to serve, and the port."""


def serve(settings: Settings, *, watch: bool = False, announce: Announce | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises SettingsError if the source, the schedule, the address or the state directory cannot
    be used.
    """
    hang_up = HangUp()
    # From here on `modelsync sync` finds our process id and signals; the first sync comes anyway.
    for number in (signal.SIGHUP, owners.SYNC_SIGNAL):
        signal.signal(number, signal.SIG_IGN)
    source = sources.source_of(settings)
    schedule = Schedule.parse(settings.sync.cron)
    check_schedule(settings)
    descriptors.raise_limit()
    with (
        owners.own(settings.state.home, sources.name_of(source)) as was_killed,
        listening(settings, OLD_GENERATION if was_killed else 0.0) as listener,
    ):
        return asyncio.run(
            Supervisor(settings, listener, schedule, hang_up, watch=watch, announce=announce).run()
        )


class Supervisor:
    """The process that lives as long as the service. All of it runs in one event loop."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        schedule: Schedule,
        hang_up: HangUp,
        *,
        watch: bool,
        announce: Announce | None,
    ) -> None:
        self.settings = settings
        self.releases = Releases(settings.state.home)
        self.current: Generation | None = None
        self._listener = listener
        self._announce = announce
        self._hang_up = hang_up
        self._children = Children()
        self._replacement = Replacement(self._replace)
        self._sync_loop = SyncLoop(
            settings,
            schedule,
            self._swap_to_current,
            lambda: not not_loaded(self.current),
            watch=watch,
            place_anew=self._replacement.request,
            children=self._children,
        )
        self._launcher = Launcher(
            settings, listener, self._sync_loop.request_writer, self._children
        )
        self._trainer = TrainerProcess(settings, self._children)
        self._late = LateCompiler(self._children, self._sync_loop.request)
        self._record = SwapRecord(settings)
        self._stopping = asyncio.Event()
        self._stopping_at_once = asyncio.Event()
        self._swapping = asyncio.Lock()
        self._restarters: set[asyncio.Task[None]] = set()
        self._draining: set[asyncio.Task[None]] = set()
        self._keepers: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Start serving, follow the source, and end in the reverse order of traffic."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        self._hang_up.listen(sync=self._sync_loop.request, stop=self._on_signal)
        loop.add_signal_handler(owners.SYNC_SIGNAL, self._sync_loop.request)
        self._sync_loop.listen()
        totals.retire(counters.folder(self.settings.state.home))
        # A restart gives every model another chance.
        circuit_breaker.memory_file(self.settings.state.home).unlink(missing_ok=True)
        url = f"http://{address(self._listener)}/{self.settings.server.base_url}"
        log.info("listening at %s", url)
        release = self._current_release()
        # A generation without a release serves nobody: the first update runs beside its start.
        following = None if release else loop.create_task(self._sync_loop.run())
        await self._first_generation(release)
        following = following or loop.create_task(self._sync_loop.run())
        for work in (end_strangers(self._children), self._replacement.run(), self._late.run()):
            start_task(self._keepers, work)
        start_task(self._keepers, keep_shadow(self.settings, self._children))
        training = loop.create_task(self._trainer.run())
        await self._stopping.wait()
        patience = self.settings.server.drain_timeout
        log.info(
            "ending: waiting for requests in flight, at most %g s; Ctrl-C again ends at once",
            patience,
        )
        ended = loop.create_task(self._stop(following, training))
        at_once = loop.create_task(self._stopping_at_once.wait())
        await asyncio.wait([ended, at_once], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            log.warning("ending at once: requests in flight are not answered")
            await self._kill_all()
        await ended
        at_once.cancel()
        log.info("ended")
        return 0

    def _on_signal(self) -> None:
        """Stop; at a second signal stop at once."""
        if self._stopping.is_set():
            self._stopping_at_once.set()
        self._stopping.set()

    async def _stop(self, following: asyncio.Task[None], training: asyncio.Task[None]) -> None:
        jobs_end = asyncio.create_task(cancel([training]))
        await cancel([following, *self._keepers, *self._restarters])
        if self.current:
            await self.current.drain(self.settings.server.drain_timeout + 5)
        await asyncio.gather(*self._draining, jobs_end, return_exceptions=True)
        await asyncio.to_thread(self._children.end_all)

    async def _kill_all(self) -> None:
        """Kill everything that `_stop` waits for."""
        self._sync_loop.kill()
        self._trainer.kill()
        if self.current:
            await self.current.kill()
        await cancel(self._draining)

    # --- generations ------------------------------------------------------------------------------

    async def _first_generation(self, release: Release | None) -> None:
        """Start the release that was served last, at once; without one, or if it does not start, a
        generation that answers the probes.
        """
        if not release and (other := self.releases.current()):
            log.warning(
                "%s comes from another source than the settings name: waiting for its first sync",
                other.id,
            )
        try:
            await self._start(release)
        except NotReady as error:
            log.error("%s", error)
            if release:
                fields = {"release": release.id, "reason": str(error)}
                event(log, logging.ERROR, "the last release does not start", **fields)
                await self._start(None)

    def _current_release(self) -> Release | None:
        try:
            return sources.current(self.settings)
        except StorageFailed as error:
            log.error("%s", error)
            return None

    async def _swap_to_current(self) -> bool:
        """Swap to the current release, unless all of it serves; False if that must be tried
        again.
        """
        release = self._current_release()
        serving = self.current.release if self.current else None
        if release is None:
            return True
        if serving and serving.id == release.id:
            return await self._complete(release)
        try:
            await self._start(release)
        except NotReady as error:
            fields = {"release": release.id, "reason": str(error)}
            event(log, logging.ERROR, "the release is not served", **fields)
            settled, again = await self._record.not_served(release, serving, error)
            if again:
                self._sync_loop.request()
            return settled
        return await self._record.served(release, not_loaded(self.current))

    async def _complete(self, release: Release) -> bool:
        """Try to load the models of the serving release that did not load; return true.

        The sync loop asks for this again as long as one is missing.
        """
        if not_loaded(self.current):
            try:
                await self._start(release, if_more_loads=True)
            except NotReady as error:
                log.error("the models that did not load are not tried now: %s", error)
        return True

    async def _start(self, release: Release | None, *, if_more_loads: bool = False) -> None:
        """Start a generation of `release`; once all of it is ready, drain the previous one.

        With `if_more_loads` the new one ends again unless it has models that the current one of
        that release lacks. Raises NotReady; then the previous generation continues to serve.
        """
        async with self._swapping:
            generation = await self._launcher.launch(release, self.current)
            if if_more_loads and self._serves_no_more(generation):
                await generation.kill()
                return
            old, self.current = self.current, generation
            if old and old.release is None:  # it answers probes and errors only
                await old.drain(EMPTY_DRAIN)
                old = None
            generation.open_gate()
        event(
            log,
            logging.INFO,
            "serving" if release else "waiting for the first release",
            event="swap",
            release=release.id if release else None,
            models=len(release.models) if release else 0,
        )
        self._late.look(release)
        if release and self._announce:
            self._announce(release, self._listener.getsockname()[1])
        start_task(self._restarters, self._restart_when_dead(generation))
        if old:
            start_task(self._draining, old.drain(self.settings.server.drain_timeout + 5))

    def _serves_no_more(self, generation: Generation) -> bool:
        """Whether a generation lacks all that the current one of the same release lacks."""
        current = self.current
        return (
            current is not None
            and current.process.returncode is None
            and current.release == generation.release
            and not_loaded(generation).keys() >= not_loaded(current).keys()
        )

    async def _replace(self) -> None:
        """Replace the generation by one of the same release. Raises NotReady as `_start`."""
        if self.current and self.current.release:
            await self._start(self.current.release)

    async def _restart_when_dead(self, generation: Generation) -> None:
        """Restart a generation that dies; clients wait in the backlog of its socket."""
        await generation.process.wait()
        self._children.forget(generation.process.pid)
        failures = 0
        while generation is self.current and not self._stopping.is_set():
            event(log, logging.ERROR, "the generation has died", exit=generation.process.returncode)
            try:
                await self._start(generation.release)
            except NotReady as error:
                log.error("the generation does not start again: %s", error)
                failures += 1
                await asyncio.sleep(RESTART.pause(failures))

"""The gunicorn worker class: gunicorn's fork, signals and heartbeat around uvloop and `Server`.

`modelsync serve` uses it. To run it by hand:
`gunicorn app:app --worker-class modelsync.processes.gunicorn_worker.ModelsyncWorker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
import uvloop
from gunicorn.workers.base import Worker

from modelsync.inference.serving import Service
from modelsync.models.isolation import patches, process_state, random_numbers
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.loading import loader
from modelsync.oom import prefer_as_oom_victim
from modelsync.processes.pulse import Pulses
from modelsync.processes.warm_up import stop, warm_up
from modelsync.server.connection import LINGER
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.server.server import Server

_exit = os._exit

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may compute before another one gets the interpreter. A request crosses threads
several times; beside a model that computes, each crossing would wait Python's default of 5 ms.
"""


CATCH_UP = 30.0
"""Seconds that a new worker waits for versions that have been fitted since its master began."""

MAX_REASON = 500
"""Characters of a reason in a report: a write to a pipe of at most 4 KiB is not divided."""


class ModelsyncWorker(Worker):  # type: ignore[misc]
    """One process: an event loop for HTTP, threads for models, threads for Flask."""

    ready_fd: int | None = None
    """The worker writes a line with its pid here once it is ready; the supervisor reads it."""

    gate_fd: int | None = None
    """The release gate: at the end of this pipe the worker accepts requests from the public socket.

    Until then it accepts from the private one alone. None: there is no gate.
    """

    connection_counts: ConnectionCounts | None = None
    """Shared by the workers, each by its `worker_index`, which the master gives before the fork."""

    worker_index = 0

    pulses: Pulses | None = None
    """Shared by the workers and their master, by `worker_index`."""

    deaf = 0.0
    """In the master: for how many seconds the worker was silent when the master ended it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.crash_report = CrashReport()

    def init_process(self) -> None:
        """Replace what must not be shared after the fork, then load (without preload) and run."""
        prefer_as_oom_victim()
        patches.install()
        super().init_process()

    def init_signals(self) -> None:
        """Set the signals that must work while the loop is stuck; `run` sets the others."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.siginterrupt(signal.SIGUSR1, False)
        # SIGABRT too: the heartbeat stopped, perhaps in code that lets no Python run
        self.crash_report.listen()

    def run(self) -> None:
        """Serve until a signal to end; returns once the last client is gone."""
        service: Service = self.wsgi.extensions["modelsync"]
        service.after_fork()
        random_numbers.reseed()
        threading.current_thread().name = "modelsync-loop"
        sys.setswitchinterval(SWITCH_INTERVAL)
        with contextlib.closing(uvloop.new_event_loop()) as loop:
            # Not set as this thread's loop: a model that asks for one would get a loop that runs.
            loop.run_until_complete(self._serve(service, loop))
        if runners := self.wsgi.extensions.get("modelsync-runners"):
            runners.end()
        # Threads of models may hang for ever; the clients have their answers, so do not wait.
        self.log.info("Worker has served its last request (pid: %s)", self.pid)
        self.tmp.close()
        sys.stdout.flush()
        sys.stderr.flush()
        _exit(0)

    async def _serve(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        """Warm up, report readiness, wait for the gate, serve, drain."""
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, ending.set)
        server = Server(service, self.wsgi, loop)
        beat = loop.create_task(self._heartbeat(service, server, ending))
        limit = service.settings.sync.check_timeout
        # A line for each model, since the supervisor limits the time between two lines.
        step = partial(self._tell, b"{}")
        service.watch.start(server.replace)
        await loop.run_in_executor(None, service.watch.catch_up, CATCH_UP)
        await loop.run_in_executor(None, warm_up, service.dataplane, limit, step)
        server.refresh()
        if self.pulses:
            self.pulses.start(self.worker_index)
        public, *private = [listener.sock for listener in self.sockets]
        server.listen(*private)
        self._report(service.dataplane.suspended)
        if await self._wait_for_gate(loop, ending):
            server.listen(
                public, connection_counts=self.connection_counts, worker_index=self.worker_index
            )
        await ending.wait()
        await server.drain(LINGER, self.cfg.graceful_timeout)
        service.watch.end()
        if not server.state.connections:
            service.dataplane.counters.answered()
        if service.sampler:
            await loop.run_in_executor(None, service.sampler.flush)
        await loop.run_in_executor(None, stop, service.dataplane)
        beat.cancel()

    def _report(self, suspended: Mapping[str, str]) -> None:
        """Tell the supervisor which models cannot be called here, then that the worker is ready.

        One line each, short enough that the lines of several workers never mix.
        """
        for name, reason in suspended.items():
            self._tell(orjson.dumps({"suspended": {name: reason[:MAX_REASON]}}))
        self._tell(str(self.pid).encode())

    def _tell(self, line: bytes) -> None:
        """Write a line for the supervisor, which reads until all workers have been ready once."""
        if self.ready_fd is not None:
            with contextlib.suppress(BrokenPipeError):  # for a worker that replaces another
                os.write(self.ready_fd, line + b"\n")

    async def _wait_for_gate(self, loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> bool:
        """Wait for the supervisor to close its end of the gate's pipe.

        False if the worker gets a signal to end first.
        """
        if self.gate_fd is None:
            return True
        go = asyncio.Event()
        loop.add_reader(self.gate_fd, go.set)
        waits = [loop.create_task(event.wait()) for event in (go, ending)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(self.gate_fd)
        for wait in waits:
            wait.cancel()
        return go.is_set()

    async def _heartbeat(self, service: Service, server: Server, ending: asyncio.Event) -> None:
        """Send the heartbeat; end when the master has gone, or when too many threads hang."""
        pool = service.dataplane.pool
        tidy_up = process_state.snapshot()
        while True:
            self.notify()
            loader.between_loads(tidy_up)
            if os.getppid() != self.ppid:
                self.log.info("The master has gone; ending (pid: %s)", self.pid)
                ending.set()
            if (hung := service.dataplane.hung) >= pool.size:
                self.log.error("%d calls hang; this worker is replaced (pid: %s)", hung, self.pid)
                ending.set()
            if server.state.requests >= self.max_requests:
                ending.set()
            await asyncio.sleep(1.0)

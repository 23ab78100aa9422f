"""The loop of a runner's main thread: reads calls from the workers, calls models, writes answers.

A loop of our own, without asyncio: a model may run an event loop in the main thread itself.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from modelsync.errors import ModelBroken, ModelUnavailable
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.messages import LOAD, RELEASE, Call
from modelsync.inference.outcome import Outcome
from modelsync.inference.pending import MAX_BATCH
from modelsync.inference.pulse import Pulse
from modelsync.inference.runners import InProcessRunner
from modelsync.models.placement import Placement
from modelsync.models.types import Fault
from modelsync.runner.calls import RunningCalls
from modelsync.runner.connection import WorkerConnection
from modelsync.runner.job import RunnerJob
from modelsync.runner.reports import Reports
from modelsync.runner.served_model import Reply, ServedModel
from modelsync.runner.versions import ServedVersions
from modelsync.runner.watch import MainThreadWatch

log = logging.getLogger(__name__)

MANY = 4
"""Times the threads of the pool; so many calls that hang end the process although others run."""


class RunnerServer:
    """Serves the models of a job, each by its number; those that did not load are refused."""

    def __init__(
        self,
        job: RunnerJob,
        loaded: Sequence[InProcessRunner | Fault],
        pulse: Pulse,
    ) -> None:
        self._pulse = pulse
        self._listener = socket.socket(fileno=job.listen)
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[WorkerConnection, Call]] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._waking, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._ending = False
        self._loaded = list(loaded)
        names = [str(model.spec.name) for model in job.models]
        self._dataplane = DataPlane(
            {one.model.name: one for one in loaded if isinstance(one, InProcessRunner)},
            {},
            RunningCalls(names, pulse),
            release="",
            folder=job.folder,
            threads=job.threads,
            max_queue=job.max_queue,
            timeout=job.timeout,
        )
        self._watch = MainThreadWatch(pulse, job.timeout)
        self._alone = len(names) == 1
        self._models = [
            found if isinstance(found, Fault) else self._versions(found, model.placement)
            for found, model in zip(loaded, job.models, strict=True)
        ]
        self._names = names

    def _versions(self, first: InProcessRunner, placement: Placement) -> ServedVersions:
        """Serve a model in the version that was loaded first."""

        def make(runner: InProcessRunner) -> ServedModel:
            return ServedModel(runner, placement, self._dataplane, self._watch, alone=self._alone)

        main_thread = placement.main_thread or placement.place == "thread"
        return ServedVersions(
            first, make, self._dataplane.prepare, self.post, self._watch, main_thread=main_thread
        )

    def warm_up(self, reports: Reports) -> None:
        """Start each model and call it with its first example; report it, or why it fails."""
        for number, (name, found) in enumerate(zip(self._names, self._loaded, strict=True)):
            if isinstance(found, InProcessRunner):
                reports.loading(name)
                try:
                    found.warm_up()
                except ModelBroken as error:
                    found = error.fault if isinstance(error.fault, Fault) else _fault(error)
            if isinstance(found, Fault):
                self._loaded[number] = self._models[number] = found
                reports.failed(name, found)
            else:
                reports.loaded(found.model, found.refused)

    def serves_some(self) -> bool:
        """Log why models cannot be called; return whether some can."""
        faults = [
            pair
            for pair in zip(self._names, self._loaded, strict=True)
            if isinstance(pair[1], Fault)
        ]
        for name, fault in faults:
            log.error("%s is not loaded: %s", name, fault, extra={"fields": {"model": name}})
        return len(faults) < len(self._names)

    def stop(self) -> None:
        """Have the models stop, as the process ends."""
        for versions in self._models:
            if isinstance(versions, ServedVersions):
                versions.stop()

    def run(self) -> None:
        """Serve until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._waking, selectors.EVENT_READ, self._woken)
        self._watch.start()
        self._pulse.beat = monotonic()
        self._pulse.serve()
        while not self._ending:
            self._end_if_worn_out()
            for key, events in self._selector.select():
                key.data(events)
            while self._calls and not self._ending:
                self._call_next()

    def _end_if_worn_out(self) -> None:
        """End the process if so many calls hang for ever in their threads that none would be left.

        Not while others run, as long as that is possible.
        """
        pool, hung = self._dataplane.pool, self._dataplane.hung
        if hung >= pool.size * (MANY if pool.running or self._posted else 1):
            log.error("%d calls hang; this runner is replaced (pid %d)", hung, os.getpid())
            os.kill(os.getpid(), signal.SIGKILL)  # as no model is blamed for it, nor in a worker

    def post(self, action: Callable[[], None]) -> None:
        """Run `action` in the main thread; called in any thread."""
        self._posted.append(action)
        self._wake_up()

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):  # it will wake up already
            os.write(self._wake, b"w")

    def _end(self, *_: object) -> None:
        self._ending = True
        self._wake_up()

    def _woken(self, _: int) -> None:
        os.read(self._waking, 65536)
        while self._posted:
            self._posted.popleft()()

    def _accept(self, _: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except OSError:  # the worker has ended, or there is no descriptor left
            return
        WorkerConnection(sock, self._selector, self._receive, self._closed)

    def _receive(self, connection: WorkerConnection, call: Call) -> None:
        self._calls.append((connection, call))

    def _closed(self, connection: WorkerConnection) -> None:
        for versions in self._models:
            if isinstance(versions, ServedVersions):
                versions.disconnected(connection)

    def _call_next(self) -> None:
        """Answer the call that has waited longest, with others of a model that takes several."""
        connection, call = self._calls.popleft()
        versions = self._models[call.model]
        if isinstance(versions, Fault):
            self._refuse(connection, call, f"is not loaded: {versions}", None)
        elif call.kind == LOAD:
            reply = self._reply(connection, call.number)
            versions.load(call, connection, lambda said: reply([(0, said)]))
        elif call.kind == RELEASE:
            versions.release(call.version, connection)
        elif (model := versions.find(call.version)) is not None:
            calls = [(connection, call)]
            if model.takes_several:
                calls += self._take_others(call)
            model.answer([(one, self._reply(where, one.number)) for where, one in calls])
        elif not versions.wait(call.version, partial(self._receive, connection, call)):
            self._refuse(connection, call, f"has no version {call.version} here; try again", 1)

    def _refuse(
        self, connection: WorkerConnection, call: Call, why: str, retry_after: int | None
    ) -> None:
        error = ModelUnavailable(f"{self._names[call.model]} {why}", retry_after)
        connection.answer(call.number, [(index, error) for index in range(len(call.payloads))])

    def _take_others(self, first: Call) -> list[tuple[WorkerConnection, Call]]:
        """Take the other waiting calls of the same model, as long as they make one batch."""
        taken, left, rows = [], deque[tuple[WorkerConnection, Call]](), len(first.payloads)
        for connection, call in self._calls:
            same = call.model == first.model and call[5:] == first[5:]  # version and kind
            if same and rows + len(call.payloads) <= MAX_BATCH:
                taken.append((connection, call))
                rows += len(call.payloads)
            else:
                left.append((connection, call))
        self._calls = left
        return taken

    def _reply(self, connection: WorkerConnection, number: int) -> Reply:
        """Return the function that sends answers, from any thread."""
        main = threading.main_thread().ident

        def reply(answers: Sequence[tuple[int, Outcome]]) -> None:
            if threading.get_ident() == main:
                connection.answer(number, answers)
            else:
                self.post(partial(connection.answer, number, answers))

        return reply


def _fault(error: ModelBroken) -> Fault:
    return Fault("load", str(error))

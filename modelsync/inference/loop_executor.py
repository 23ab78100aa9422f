"""Models as a worker's event loop calls them: at once, or together with all requests that arrive in
the same turn.

No waiting is built in: a lone request is answered alone and at once; what has arrived together is
called together. Everything here runs in the loop's thread, but for slow batches, which the models'
threads call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import copy_context

from modelsync.errors import DeadlineExceeded
from modelsync.inference.batcher import MicroBatcher, PendingRequest, RequestQueue, SequentialCaller
from modelsync.inference.dataplane import DataPlane, Done
from modelsync.inference.latency import LOOP_MAX, RunQueue
from modelsync.inference.thread_pool import CallTimeout
from modelsync.inference.watchdog import Watchdog
from modelsync.models.isolation import guards
from modelsync.models.results import dump
from modelsync.models.types import LoadedModel
from modelsync.problems import Answer
from modelsync.protocols.native import parse

log = logging.getLogger(__name__)

INTERRUPT_AFTER = 1.0
"""Seconds after which a call in the loop is interrupted, where that is possible."""


class LoopExecutor:
    """The dataplane as one event loop uses it."""

    def __init__(self, dataplane: DataPlane, loop: asyncio.AbstractEventLoop) -> None:
        self._dataplane = dataplane
        self._loop = loop
        self._thread = threading.get_ident()
        self._watchdog = Watchdog(INTERRUPT_AFTER, dataplane.timeout, self._force_threads)
        self._run_queue = RunQueue()
        self.models = {
            name: LoopModel(model, dataplane, self._watchdog, self._run_queue)
            for name, model in dataplane.models.items()
        }
        self._turns: dict[str, RequestQueue] = {
            name: self._turn(model) for name, model in self.models.items()
        }
        self._watchdog.start()
        self.tick()

    def tick(self) -> None:
        """Look at what other threads and workers have found out; called a few times a second."""
        self._run_queue.waited()
        for model in self.models.values():
            model.look()

    def submit(self, name: str, body: bytes, request_id: str, done: Done) -> None:
        """`DataPlane.submit` for the loop's thread; `done` is called in it, perhaps before this
        returns.
        """
        turn = self._turns.get(name)
        if turn is not None and (turn.batches or turn.model.fast):
            turn.add(PendingRequest(body, request_id, done))
        else:
            self._dataplane.submit(name, body, request_id, self.threadsafe(done))

    def turn(self, name: str) -> RequestQueue | None:
        """Where requests for the model of that name wait for each other, if it is loaded."""
        return self._turns.get(name)

    def _turn(self, model: LoopModel) -> RequestQueue:
        if model.model.call_batch is not None:
            return MicroBatcher(model, self._dataplane, self._loop, self._watchdog)
        return SequentialCaller(model, self._dataplane, self._loop, self.threadsafe)

    def threadsafe(self, done: Done) -> Done:
        """`done`, called in the loop whoever calls it."""

        def deliver(answer: Answer) -> None:
            if threading.get_ident() == self._thread:
                done(answer)
            else:
                self._loop.call_soon_threadsafe(done, answer)

        return deliver

    def _force_threads(self, name: str) -> None:
        self._dataplane.breaker.force_threads(name)
        self.models[name].fast = False


class LoopModel:
    """One model in one loop.

    `fast`: it is called in the loop itself; `brief`: so fast that its requests need not wait for
    each other.
    """

    __slots__ = (
        "_call",
        "_dataplane",
        "_latency",
        "_run_queue",
        "_watchdog",
        "brief",
        "fast",
        "in_context",
        "model",
        "name",
        "observe",
        "row",
    )

    def __init__(
        self, model: LoadedModel, dataplane: DataPlane, watchdog: Watchdog, run_queue: RunQueue
    ) -> None:
        self.model = model
        self._run_queue = run_queue
        self.name = model.name
        self.row = dataplane.counters.loop_row(model.name)
        self.observe = self.row.observe
        self.fast = False
        self.brief = False
        self._call = model.call
        # A context of its own: what it does to decimal's precision or numpy's error state stays
        # with it.
        self.in_context = copy_context().run
        self._dataplane = dataplane
        self._latency = dataplane.latencies[model.name]
        self._watchdog = watchdog

    def look(self) -> None:
        """Whether it is called in the loop from now on: its pace and its record decide."""
        self.fast = self._latency.inline and not self._dataplane.breaker.threads_only(self.name)

    def run(self, body: bytes) -> bytes:
        """The result as JSON. Raises what `predict` raises, and CallTimeout where the watchdog has
        ended the call.
        """
        self.row.calling(1)
        self._watchdog.enter(self.name)
        try:
            return self.in_context(self._predict, body)
        finally:
            self._watchdog.leave()
            guards.restore_cwd()
            self.row.calling(0)

    def _predict(self, body: bytes) -> bytes:
        return dump(self._call(parse(body)))

    def success(self, payload: bytes) -> Answer:
        """The answer with a result."""
        return self._dataplane.success(self.model, payload)

    def failure(self, error: BaseException, request_id: str) -> Answer:
        """The answer to a request whose call in the loop has raised."""
        if isinstance(error, CallTimeout):
            error = DeadlineExceeded(
                "the call was interrupted: it stopped all others; this model goes to threads now"
            )
        return self._dataplane.failure(error, self.model, request_id)

    def slow(self, seconds: float) -> None:
        """Note a call in the loop that took longer than one may."""
        seconds -= self._run_queue.waited()
        if seconds > LOOP_MAX and self._latency.slow(seconds):
            self.fast = False
            log.info(
                "%s took %.1f ms in the event loop: it goes to threads", self.name, seconds * 1000
            )

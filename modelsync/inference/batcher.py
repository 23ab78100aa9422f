"""Requests for one model that have arrived in the same turn of the loop: they are answered
together.

Models that take several rows are called once for all of them, the others one after another. Either
way the answers are written in one go: each write wakes up a client, and doing that between calls
costs more than many a model.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from modelsync.errors import DeadlineExceeded, RequestError
from modelsync.inference.dataplane import DataPlane, Done, predict_batch, renew_lock
from modelsync.inference.latency import INLINE_MAX, LOOP_MAX
from modelsync.inference.thread_pool import CallTimeout, Job
from modelsync.inference.timeouts import Ticket
from modelsync.inference.watchdog import Watchdog
from modelsync.models.isolation import guards
from modelsync.problems import Answer

if TYPE_CHECKING:
    from modelsync.inference.loop_executor import LoopModel

MAX_BATCH = 256
"""Requests in one call at most; what has arrived beyond is the next call."""

MAX_TURN = 0.001
"""Seconds after which answers are written, and other clients heard, although there are more calls
to make.
"""


class Pending(Protocol):
    """A request that waits for others. `started` is a time of `perf_counter`."""

    body: bytes
    started: float

    def identity(self) -> str:
        """The request's id."""

    def succeed(self, model: LoopModel, payload: bytes, seconds: float) -> None:
        """Answer with a result, `seconds` after it was asked for."""

    def answer(self, answer: Answer) -> None:
        """Answer with anything else."""


class PendingRequest:
    """One that is answered by a callback."""

    __slots__ = ("_done", "_request_id", "body", "started")

    def __init__(self, body: bytes, request_id: str, done: Done) -> None:
        self.body = body
        self.started = perf_counter()
        self._request_id = request_id
        self._done = done

    def identity(self) -> str:
        """The request's id."""
        return self._request_id

    def succeed(self, model: LoopModel, payload: bytes, seconds: float) -> None:
        """Answer with a result."""
        self._done(model.success(payload))

    def answer(self, answer: Answer) -> None:
        """Answer with anything else."""
        self._done(answer)


Outcome = bytes | BaseException


class RequestQueue(ABC):
    """The requests for one model of this turn of the loop. `batches`: one call answers several."""

    batches = False

    def __init__(
        self, model: LoopModel, dataplane: DataPlane, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.model = model
        self._dataplane = dataplane
        self._loop = loop
        self._waiting: list[Pending] = []

    def add(self, one: Pending) -> None:
        """Answer a request together with those that have come, and still come, in this turn."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(one)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._call(waiting)

    @abstractmethod
    def _call(self, waiting: Sequence[Pending]) -> None:
        """Job the model for all of them, and `_deliver` what comes of it."""

    def _deliver(self, waiting: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        model = self.model
        now = perf_counter()
        for one, outcome in zip(waiting, outcomes, strict=True):
            seconds = now - one.started
            if isinstance(outcome, bytes):
                one.succeed(model, outcome, seconds)
                model.observe(200, seconds)
            else:
                answer = model.failure(outcome, one.identity())
                one.answer(answer)
                model.observe(answer.status, seconds)


class SequentialCaller(RequestQueue):
    """For a model that takes one request at a time."""

    def __init__(
        self,
        model: LoopModel,
        dataplane: DataPlane,
        loop: asyncio.AbstractEventLoop,
        threadsafe: Callable[[Done], Done],
    ) -> None:
        super().__init__(model, dataplane, loop)
        self._threadsafe = threadsafe

    def _call(self, waiting: Sequence[Pending]) -> None:
        model = self.model
        called: list[Pending] = []
        outcomes: list[Outcome] = []
        since = perf_counter()
        for place, one in enumerate(waiting, 1):
            if not model.fast:  # one of those before it has shown that
                self._dataplane.submit(
                    model.name, one.body, one.identity(), self._threadsafe(one.answer)
                )
                continue
            before = perf_counter()
            try:
                outcomes.append(model.run(one.body))
            except BaseException as error:  # noqa: BLE001  the edge of the model's code: nothing of it may pass
                outcomes.append(error)
            called.append(one)
            now = perf_counter()
            model.brief = now - before <= INLINE_MAX
            if now - before > LOOP_MAX:
                model.slow(now - before)
            if now - since > MAX_TURN:
                self._later(waiting[place:])
                break
        self._deliver(called, outcomes)

    def _later(self, waiting: Sequence[Pending]) -> None:
        """Job for these in the next turn, before those that come until then: other clients are
        heard in between.
        """
        if waiting:
            self._loop.call_soon(self._flush)
            self._waiting[:0] = waiting


class MicroBatcher(RequestQueue):
    """For a model that takes several requests in one call."""

    batches = True

    def __init__(
        self,
        model: LoopModel,
        dataplane: DataPlane,
        loop: asyncio.AbstractEventLoop,
        watchdog: Watchdog,
    ) -> None:
        super().__init__(model, dataplane, loop)
        self._watchdog = watchdog

    def _call(self, waiting: Sequence[Pending]) -> None:
        for start in range(0, len(waiting), MAX_BATCH):
            batch = waiting[start : start + MAX_BATCH]
            if self.model.fast:
                self._in_loop(batch)
            else:
                self._in_thread(batch)

    def _in_loop(self, batch: Sequence[Pending]) -> None:
        model = self.model
        started = perf_counter()
        model.row.calling(len(batch))
        self._watchdog.enter(model.name)
        outcomes: Sequence[Outcome]
        try:
            outcomes = model.in_context(predict_batch, model.model, [one.body for one in batch])
        except CallTimeout as hung:
            outcomes = [hung] * len(batch)
        finally:
            self._watchdog.leave()
            guards.restore_cwd()
            model.row.calling(0)
        seconds = perf_counter() - started
        self._deliver(batch, outcomes)
        if seconds > LOOP_MAX:
            model.slow(seconds)

    def _in_thread(self, batch: Sequence[Pending]) -> None:
        name = self.model.name

        def work(ticket: Ticket) -> None:
            started = perf_counter()
            self._dataplane.counters.begin(name, len(batch))
            try:
                outcomes = copy_context().run(
                    predict_batch, self.model.model, [one.body for one in batch]
                )
            finally:
                guards.restore_cwd()
                self._dataplane.counters.end(name, len(batch))
            self._dataplane.latencies[name].seen(perf_counter() - started)
            if ticket.claim():
                self._loop.call_soon_threadsafe(self._deliver, batch, outcomes)

        def expired(error: DeadlineExceeded) -> None:
            renew_lock(self.model.model)
            self._loop.call_soon_threadsafe(self._deliver, batch, [error] * len(batch))

        try:
            self._dataplane.model(name)  # raises where it is switched off
            self._dataplane.pool.submit(Job(name, work, expired, {"model": name}))
        except RequestError as error:
            self._deliver(batch, [error] * len(batch))

    def _deliver(self, waiting: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        self.model.row.batch(len(waiting))
        super()._deliver(waiting, outcomes)

"""Models as a worker's event loop calls them: at once, or together with all requests that arrive in the same turn.

No waiting is built in: a lone request is answered alone and at once; what has arrived together is called together.
Everything here runs in the loop's thread, but for slow batches, which the models' threads call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextvars import copy_context
from time import perf_counter
from typing import Protocol

from modelsync.errors import DeadlineExceeded, RequestError
from modelsync.http.deadlines import Ticket
from modelsync.http.lane import Done, Lane, predict_batch, renew_lock
from modelsync.http.pace import LIMIT, RunQueue
from modelsync.http.problems import Answer
from modelsync.http.threads import Call, Hung
from modelsync.http.watchdog import Watchdog
from modelsync.models import fences
from modelsync.models.body import parse
from modelsync.models.contract import LoadedModel
from modelsync.models.results import dump

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds after which a call in the loop is interrupted, where that is possible."""

MAX_BATCH = 256
"""Requests in one call at most; what has arrived beyond is the next call."""


class Loopside:
    """The lane as one event loop uses it."""

    def __init__(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        self._lane = lane
        self._loop = loop
        self._thread = threading.get_ident()
        self._watchdog = Watchdog(PATIENCE, lane.timeout, self._banish)
        self._run_queue = RunQueue()
        self.models = {
            name: LoopModel(model, lane, self._watchdog, self._run_queue) for name, model in lane.models.items()
        }
        self._turns = {
            name: Turn(one, lane, loop, self._watchdog)
            for name, one in self.models.items()
            if one.model.call_batch is not None
        }
        self._watchdog.start()
        self.tick()

    def tick(self) -> None:
        """Look at what other threads and workers have found out; called a few times a second."""
        self._run_queue.waited()
        for model in self.models.values():
            model.look()

    def submit(self, name: str, body: bytes, request_id: str, done: Done) -> None:
        """`Lane.submit` for the loop's thread; `done` is called in it, perhaps before this returns."""
        if (turn := self._turns.get(name)) is not None:
            turn.add(Asked(turn.model, body, request_id, done))
        elif (model := self.models.get(name)) is not None and model.fast:
            done(model.answer(body, request_id))
        else:
            self._lane.submit(name, body, request_id, self.threadsafe(done))

    def found(self, name: str) -> tuple[LoopModel, Turn | None] | tuple[None, None]:
        """The model of that name, and where its requests wait for each other if it takes several in one call."""
        model = self.models.get(name)
        return (model, self._turns.get(name)) if model else (None, None)

    def threadsafe(self, done: Done) -> Done:
        """`done`, called in the loop whoever calls it."""

        def deliver(answer: Answer) -> None:
            if threading.get_ident() == self._thread:
                done(answer)
            else:
                self._loop.call_soon_threadsafe(done, answer)

        return deliver

    def _banish(self, name: str) -> None:
        self._lane.switches.banish(name)
        self.models[name].fast = False


class LoopModel:
    """One model in one loop. `fast`: it is called in the loop itself."""

    __slots__ = (
        "_call",
        "_lane",
        "_pace",
        "_run_queue",
        "_watchdog",
        "fast",
        "in_context",
        "model",
        "name",
        "observe",
        "row",
    )

    def __init__(self, model: LoadedModel, lane: Lane, watchdog: Watchdog, run_queue: RunQueue) -> None:
        self.model = model
        self._run_queue = run_queue
        self.name = model.name
        self.row = lane.counters.loop_row(model.name)
        self.observe = self.row.observe
        self.fast = False
        self._call = model.call
        # A context of its own: what it does to decimal's precision or numpy's error state stays with it.
        self.in_context = copy_context().run
        self._lane = lane
        self._pace = lane.paces[model.name]
        self._watchdog = watchdog

    def look(self) -> None:
        """Whether it is called in the loop from now on: its pace and its record decide."""
        self.fast = self._pace.inline and not self._lane.switches.threads_only(self.name)

    def run(self, body: bytes) -> bytes:
        """The result as JSON. Raises what `predict` raises, and Hung where the watchdog has ended the call."""
        self.row.calling(1)
        self._watchdog.enter(self.name)
        try:
            return self.in_context(self._predict, body)
        finally:
            self._watchdog.leave()
            fences.come_home()
            self.row.calling(0)

    def _predict(self, body: bytes) -> bytes:
        return dump(self._call(parse(body)))

    def answer(self, body: bytes, request_id: str) -> Answer:
        """The answer to a request, called in the loop."""
        started = perf_counter()
        try:
            answer = self.success(self.run(body))
        except BaseException as error:  # noqa: BLE001  the edge of the model's code: nothing of it may pass
            answer = self.failure(error, request_id)
        seconds = perf_counter() - started
        self.observe(answer.status, seconds)
        if seconds > LIMIT:
            self.slow(seconds)
        return answer

    def success(self, payload: bytes) -> Answer:
        """The answer with a result."""
        return self._lane.success(self.model, payload)

    def failure(self, error: BaseException, request_id: str) -> Answer:
        """The answer to a request whose call in the loop has raised."""
        if isinstance(error, Hung):
            error = DeadlineExceeded("the call was interrupted: it stopped all others; this model goes to threads now")
        return self._lane.failure(error, self.model, request_id)

    def slow(self, seconds: float) -> None:
        """Note a call in the loop that took longer than one may."""
        seconds -= self._run_queue.waited()
        if seconds > LIMIT and self._pace.slow(seconds):
            self.fast = False
            log.info("%s took %.1f ms in the event loop: it goes to threads", self.name, seconds * 1000)


class Waiting(Protocol):
    """A request that waits for a call it shares with others. `started` is a time of `perf_counter`."""

    body: bytes
    started: float

    def succeed(self, payload: bytes, seconds: float) -> None:
        """Answer with a result, `seconds` after it was asked for."""

    def fail(self, error: BaseException) -> int:
        """Answer with a problem; returns its status."""


class Asked:
    """One that is answered by a callback."""

    __slots__ = ("_done", "_model", "_request_id", "body", "started")

    def __init__(self, model: LoopModel, body: bytes, request_id: str, done: Done) -> None:
        self.body = body
        self.started = perf_counter()
        self._model = model
        self._request_id = request_id
        self._done = done

    def succeed(self, payload: bytes, seconds: float) -> None:
        """Answer with a result."""
        self._done(self._model.success(payload))

    def fail(self, error: BaseException) -> int:
        """Answer with a problem."""
        answer = self._model.failure(error, self._request_id)
        self._done(answer)
        return answer.status


class Turn:
    """The requests for one model that have arrived in this turn of the loop: one call answers them all."""

    def __init__(self, model: LoopModel, lane: Lane, loop: asyncio.AbstractEventLoop, watchdog: Watchdog) -> None:
        self.model = model
        self._lane = lane
        self._loop = loop
        self._watchdog = watchdog
        self._waiting: list[Waiting] = []

    def add(self, one: Waiting) -> None:
        """Answer a request together with those that have come, and still come, in this turn."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(one)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MAX_BATCH):
            batch = waiting[start : start + MAX_BATCH]
            if self.model.fast:
                self._in_loop(batch)
            else:
                self._in_thread(batch)

    def _in_loop(self, batch: Sequence[Waiting]) -> None:
        model = self.model
        started = perf_counter()
        model.row.calling(len(batch))
        self._watchdog.enter(model.name)
        outcomes: Sequence[bytes | BaseException]
        try:
            outcomes = model.in_context(predict_batch, model.model, [one.body for one in batch])
        except Hung as hung:
            outcomes = [hung] * len(batch)
        finally:
            self._watchdog.leave()
            fences.come_home()
            model.row.calling(0)
        seconds = perf_counter() - started
        self._deliver(batch, outcomes)
        if seconds > LIMIT:
            model.slow(seconds)

    def _in_thread(self, batch: Sequence[Waiting]) -> None:
        name = self.model.name

        def work(ticket: Ticket) -> None:
            started = perf_counter()
            self._lane.counters.begin(name, len(batch))
            try:
                outcomes = copy_context().run(predict_batch, self.model.model, [one.body for one in batch])
            finally:
                fences.come_home()
                self._lane.counters.end(name, len(batch))
            self._lane.paces[name].seen(perf_counter() - started)
            if ticket.claim():
                self._loop.call_soon_threadsafe(self._deliver, batch, outcomes)

        def expired(error: DeadlineExceeded) -> None:
            renew_lock(self.model.model)
            self._loop.call_soon_threadsafe(self._deliver, batch, [error] * len(batch))

        try:
            self._lane.model(name)  # raises where it is switched off
            self._lane.slots.submit(Call(name, work, expired))
        except RequestError as error:
            self._deliver(batch, [error] * len(batch))

    def _deliver(self, batch: Sequence[Waiting], outcomes: Sequence[bytes | BaseException]) -> None:
        model = self.model
        model.row.batch(len(batch))
        now = perf_counter()
        for one, outcome in zip(batch, outcomes, strict=True):
            seconds = now - one.started
            if isinstance(outcome, bytes):
                one.succeed(outcome, seconds)
                model.observe(200, seconds)
            else:
                model.observe(one.fail(outcome), seconds)

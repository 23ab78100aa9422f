"""Models as a worker's event loop calls them: at once, or together with all requests that arrive in the same turn.

No waiting is built in: a lone request is answered alone and at once; what has arrived together is called together.
Everything here runs in the loop's thread, but for slow batches, which the models' threads call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import copy_context

from modelsync.errors import DeadlineExceeded
from modelsync.http.lane import Done, Lane
from modelsync.http.pace import LIMIT, RunQueue
from modelsync.http.problems import Answer
from modelsync.http.threads import Hung
from modelsync.http.turns import Asked, Batches, Row, Turn
from modelsync.http.watchdog import Watchdog
from modelsync.models import fences
from modelsync.models.body import parse
from modelsync.models.contract import LoadedModel
from modelsync.models.results import dump

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds after which a call in the loop is interrupted, where that is possible."""


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
        self._turns: dict[str, Turn] = {name: self._turn(model) for name, model in self.models.items()}
        self._watchdog.start()
        self.tick()

    def tick(self) -> None:
        """Look at what other threads and workers have found out; called a few times a second."""
        self._run_queue.waited()
        for model in self.models.values():
            model.look()

    def submit(self, name: str, body: bytes, request_id: str, done: Done) -> None:
        """`Lane.submit` for the loop's thread; `done` is called in it, perhaps before this returns."""
        turn = self._turns.get(name)
        if turn is not None and (turn.batches or turn.model.fast):
            turn.add(Asked(body, request_id, done))
        else:
            self._lane.submit(name, body, request_id, self.threadsafe(done))

    def turn(self, name: str) -> Turn | None:
        """Where requests for the model of that name wait for each other, if it is loaded."""
        return self._turns.get(name)

    def _turn(self, model: LoopModel) -> Turn:
        if model.model.call_batch is not None:
            return Batches(model, self._lane, self._loop, self._watchdog)
        return Row(model, self._lane, self._loop, self.threadsafe)

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
    """One model in one loop.

    `fast`: it is called in the loop itself; `brief`: so fast that its requests need not wait for each other.
    """

    __slots__ = (
        "_call",
        "_lane",
        "_pace",
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

    def __init__(self, model: LoadedModel, lane: Lane, watchdog: Watchdog, run_queue: RunQueue) -> None:
        self.model = model
        self._run_queue = run_queue
        self.name = model.name
        self.row = lane.counters.loop_row(model.name)
        self.observe = self.row.observe
        self.fast = False
        self.brief = False
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

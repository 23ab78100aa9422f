"""Queues of the requests for one model that arrive in the same turn of the event loop.

A model that takes several rows is called once for all of them, another model once for each. Either
way the answers are delivered together: each write wakes up a client, and a write between two calls
costs more than many models do.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

from modelsync.errors import DeadlineExceeded, RequestError
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.invocation import BatchInvocation, reason_of
from modelsync.inference.loop_model import LoopModel
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.pending import MAX_BATCH, MAX_TURN, Pending, PendingRequest
from modelsync.inference.row_calls import SeveralRows
from modelsync.inference.thread_pool import PoolTask
from modelsync.inference.timeouts import Ticket

LARGE_BODY: Final = 128 * 1024
"""Bytes over which a request is never decoded in the event loop: 10 MB take it 0.1 s and more."""


class RequestQueue(ABC):
    """The pending requests of one protocol for one model; each turn of the loop empties the queue.

    `batches` is true if one call answers several requests. `replaced`: another version of the model
    answers the next requests.
    """

    batches = False

    def __init__(
        self,
        model: LoopModel,
        codec: Codec,
        dataplane: DataPlane,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.model = model
        self.codec = codec
        self.replaced = False
        self._dataplane = dataplane
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._pending: list[Pending] = []

    def takes(self, payload: bytes) -> bool:
        """Return whether a request belongs into this queue; others are answered in threads."""
        return (self.batches or self.model.in_loop) and len(payload) <= LARGE_BODY

    def submit(self, payload: bytes, request_id: str, done: Done) -> None:
        """Answer one request without waiting, with the version of the model that has this queue.

        `done` is called in the loop's thread, perhaps before this method returns.
        """
        if self.takes(payload):
            self.add(PendingRequest(payload, request_id, done))
        else:
            self._submit_to_threads(payload, request_id, done)

    def _submit_to_threads(self, payload: bytes, request_id: str, done: Done) -> None:
        runner, threadsafe = self.model.runner, self._threadsafe(done)
        self._dataplane.submit_to(runner, payload, self.codec, request_id, threadsafe)

    def _threadsafe(self, done: Done) -> Done:
        """Return a callback that any thread may call: it calls `done` in the loop's thread."""

        def deliver(outcome: Outcome) -> None:
            if threading.get_ident() == self._thread_id:
                done(outcome)
            else:
                self._loop.call_soon_threadsafe(done, outcome)

        return deliver

    @property
    def empty(self) -> bool:
        """Whether no request waits in the queue."""
        return not self._pending

    def add(self, request: Pending) -> None:
        """Answer a request together with the others that arrive in this turn."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(request)

    def explain(self, outcome: RawOutcome, request: Pending) -> None:
        """Answer a request whose call has failed, now or from the thread that explains failures.

        One of several rows is called in a thread: it takes too long for the loop.
        """
        if type(outcome) is SeveralRows:
            self._submit_to_threads(request.payload, request.identity(), request.finish)
            return
        model, done = self.model.runner.model, self._threadsafe(request.finish)
        self._dataplane.explain(outcome, model, request.identity(), done)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self._call(pending)

    @abstractmethod
    def _call(self, pending: Sequence[Pending]) -> None:
        """Call the model for all requests and deliver the outcomes."""

    def _deliver(self, pending: Sequence[Pending], outcomes: Sequence[RawOutcome]) -> None:
        for request, outcome in zip(pending, outcomes, strict=True):
            if type(outcome) is bytes:
                request.finish(outcome)
            else:
                self.explain(outcome, request)


class SequentialCaller(RequestQueue):
    """The queue of a model that takes one request at a time."""

    def _call(self, pending: Sequence[Pending]) -> None:
        """Call the model for one request after the other, and deliver the outcomes together.

        After `MAX_TURN` the others wait for the next turn of the loop.
        """
        model, codec = self.model, self.codec
        called: list[Pending] = []
        outcomes: list[RawOutcome] = []
        began = now = perf_counter()
        for count, request in enumerate(pending, 1):
            if not model.in_loop:  # an earlier request has shown that it is slow
                self._submit_to_threads(request.payload, request.identity(), request.finish)
                continue
            outcomes.append(model.call(request.payload, codec, request.started, now))
            called.append(request)
            now = perf_counter()
            if now - began > MAX_TURN:
                self._postpone(pending[count:])
                break
        self._deliver(called, outcomes)
        outcomes.clear()  # exceptions that hold this frame: see `Invocation.take`

    def _postpone(self, pending: Sequence[Pending]) -> None:
        """Call the model for these in the next turn, before requests that arrive until then."""
        if pending:
            self._loop.call_soon(self._flush)
            self._pending[:0] = pending


class MicroBatcher(RequestQueue):
    """The queue of a model that takes several requests in one call."""

    batches = True

    def _call(self, pending: Sequence[Pending]) -> None:
        for start in range(0, len(pending), MAX_BATCH):
            batch = pending[start : start + MAX_BATCH]
            if self.model.in_loop:
                payloads = [request.payload for request in batch]
                self._deliver(batch, self.model.call_batch(payloads, self.codec, batch))
            else:
                self._call_in_thread(batch)

    def _call_in_thread(self, batch: Sequence[Pending]) -> None:
        """Call the model for a batch in a thread of the pool; the loop delivers the outcomes."""
        name, runner, dataplane = self.model.name, self.model.in_process, self._dataplane
        row = dataplane.counters.rows[name]
        payloads = [request.payload for request in batch]
        in_context = runner.model.context.copy().run

        def work(ticket: Ticket) -> None:
            with BatchInvocation(row, batch, ticket=ticket) as call:
                call.outcomes = in_context(runner.call_batch, payloads, self.codec)
            runner.latency.record(call.seconds)
            if call.claimed:
                self._loop.call_soon_threadsafe(self._delivered, batch, call.outcomes)

        def on_expired(error: DeadlineExceeded) -> None:
            runner.give_up()
            self._loop.call_soon_threadsafe(self._refuse, batch, error)

        runner.begin()
        try:
            dataplane.model(name)  # raises ModelUnavailable if its circuit is open
            dataplane.pool.submit(PoolTask(name, work, on_expired, {"model": name}))
        except RequestError as error:
            self._refuse(batch, error)

    def _delivered(self, batch: Sequence[Pending], outcomes: Sequence[RawOutcome]) -> None:
        self.model.in_process.end()
        self.model.row.batch(len(batch))
        self._deliver(batch, outcomes)

    def _refuse(self, batch: Sequence[Pending], error: RequestError) -> None:
        """Answer requests that no call answers, and count them, since no invocation does."""
        now = perf_counter()
        for request in batch:
            self.model.row.observe(reason_of(error), now - request.started)
        self._delivered(batch, [error] * len(batch))


class DispatchQueue(RequestQueue):
    """The queue of a model that is called elsewhere: each turn of the loop sends one frame."""

    batches = True

    def takes(self, payload: bytes) -> bool:
        """Return true: nothing is decoded in the loop."""
        return True

    def _call(self, pending: Sequence[Pending]) -> None:
        self._dataplane.dispatch(self.model.runner, pending, self.codec, self._post)

    def _post(self, deliver: Callable[[], None]) -> None:
        """Deliver answers at once in the loop's thread, where those of a runner arrive."""
        if threading.get_ident() == self._thread_id:
            deliver()
        else:
            self._loop.call_soon_threadsafe(deliver)

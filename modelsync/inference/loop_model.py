"""Calls one model in the thread of a worker's event loop."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import TypeVar

from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.invocation import BatchInvocation, TimedRequest, reason_of
from modelsync.inference.latency import INLINE_MAX, LOOP_MAX, RunQueue
from modelsync.inference.model_runner import ModelRunner, RawOutcome
from modelsync.inference.row_calls import SeveralRows
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.watchdog import Watchdog
from modelsync.models.isolation.event_loops import hidden

log = logging.getLogger(__name__)

T = TypeVar("T")


class LoopModel:
    """A model in one event loop.

    `in_loop`: the model is fast enough for the loop. `inline`: it is so fast that requests are
    called as they arrive, without a queue. `in_process`: its runner, if that is in this process;
    only then the loop may call it. `all_rows`: it is called here for requests of several rows too;
    otherwise the outcome of these is SeveralRows.
    """

    __slots__ = (
        "_call",
        "_call_batch",
        "_dataplane",
        "_in_context",
        "_latency",
        "_run_queue",
        "_watchdog",
        "in_loop",
        "in_process",
        "inline",
        "name",
        "row",
        "runner",
    )

    def __init__(
        self,
        runner: ModelRunner,
        dataplane: DataPlane,
        watchdog: Watchdog,
        run_queue: RunQueue,
        *,
        all_rows: bool = False,
    ) -> None:
        self.runner = runner
        if isinstance(runner, InProcessRunner):
            self.in_process = runner
            hide = hidden if runner.hide_loop else _as_it_is
            call = runner.call if all_rows else runner.call_for_one
            self._call, self._call_batch = hide(call), hide(runner.call_batch)
        self.name = runner.model.name
        self.row = dataplane.counters.loop_row(self.name)
        self.in_loop = False
        self.inline = False
        self._in_context = runner.model.context.run
        self._dataplane = dataplane
        self._latency = runner.latency
        self._run_queue = run_queue
        self._watchdog = watchdog

    def refresh(self) -> None:
        """Decide by latency and circuit breaker whether the loop calls the model."""
        dataplane = self._dataplane
        kept_out = self.name in dataplane.suspended or dataplane.breaker.threads_only(self.name)
        self.in_loop = self._latency.in_loop and not kept_out

    def call(self, payload: bytes, codec: Codec, started: float, began: float) -> RawOutcome:
        """Call the model, at `began`, for one request that arrived at `started`; both are times of
        `perf_counter`, in seconds.

        An `Invocation` without a ticket, in fewer frames: it is most of what surrounds a fast
        model.
        """
        row, watchdog = self.row, self._watchdog
        try:
            row.begin(1)
            watchdog.calls += 1
            watchdog.calling = self.name
            try:
                outcome: bytes = self._in_context(self._call, payload, codec)
            except BaseException as error:  # noqa: BLE001  the edge of the model's code
                # Not kept by this frame, which the exception holds: see `Invocation.take`.
                return self._failed(error, started, began)
            now = perf_counter()
            watchdog.calling = ""
            if watchdog.fired:
                watchdog.disarm()
            row.succeeded(now - started)
        except CallTimeout as late:  # raised by the watchdog when the call had just ended
            self._end_late(late, [started])
            return late
        seconds = now - began
        if seconds > INLINE_MAX:
            self._not_fast(seconds)
        elif not self.inline:
            self.inline = True
        return outcome

    def _failed(self, error: BaseException, started: float, began: float) -> BaseException:
        """End a call that has raised; return what it has raised."""
        now = perf_counter()
        self._watchdog.calling = ""
        if self._watchdog.fired:
            self._watchdog.disarm()
        self.row.end(1)
        if type(error) is not SeveralRows:  # a thread answers, and counts
            self.row.observe(reason_of(error), now - started)
        if now - began > INLINE_MAX:
            self._not_fast(now - began)
        return error

    def _not_fast(self, seconds: float) -> None:
        """Record a call over `INLINE_MAX`."""
        # Twice the limit, so that a model near it does not switch with every call.
        self.inline = self.inline and seconds <= 2 * INLINE_MAX
        if seconds > LOOP_MAX:
            self._slow(seconds)

    def call_batch(
        self, payloads: Sequence[bytes], codec: Codec, requests: Sequence[TimedRequest]
    ) -> Sequence[RawOutcome]:
        """Call the model once for several requests; return one outcome for each."""
        call = BatchInvocation(self.row, requests, watchdog=self._watchdog)
        try:
            with call:
                call.outcomes = self._in_context(self._call_batch, payloads, codec)
        except CallTimeout as late:
            self.row.batch(len(requests))
            self._end_late(late, [request.started for request in requests])
            return [late] * len(requests)
        self.row.batch(len(requests))
        if call.seconds > LOOP_MAX:
            self._slow(call.seconds)
        return call.outcomes

    def _end_late(self, late: CallTimeout, started: Sequence[float]) -> None:
        """Do what an invocation that was interrupted in its `__exit__` has left undone.

        The watchdog would take the call for one that runs, and end the worker at the deadline.
        """
        self._watchdog.calling = ""
        if self._watchdog.fired:
            self._watchdog.disarm()
        self.row.end(len(started))
        now = perf_counter()
        for each in started:
            self.row.observe(reason_of(late), now - each)

    def _slow(self, seconds: float) -> None:
        """Record a call over `LOOP_MAX`; the model moves to threads if that happens often."""
        seconds -= self._run_queue.waited()
        if seconds > LOOP_MAX and self._latency.record_slow(seconds):
            self.in_loop = False
            log.info(
                "%s took %.1f ms in the event loop: it moves to threads", self.name, seconds * 1000
            )


def _as_it_is(call: T) -> T:
    return call

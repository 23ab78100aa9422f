"""Invocations: count, time and watch each call of a model, and catch the exceptions of the model.

    with Invocation(row, started) as call:
        call.outcome = runner.call(payload, codec)

Afterwards `call.outcome` is the value that the block set, or the exception that it raised. If the
deadline has answered before the call ended, `claimed` is false: the call must not answer, and it is
not counted, because the deadline has been.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter
from types import TracebackType
from typing import Protocol, Self, cast

from modelsync.errors import DeadlineExceeded, ModelRaised, RequestError, RequestRejected
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.timeouts import Ticket
from modelsync.inference.watchdog import Watchdog
from modelsync.observability.counters import OK, Row

INTERRUPTED = "the call was interrupted: it blocked all others; the model moves to threads now"


class TimedRequest(Protocol):
    """A request that arrived at `started`, a time of `perf_counter` in seconds."""

    started: float


class Invocation:
    """A call for one request that arrived at `started`, a time of `perf_counter` in seconds.

    `seconds` is the duration of the call. Without a `ticket` the call runs in the event loop: there
    a CallTimeout, which the watchdog raises, is the call's outcome; in a thread it ends the thread.
    """

    __slots__ = (
        "_began",
        "_row",
        "_ticket",
        "_watchdog",
        "claimed",
        "outcome",
        "seconds",
        "started",
    )

    size = 1

    def __init__(
        self,
        row: Row,
        started: float = 0.0,
        *,
        ticket: Ticket | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._row = row
        self._ticket = ticket
        self._watchdog = watchdog
        self._began = 0.0
        self.started = started
        self.outcome: RawOutcome = b""
        self.claimed = True
        self.seconds = 0.0

    def __enter__(self) -> Self:
        row = self._row
        row.begin(self.size)
        if (watchdog := self._watchdog) is not None:
            watchdog.calls += 1
            watchdog.calling = row.model
        self._began = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """End the call: keep what it raised, claim the right to answer, count the outcome."""
        now = perf_counter()
        if (watchdog := self._watchdog) is not None:
            watchdog.calling = ""
            if watchdog.fired:
                watchdog.disarm()
        self._row.end(self.size)
        if error is not None:
            if self._passes(type(error)):
                return False
            self._failed(error)
        self.seconds = now - self._began
        if self._ticket is not None:
            self.claimed = self._ticket.claim()
        if self.claimed:
            self._observe(now)
        return error is not None

    def take(self) -> RawOutcome:
        """Return the outcome and forget it.

        An exception holds the frames that it came through, one of which holds this object: a cycle
        that would keep a result of 100 MB in memory until the garbage collector runs.
        """
        outcome, self.outcome = self.outcome, b""
        return outcome

    def _passes(self, kind: type[BaseException]) -> bool:
        """Return whether the deadline has ended the call, so that the exception propagates.

        `kind` is the type: `isinstance` asks for `__class__`, which may be the model's code.
        """
        if self._ticket is None:
            return False
        # A runner without `async def` models has not imported it.
        asyncio = sys.modules.get("asyncio")
        if asyncio and issubclass(kind, asyncio.CancelledError):
            try:
                task = asyncio.current_task()
            except RuntimeError:  # in a thread without an event loop: the model raised it
                return False
            return task is not None and task.cancelling() > 0
        return issubclass(kind, CallTimeout)

    def _failed(self, error: BaseException) -> None:
        self.outcome = error

    def _observe(self, now: float) -> None:
        outcome = self.outcome
        reason = OK if type(outcome) is bytes else reason_of(outcome)
        self._row.observe(reason, now - self.started)


class BatchInvocation(Invocation):
    """A call for several requests; `outcomes` has one for each, in their order."""

    __slots__ = ("_requests", "outcomes", "size")

    def __init__(
        self,
        row: Row,
        requests: Sequence[TimedRequest],
        *,
        ticket: Ticket | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        super().__init__(row, ticket=ticket, watchdog=watchdog)
        self.size = len(requests)
        self._requests = requests
        self.outcomes: Sequence[RawOutcome] = ()

    def _failed(self, error: BaseException) -> None:
        self.outcomes = [error] * self.size

    def _observe(self, now: float) -> None:
        observe = self._row.observe
        for request, outcome in zip(self._requests, self.outcomes, strict=True):
            reason = OK if type(outcome) is bytes else reason_of(outcome)
            observe(reason, now - request.started)


def reason_of(outcome: RawOutcome) -> str:
    """Return the name under which an outcome is counted; by its type, as `_passes`."""
    kind = type(outcome)
    if issubclass(kind, bytes):
        return OK
    if issubclass(kind, CallTimeout):
        return DeadlineExceeded.reason
    if kind is RequestRejected:
        return cast("RequestRejected", outcome).counted_as
    return kind.reason if issubclass(kind, RequestError) else ModelRaised.reason

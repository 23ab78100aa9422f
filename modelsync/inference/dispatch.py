"""Frames: requests that a model answers elsewhere, in a thread of its own or in a runner process.

All requests for a model that have arrived in one turn of the loop are one frame. A frame has one
deadline; each of its requests is counted, and answered once, by the model or by the deadline.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

from modelsync.errors import DeadlineExceeded, Overloaded, RequestError
from modelsync.inference.codec import Codec
from modelsync.inference.invocation import reason_of
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.pending import Pending
from modelsync.inference.runners import ModelRunner, RawOutcome
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.types import LoadedModel
from modelsync.observability.counters import Row

Explain = Callable[[RawOutcome, LoadedModel, str, Done], None]
"""Turns what a call raised into the error that the client gets (`Explainer.explain`)."""

Post = Callable[[Callable[[], None]], object]
"""Runs a callback in the thread that answers requests; called in any thread."""


class DispatchedRunner(ModelRunner):
    """A model that is called elsewhere than in the thread that has its requests.

    `waiting` counts the requests that have no answer yet; at most `max_waiting` may.
    """

    waiting = 0
    max_waiting = 1000

    @abstractmethod
    def dispatch(self, frame: Frame) -> None:
        """Have the model answer `frame.payloads`; does not wait.

        The outcomes go to `frame.answer`, in any thread and in any order, one or several at a time.
        Raises ModelUnavailable if the model cannot be called now.
        """

    @abstractmethod
    def expired(self, frame: Frame) -> None:
        """The deadline of a frame has passed, and has answered what the model has not.

        Called in the thread that watches the deadlines.
        """


class Frame:
    """Requests that are dispatched together; `answer` may be called in any thread."""

    __slots__ = ("_explain", "_lock", "_open", "_post", "_row", "codec", "requests", "runner",
                 "ticket")  # fmt: skip

    ticket: Ticket

    def __init__(
        self,
        runner: DispatchedRunner,
        requests: Sequence[Pending],
        codec: Codec,
        row: Row,
        explain: Explain,
        post: Post,
    ) -> None:
        self.runner = runner
        self.requests = requests
        self.codec = codec
        self._row = row
        self._explain = explain
        self._post = post
        self._open = set(range(len(requests)))
        self._lock = threading.Lock()

    @property
    def payloads(self) -> list[bytes]:
        """The bodies of the requests."""
        return [request.payload for request in self.requests]

    @property
    def unanswered(self) -> list[int]:
        """The indexes of the requests that have no answer yet, ascending."""
        return sorted(self._open)

    def send(self, timeouts: Timeouts) -> None:
        """Dispatch the requests; those that cannot be are answered with the reason.

        Raises Overloaded if nothing can watch their deadline; then none is answered.
        """
        count, runner = len(self.requests), self.runner
        self.ticket = timeouts.start(lambda: self._expire(timeouts.timeout))
        self._row.begin(count)
        runner.waiting += count
        try:
            if runner.waiting > runner.max_waiting + 1:
                message = f"{runner.max_waiting} predictions are waiting already; try again"
                raise Overloaded(message, retry_after=1)
            runner.dispatch(self)
        except RequestError as error:
            self.answer((index, error) for index in range(count))

    def answer(self, answers: Iterable[tuple[int, RawOutcome]]) -> None:
        """Answer requests by their index; those that have been answered already are left out."""
        found = []
        with self._lock:
            for index, outcome in answers:
                if index in self._open:
                    self._open.discard(index)
                    found.append((self.requests[index], outcome))
            finished = not self._open
        if finished:
            self.ticket.claim()
        if found:
            self._row.end(len(found))
            self.runner.waiting -= len(found)
            self._post(lambda: self._deliver(found))

    def _deliver(self, answers: Sequence[tuple[Pending, RawOutcome]]) -> None:
        now, model = perf_counter(), self.runner.model
        for request, outcome in answers:
            self._row.observe(reason_of(outcome), now - request.started)
            if type(outcome) is bytes:
                request.finish(outcome)
            else:
                self._explain(outcome, model, request.identity(), self._posted(request))

    def _posted(self, request: Pending) -> Done:
        """Return a callback that answers a request from any thread."""

        def done(outcome: Outcome) -> None:
            self._post(lambda: request.finish(outcome))

        return done

    def _expire(self, timeout: float) -> None:
        error = DeadlineExceeded(f"no answer within {timeout:g} s")
        self.answer([(index, error) for index in self.unanswered])
        self.runner.expired(self)

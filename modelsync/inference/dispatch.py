"""Frames: requests that a model answers elsewhere, in a thread of its own or in a runner process.

All requests for a model that have arrived in one turn of the loop are one frame. A frame has one
deadline; each of its requests is counted, and answered once, by the model or by the deadline.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from modelsync.errors import DeadlineExceeded, Overloaded, RequestError
from modelsync.inference.codec import Codec
from modelsync.inference.invocation import reason_of
from modelsync.inference.model_runner import ModelRunner, RawOutcome
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.pending import Pending
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.types import LoadedModel
from modelsync.observability.counters import Row

if TYPE_CHECKING:
    import asyncio

Explain = Callable[[RawOutcome, LoadedModel, str, Done], None]
"""Turns what a call raised into the error that the client gets (`Explainer.explain`)."""

Post = Callable[[Callable[[], None]], object]
"""Runs a callback in the thread that answers requests; called in any thread."""


class DispatchedRunner(ModelRunner):
    """A model that is called elsewhere than in the thread that has its requests.

    `waiting` counts the requests that have no answer yet; `max_waiting` may, beside the one that is
    being called. `report` is told why the model cannot be called now, and the empty text once it
    can be; it takes the model off and puts it on again (`DataPlane.suspend`). `hung` counts its
    threads that have been given up and have not ended. `explains`: failures of the model are
    logged, and explained, where it runs.
    """

    waiting = 0
    max_waiting = 1000
    hung = 0
    explains = False
    report: Callable[[str], None]

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self.report = lambda _: None
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether a request has no answer yet."""
        return self.waiting > 0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the calling thread, which is a worker's, if it needs one."""

    def admit(self, requests: int) -> int:
        """Take in so many requests; return how many of them there is room for."""
        with self._lock:
            admitted = max(0, min(requests, self.max_waiting + 1 - self.waiting))
            self.waiting += admitted
        return admitted

    def answered(self, requests: int) -> None:
        """Make room: so many requests have their answers."""
        with self._lock:
            self.waiting -= requests

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
    """Requests that are dispatched together; `answer` may be called in any thread.

    `timeout` is the time in seconds that they have, and that a call of them has by itself.
    """

    __slots__ = ("_explain", "_left", "_lock", "_open", "_post", "_row", "codec", "requests",
                 "runner", "ticket", "timeout")  # fmt: skip

    ticket: Ticket
    timeout: float

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
        self._left = len(requests)
        self._open = bytearray(b"\x01") * len(requests)
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.runner.name

    @property
    def payloads(self) -> list[bytes]:
        """The bodies of the requests."""
        return [request.payload for request in self.requests]

    @property
    def unanswered(self) -> list[int]:
        """The indexes of the requests that have no answer yet, ascending."""
        return [index for index, is_open in enumerate(self._open) if is_open]

    @property
    def finished(self) -> bool:
        """Whether each request has its answer."""
        return not self._left

    def send(self, timeouts: Timeouts) -> None:
        """Dispatch the requests; those that cannot be are answered with the reason.

        Raises Overloaded if nothing can watch their deadline; then none is answered.
        """
        count, runner = len(self.requests), self.runner
        self.timeout = timeouts.timeout
        self.ticket = timeouts.start(self._expire)
        admitted = runner.admit(count)
        self._row.begin(count)
        if admitted < count:
            message = f"{runner.max_waiting} predictions are waiting already; try again"
            self._refuse(range(admitted, count), Overloaded(message, retry_after=1))
            self.requests = self.requests[:admitted]  # the model is not called for the others
        if admitted:
            try:
                runner.dispatch(self)
            except RequestError as error:
                self.refuse(error)

    def answer(self, answers: Iterable[tuple[int, RawOutcome]]) -> None:
        """Answer requests by their index; those that have been answered already are left out.

        What their calls raised is logged all the same.
        """
        if found := self._take(answers):
            self.runner.answered(len(found))
            self._post(lambda: self._deliver(found))

    def called(self, requests: int) -> None:
        """Count one call of the model with so many requests, a batch."""
        self._row.batch(requests)

    def hangs(self) -> None:
        """Count a call that goes on after the deadline: it may still end the process."""
        self._row.begin(1)

    def hangs_no_more(self) -> None:
        """That call has ended."""
        self._row.end(1)

    def refuse(self, error: RequestError) -> None:
        """Answer each request that has no answer yet with the same error."""
        self.answer((index, error) for index in self.unanswered)

    def _refuse(self, indexes: Iterable[int], error: RequestError) -> None:
        """Answer requests that were never taken in."""
        found = self._take((index, error) for index in indexes)
        self._post(lambda: self._deliver(found))

    def _take(self, answers: Iterable[tuple[int, RawOutcome]]) -> list[tuple[Pending, RawOutcome]]:
        """Return those of the requests that have no answer yet, which nobody else answers now."""
        found, late = [], []
        with self._lock:
            for index, outcome in answers:
                if self._open[index]:
                    self._open[index] = 0
                    found.append((self.requests[index], outcome))
                else:
                    late.append((self.requests[index], outcome))
            self._left -= len(found)
        if not self._left:
            self.ticket.claim()
        for request, outcome in () if self.runner.explains else late:
            self._explain(outcome, self.runner.model, request.identity(), unheard)
        return found

    def _deliver(self, answers: list[tuple[Pending, RawOutcome]]) -> None:
        row, now, model = self._row, perf_counter(), self.runner.model
        explains = self.runner.explains
        row.end(len(answers))
        for request, outcome in answers:
            row.observe(reason_of(outcome), now - request.started)
            if type(outcome) is bytes or (explains and isinstance(outcome, RequestError)):
                request.finish(outcome)
            else:
                self._explain(outcome, model, request.identity(), self._posted(request))
        answers.clear()  # exceptions that hold frames: see `Invocation.take`

    def _posted(self, request: Pending) -> Done:
        """Return a callback that answers a request from any thread."""

        def done(outcome: Outcome) -> None:
            self._post(lambda: request.finish(outcome))

        return done

    def _expire(self) -> None:
        self.refuse(DeadlineExceeded(f"no answer within {self.timeout:g} s"))
        self.runner.expired(self)


def unheard(_: Outcome) -> None:
    """Do nothing: the deadline has answered the request."""

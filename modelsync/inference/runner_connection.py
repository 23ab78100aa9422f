"""One connection to a runner: messages go out, answers come back to who has asked.

Everything happens in one event loop, so nothing here needs a lock, and nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Protocol

from modelsync.errors import Overloaded, RequestError, RunnerDied
from modelsync.inference.dispatch import Frame
from modelsync.inference.messages import (
    Answers,
    Call,
    MessageError,
    MessageReader,
    pack_call,
    split,
    unpack_answers,
)
from modelsync.inference.model_runner import RawOutcome

log = logging.getLogger(__name__)

MAX_UNSENT = 64 * 1024**2
"""Bytes that may wait for a runner to read them; the next requests are refused."""

RETRY = 1
"""Seconds after which a client may try again whose runner has ended."""


class Asker(Protocol):
    """Has asked something of a runner."""

    @property
    def name(self) -> str:
        """The name of the model."""

    def answer(self, answers: Iterable[tuple[int, RawOutcome]], /) -> None:
        """Get answers by the indexes of the requests."""


class Order:
    """An order to load a version; `done` gets the answer."""

    def __init__(self, name: str, done: Callable[[RawOutcome], object]) -> None:
        self.name = name
        self._done = done

    def answer(self, answers: Iterable[tuple[int, RawOutcome]]) -> None:
        """Hand on the answer."""
        for _, outcome in answers:
            self._done(outcome)


class Sent:
    """Requests of a frame that went out as one message; `first` is the frame's index of its first.

    `last` is behind its last. `open`: how many of them the runner has not answered.
    """

    __slots__ = ("first", "frame", "last", "open")

    def __init__(self, frame: Asker, first: int, requests: int) -> None:
        self.frame = frame
        self.first = first
        self.last = first + requests
        self.open = requests


class RunnerConnection(asyncio.Protocol):
    """One connection; `ended` once it is lost. What is sent before it is open waits in `_early`."""

    def __init__(self) -> None:
        self.ended = False
        self._transport: asyncio.Transport | None = None
        self._reader = MessageReader()
        self._numbers = count()
        self._sent: dict[int, Sent] = {}
        self._early: deque[bytes] = deque()

    def opened(self, opening: asyncio.Task[object]) -> None:
        """The attempt to connect has ended."""
        if not opening.cancelled() and (error := opening.exception()):
            self.connection_lost(error if isinstance(error, Exception) else None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what has waited."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        while self._early:
            self._write(self._early.popleft())

    def ask(self, order: Order, message: Call) -> None:
        """Send an order, whose answer comes later."""
        sent = Sent(order, 0, 1)
        if self.ended:
            self._fail(sent)
            return
        number = next(self._numbers) & 0xFFFFFFFF
        self._sent[number] = sent
        self._write(pack_call(message._replace(number=number)))

    def tell(self, message: Call) -> None:
        """Send a message that has no answer."""
        self._write(pack_call(message))

    def send(self, frame: Frame, model: int, version: int) -> None:
        """Send a frame, in several messages if it is large."""
        if self.ended:
            self._fail(Sent(frame, 0, len(frame.requests)))
            return
        if self._transport and self._transport.get_write_buffer_size() > MAX_UNSENT:
            name = frame.runner.model.name
            error = Overloaded(f"{name} does not keep up with its requests; try again")
            frame.answer([(index, error) for index in frame.unanswered])
            return
        requests, payloads = frame.requests, frame.payloads
        deadline = frame.ticket.deadline
        for part in split(payloads):
            number = next(self._numbers) & 0xFFFFFFFF
            identities = [request.identity() for request in requests[part]]
            self._sent[number] = Sent(frame, part.start, len(identities))
            call = Call(number, model, deadline, identities, payloads[part], version)
            self._write(pack_call(call))

    def _write(self, message: bytes) -> None:
        if self._transport is None:
            self._early.append(message)
        else:
            self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Hand on the answers."""
        try:
            for message in self._reader.feed(data):
                self._answer(unpack_answers(message))
        except MessageError as error:
            log.error("a runner has sent what is no answer: %s", error)
            assert self._transport
            self._transport.abort()

    def _answer(self, answers: Answers) -> None:
        sent = self._sent.get(answers.number)
        if sent is None:
            raise MessageError(f"an answer to the message {answers.number}")
        sent.open -= len(answers.outcomes)
        if sent.open <= 0:
            del self._sent[answers.number]
        first = sent.first
        sent.frame.answer([(first + index, outcome) for index, outcome in answers.outcomes])

    def connection_lost(self, error: Exception | None) -> None:
        """Answer all requests that the runner has not: it has ended, or cannot be reached."""
        self.ended = True
        self._early.clear()
        sent, self._sent = self._sent, {}
        for one in sent.values():
            self._fail(one)

    def _fail(self, sent: Sent) -> None:
        error: RequestError = RunnerDied(
            f"the process of {sent.frame.name} has ended before it answered; it is started again",
            RETRY,
        )
        sent.frame.answer([(index, error) for index in range(sent.first, sent.last)])

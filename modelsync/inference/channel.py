"""The connection of one process to one runner: opened with the first frame, and again when lost.

Everything happens in one event loop: that of the worker, or one in a thread of its own where the
process has none. So nothing here needs a lock, and nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import deque
from itertools import count

from modelsync.errors import ModelUnavailable, Overloaded, RequestError, RunnerDied
from modelsync.inference.async_runner import start_loop
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
from modelsync.inference.pulse import Pulse

log = logging.getLogger(__name__)

MAX_UNSENT = 64 * 1024**2
"""Bytes that may wait for a runner to read them; the next requests are refused."""

RETRY = 1
"""Seconds after which a client may try again whose runner has ended."""

STARTS_AGAIN = "its process has ended and is started again"


class Sent:
    """Requests of a frame that went out as one message; `first` is the frame's index of its first.

    `open`: how many of them the runner has not answered.
    """

    __slots__ = ("first", "frame", "open")

    def __init__(self, frame: Frame, first: int, requests: int) -> None:
        self.frame = frame
        self.first = first
        self.open = requests


class RunnerChannel:
    """The connection to the runner named `runner`, which listens at `address`, a Unix socket."""

    def __init__(self, runner: str, address: str, pulse: Pulse) -> None:
        self.runner = runner
        self._address = address
        self._pulse = pulse
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._protocol: _Protocol | None = None
        self._lock = threading.Lock()

    @property
    def up(self) -> bool:
        """Whether the runner has loaded its models."""
        return self._pulse.up

    @property
    def restarts(self) -> int:
        """How often the runner was started again."""
        return max(0, self._pulse.starts - 1)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the calling thread from now on."""
        self._loop, self._thread = loop, threading.get_ident()

    def send(self, frame: Frame, model: int) -> None:
        """Send a frame's requests to the model with this number; `Frame.answer` gets the answers.

        Raises ModelUnavailable while the runner is being started.
        """
        if not self.up:
            name = frame.runner.model.name
            raise ModelUnavailable(f"{name} does not run at the moment: {STARTS_AGAIN}", RETRY)
        if threading.get_ident() == self._thread:
            self._send(frame, model)
        else:
            self._any_loop().call_soon_threadsafe(self._send, frame, model)

    def _any_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:  # under another server than ours
                self._loop = start_loop("modelsync-runners")
            return self._loop

    def _send(self, frame: Frame, model: int) -> None:
        if self._protocol is None or self._protocol.ended:
            self._protocol = _Protocol()
            self._open(self._protocol)
        self._protocol.send(frame, model)

    def _open(self, protocol: _Protocol) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._address)  # at once, as the master listens; or it fails
        except OSError as error:
            sock.close()
            protocol.connection_lost(error)
            return
        assert self._loop
        opening = self._loop.create_task(self._loop.create_connection(lambda: protocol, sock=sock))
        opening.add_done_callback(protocol.opened)


class _Protocol(asyncio.Protocol):
    """One connection. What is sent before it is open waits in `_early`."""

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

    def send(self, frame: Frame, model: int) -> None:
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
            self._write(pack_call(Call(number, model, deadline, identities, payloads[part])))

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
        name = sent.frame.runner.model.name
        error: RequestError = RunnerDied(
            f"the process of {name} has ended before it answered; it is started again", RETRY
        )
        last = len(sent.frame.requests)
        sent.frame.answer([(index, error) for index in range(sent.first, last)])

"""Answers whose bodies are sent while they are made: events, files too large for memory.

The sender asks for the next part only when its client has read the last one, so that a slow client
costs no memory. Everything here runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modelsync.problems import Answer
from modelsync.server.request import Exchange

Deliver = Callable[[bytes, bool], None]
"""Gets the next part of a body, and whether it is the last; an empty part that is not the last one
says that the body cannot be completed.
"""


class Stream(Protocol):
    """The rest of a body."""

    def read(self, deliver: Deliver) -> None:
        """Have the next part made; `deliver` is called with it in the loop's thread."""

    def close(self) -> None:
        """End it: nobody reads the rest."""


@dataclass(frozen=True, slots=True)
class StreamedAnswer(Answer):
    """An answer whose `body` is only the first part of it; None as `stream`: there is no more.

    `length`: of the whole body in bytes, None if unknown.
    """

    stream: Stream | None = None
    length: int | None = None


class StreamChannel(Protocol):
    """What the sender needs of a connection; `unread`: nothing more is to be written now."""

    transport: asyncio.Transport
    unread: bool

    def flush(self) -> None:
        """Go on with the answers: this one has got an `output`."""

    def log_answer(self, exchange: Exchange, answer: Answer, size: int | None = None) -> None:
        """Write an answer with a body of that size to the access log."""


class StreamSender:
    """Sends the body of one streamed answer as fast as its client reads it; `ended`: all of it."""

    __slots__ = (
        "_answer", "_channel", "_chunked", "_exchange", "_first", "_reading", "_sent", "_stream",
        "ended",
    )  # fmt: skip

    def __init__(self, channel: StreamChannel, exchange: Exchange, answer: StreamedAnswer) -> None:
        self.ended = False
        self._answer = answer
        self._channel = channel
        self._exchange = exchange
        self._stream = answer.stream
        self._first = answer.body
        self._chunked = answer.length is None and exchange.request.version != "1.0"
        self._reading = False
        self._sent = 0

    def go_on(self) -> None:
        """Send the next part, unless it is being made already or the client does not read."""
        if self._stream is None:
            self._end()
            return
        if self._reading or self.ended or self._channel.unread:
            return
        if self._first:
            first, self._first = self._first, b""
            self._write(first)
        if not self._channel.unread:
            self._reading = True
            self._stream.read(self._deliver)

    def close(self) -> None:
        """Send no more: the client has gone."""
        if not self.ended:
            self.ended = True
            self._channel.log_answer(self._exchange, self._answer, self._sent)
            if self._stream:
                self._stream.close()

    def _deliver(self, data: bytes, last: bool) -> None:
        self._reading = False
        if self.ended or self._channel.transport.is_closing():
            self.close()
            return
        if data:
            self._write(data)
        if data and not last:
            self.go_on()
        elif not last or self._is_short():
            self._channel.transport.abort()  # so that the client sees that something is missing
        else:
            self._end()

    def _is_short(self) -> bool:
        return self._answer.length is not None and self._sent < self._answer.length

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        self._channel.transport.write(framed)

    def _end(self) -> None:
        self.ended = True
        self._channel.log_answer(self._exchange, self._answer, self._sent)
        self._exchange.output = b"0\r\n\r\n" if self._chunked and self._stream else b""
        self._channel.flush()

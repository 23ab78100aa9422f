"""The pipeline of one connection: its requests that have no answer yet, in their order.

A client may send requests without waiting for answers (RFC 9112 section 9.3.2). They are answered
at the same time, but for large bodies and answers, of which only so many are kept for one client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from modelsync.server.buffers import (
    CONNECTION_BYTES,
    PIPELINE_BYTES,
    SMALL,
    Buffers,
    Holder,
)
from modelsync.server.request import Exchange, Request
from modelsync.server.streams import StreamChannel, StreamedAnswer, StreamSender

MAX_PIPELINED: Final = 32
"""Requests of one connection that may wait for an answer; then reading pauses."""


class PipelineHolder(Holder, StreamChannel, Protocol):
    """The connection of a pipeline."""


class Pipeline:
    """The exchanges of one connection, and those of them, the last ones, that wait to be started.

    `holder` is the connection, `start` has a request answered. `held` is what the connection holds
    in bytes, 0 if that is little. `senders` send the bodies of exchanges with streamed answers.
    """

    __slots__ = (
        "_buffers", "_holder", "_start", "_starting", "exchanges", "held", "senders",
        "waiting",
    )  # fmt: skip

    def __init__(
        self, buffers: Buffers, holder: PipelineHolder, start: Callable[[Exchange], None]
    ) -> None:
        self.exchanges: deque[Exchange] = deque()
        self.waiting: list[Exchange] = []
        self.senders: dict[Exchange, StreamSender] = {}
        self.held = 0
        self._buffers = buffers
        self._holder = holder
        self._start = start
        self._starting = False

    def add(self, exchange: Exchange) -> None:
        """Start a request, or have it wait for those before it."""
        ahead = len(self.exchanges)
        self.exchanges.append(exchange)
        if self.waiting or not self._may_start(exchange.request, ahead):
            self.waiting.append(exchange)
        else:
            self._start(exchange)

    @property
    def is_full(self) -> bool:
        """Whether no more requests are to be read now."""
        return len(self.exchanges) >= MAX_PIPELINED or bool(self.waiting)

    def start_waiting(self) -> None:
        """Start the requests that need not wait any longer."""
        if self._starting:  # a request that was answered at once: the loop below goes on
            return
        self._starting = True
        while self.waiting:
            ahead = len(self.exchanges) - len(self.waiting)
            if not self._may_start(self.waiting[0].request, ahead):
                break
            self._start(self.waiting.pop(0))
        self._starting = False

    def forget(self) -> None:
        """Drop all requests: nobody reads their answers."""
        self.exchanges.clear()
        self.waiting.clear()
        senders, self.senders = self.senders, {}
        for sender in senders.values():
            sender.close()
        self.measure()

    def measure(self) -> None:
        """Tell how many bytes this connection holds: bodies, answers, what the client must read."""
        size = self._holder.unsent()
        for exchange in self.exchanges:
            size += len(exchange.request.body) + len(exchange.output or b"")
        size = size if size > SMALL else 0
        if size != self.held:
            self.held = size
            self._buffers.hold(self._holder, size)

    def keep(self, exchange: Exchange) -> bool:
        """Keep the answer of an exchange until its turn; return false if it takes too much.

        Clients that do not read may be disconnected for it, this one among them.
        """
        size = len(exchange.output or b"")
        if size <= SMALL and not self.waiting:
            return True
        self._buffers.learn(exchange.request.path, size)
        self.measure()
        self._buffers.relieve()
        is_first = not self.exchanges or exchange is self.exchanges[0]
        return is_first or self.held <= CONNECTION_BYTES + size

    # --- answers whose bodies are sent while they are made ----------------------------------------

    def stream(self, exchange: Exchange, answer: StreamedAnswer) -> None:
        """Keep a streamed answer, whose body follows its head."""
        if answer.length is None and exchange.request.version == "1.0":
            exchange.close = True
        sender = StreamSender(self._holder, exchange, answer)
        if exchange not in self.exchanges or self._holder.transport.is_closing():
            sender.close()
        else:
            self.senders[exchange] = sender

    def sends_body(self, exchange: Exchange) -> bool:
        """Begin with the body of an exchange whose head is sent; false: all of it is sent."""
        if (sender := self.senders.get(exchange)) is None:
            return False
        if sender.ended:
            del self.senders[exchange]
            return False
        exchange.output = None  # until the sender is at its end
        sender.go_on()
        return True

    def go_on(self) -> None:
        """Send more of the body that is being sent: its client reads again."""
        if self.senders and (sender := self.senders.get(self.exchanges[0])):
            sender.go_on()

    def _may_start(self, request: Request, ahead: int) -> bool:
        """Return whether a request may be answered while so many before it are under way."""
        if self._holder.unread:
            return False
        if not ahead:
            return True
        window = self._buffers.window(request.path)
        return self.held <= PIPELINE_BYTES and (window is None or ahead < window)

"""The pipeline of one connection: its requests that have no answer yet, in their order.

A client may send requests without waiting for answers (RFC 9112 section 9.3.2). They are answered
at the same time, but for large bodies and answers, of which only so many are kept for one client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from modelsync.server.buffers import (
    CONNECTION_BYTES,
    PIPELINE_BYTES,
    SMALL,
    Buffers,
    Holder,
)
from modelsync.server.request import Exchange, Request

MAX_PIPELINED = 32
"""Requests of one connection that may wait for an answer; then reading pauses."""


class Pipeline:
    """The exchanges of one connection, and those of them, the last ones, that wait to be started.

    `holder` is the connection, `start` has a request answered. `held` is what the connection holds
    in bytes, 0 if that is little.
    """

    __slots__ = ("_buffers", "_holder", "_start", "_starting", "exchanges", "held", "waiting")

    def __init__(self, buffers: Buffers, holder: Holder, start: Callable[[Exchange], None]) -> None:
        self.exchanges: deque[Exchange] = deque()
        self.waiting: list[Exchange] = []
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
        self._buffers.learn(exchange.request.path, size)
        self.measure()
        self._buffers.relieve()
        is_first = not self.exchanges or exchange is self.exchanges[0]
        return is_first or self.held <= CONNECTION_BYTES + size

    def _may_start(self, request: Request, ahead: int) -> bool:
        """Return whether a request may be answered while so many before it are under way."""
        if self._holder.unread:
            return False
        if not ahead:
            return True
        window = self._buffers.window(request.path)
        return self.held <= PIPELINE_BYTES and (window is None or ahead < window)

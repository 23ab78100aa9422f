"""The state that all connections of one worker share: limits, clock, clients, draining."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

from modelsync.server.buffers import Buffers
from modelsync.server.request_ids import acceptable
from modelsync.server.uploads import Uploads


class Client(Protocol):
    """What the state needs of a connection; `deadline` is a time of the loop's clock, 0: none."""

    deadline: float

    def timed_out(self) -> None:
        """The deadline has passed."""

    @property
    def idle(self) -> bool:
        """Whether no request has begun and no answer is due."""

    def close_when_idle(self) -> None:
        """End the connection if no answer is due."""


class ServerState:
    """The state of one worker's server: times are in seconds, `now` is the loop's clock.

    `requests` counts complete requests. `report_count` is called with the number of connections
    when it changes, and with None when the worker accepts no more. `new_id` returns a request id.
    """

    header_timeout: ClassVar[float] = 15.0
    body_timeout: ClassVar[float] = 60.0
    idle_timeout: ClassVar[float] = 75.0
    write_timeout: ClassVar[float] = 30.0

    def __init__(
        self, max_body: int, now: Callable[[], float], max_buffered: int = 256 * 1024**2
    ) -> None:
        self.max_body = max_body
        # One body and its answer always fit.
        self.buffers = Buffers(max(max_buffered, 2 * max_body))
        self.now = now
        self.uploads: Uploads | None = None
        self.draining = False
        self.requests = 0
        self.idle_deadline = 0.0
        self.connections: set[Client] = set()
        self.report_count: Callable[[int | None], None] = lambda count: None
        self.new_id = _ids().__next__

    def opened(self, client: Client) -> None:
        """Add a client that has connected."""
        self.connections.add(client)
        self.report_count(len(self.connections))

    def closed(self, client: Client) -> None:
        """Remove a client whose connection has ended."""
        self.connections.discard(client)
        if not self.draining:
            self.report_count(len(self.connections))

    def tick(self) -> None:
        """Enforce the clients' deadlines, and set the one of connections that become idle now."""
        now = self.now()
        self.idle_deadline = now + self.idle_timeout
        for client in [one for one in self.connections if 0 < one.deadline < now]:
            client.timed_out()

    def receive_timeout(self, *, in_head: bool) -> float:
        """Return the time for the rest of a head, or of a body, in seconds."""
        return self.header_timeout if in_head else self.body_timeout

    def close_idle(self, count: int) -> int:
        """Close the `count` connections that have been idle longest; return how many there were."""
        idle = [client for client in self.connections if client.idle and client.deadline]
        longest = heapq.nsmallest(count, idle, key=lambda client: client.deadline)
        for client in longest:
            client.close_when_idle()
        return len(longest)

    def request_id(self, given: bytes | None) -> str:
        """Return the client's request id if it is acceptable, else a new one."""
        return (acceptable(given) or self.new_id()).decode()


def _ids() -> Iterator[bytes]:
    """Return request ids that are unique among all workers.

    A random prefix for each worker and a counter: as unique as a random number for each request, at
    a fraction of the cost. Only each 256th is formatted.
    """
    prefix = os.urandom(8).hex().encode()
    ends = [b"%02x" % end for end in range(256)]

    def block(number: int) -> Iterator[bytes]:
        return map((prefix + b"%06x" % number).__add__, ends)

    # No generator expression: mypyc makes a list of it, and this one has no end.
    return itertools.chain.from_iterable(map(block, itertools.count()))

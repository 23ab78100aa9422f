"""What all connections of one worker share: limits, the clock, who is connected, whether it ends."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Protocol

from modelsync.server.request_ids import accepted


class Client(Protocol):
    """A connection, as the state knows it. `deadline` is a time of the loop's clock, 0: none."""

    deadline: float

    def timed_out(self) -> None:
        """The deadline has passed."""

    def close_when_idle(self) -> None:
        """End the connection now, if nothing is due on it."""


class ServerState:
    """The state of one worker's server. Times are seconds, `now` is the loop's clock.

    `requests` counts those that have been sent on to be answered. `report_count` is told the number
    of connections whenever it changes, None once no more are accepted.
    """

    header_timeout = 15.0
    body_timeout = 60.0
    idle_timeout = 75.0
    write_timeout = 30.0

    def __init__(self, max_body: int, now: Callable[[], float]) -> None:
        self.max_body = max_body
        self.now = now
        self.draining = False
        self.requests = 0
        self.idle_deadline = 0.0
        self.connections: set[Client] = set()
        self.report_count: Callable[[int | None], None] = lambda count: None
        self._id_prefix = os.urandom(8).hex().encode()
        self._ids = itertools.count()

    def opened(self, client: Client) -> None:
        """A client has connected."""
        self.connections.add(client)
        self.report_count(len(self.connections))

    def closed(self, client: Client) -> None:
        """A client has gone."""
        self.connections.discard(client)
        if not self.draining:
            self.report_count(len(self.connections))

    def tick(self) -> None:
        """Enforce deadlines, and set the one that a connection gets which becomes idle now."""
        now = self.now()
        self.idle_deadline = now + self.idle_timeout
        for client in [one for one in self.connections if 0 < one.deadline < now]:
            client.timed_out()

    def request_id(self, given: bytes | None) -> str:
        """Return the client's request id if it is acceptable, else a new one."""
        return (accepted(given) or self.new_id()).decode()

    def new_id(self) -> bytes:
        """Return a request id that is unique among all workers."""
        # Random per worker, counted within: as unique as a random one each time, at a tenth of the
        # cost.
        return b"%b%08x" % (self._id_prefix, next(self._ids))

"""Requests that wait for a call of a model."""

from __future__ import annotations

from time import perf_counter
from typing import Final, Protocol

from modelsync.inference.outcome import Done, Outcome

MAX_BATCH: Final = 256
"""Requests in one call; any more of them make the next call."""

MAX_TURN: Final = 0.001
"""Seconds of calls after which the answers so far are delivered, and others are heard."""


class Pending(Protocol):
    """A request that waits for its answer; `started` is a time of `perf_counter` in seconds."""

    payload: bytes
    started: float

    def identity(self) -> str:
        """Return the request's id."""

    def finish(self, outcome: Outcome) -> None:
        """Answer the request; called once, in the loop's thread if a loop has made it."""


class PendingRequest:
    """A pending request whose outcome goes to the callback `done`."""

    __slots__ = ("_request_id", "finish", "payload", "started")

    def __init__(self, payload: bytes, request_id: str, done: Done) -> None:
        self.payload = payload
        self.started = perf_counter()
        self.finish = done
        self._request_id = request_id

    def identity(self) -> str:
        """Return the request's id."""
        return self._request_id

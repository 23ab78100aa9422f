"""Timeouts of calls: one thread watches the deadlines of all calls, and ends when none is left."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep

from modelsync.inference.threads import start_thread

TICK = 0.05
"""Seconds between two checks of the deadlines."""


class Ticket:
    """The right to answer one call, claimed once: by the call itself or by its deadline."""

    __slots__ = ("_first", "_on_expired", "deadline")

    def __init__(self, deadline: float, on_expired: Callable[[], None]) -> None:
        self.deadline = deadline
        self._on_expired: Callable[[], None] | None = on_expired
        self._first = threading.Lock()

    def claim(self) -> bool:
        """Return True to the first caller, which alone may answer, and False to all others."""
        if not self._first.acquire(blocking=False):
            return False
        # The callback holds the job, which holds this ticket. Without this line each request, body
        # and answer, would stay in memory until the garbage collector runs, and as long as a slower
        # call before it is watched.
        self._on_expired = None
        return True

    def expire(self) -> Callable[[], None] | None:
        """Claim the ticket for the deadline; return the callback, None if the call was first."""
        on_expired = self._on_expired
        return on_expired if self.claim() else None

    @property
    def finished(self) -> bool:
        """Whether the ticket has been claimed."""
        return self._first.locked()


class Timeouts:
    """Calls `on_expired` of every ticket that is not claimed within `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        # In the order of their deadlines, because all tickets have the same timeout.
        self._tickets: deque[Ticket] = deque()
        self._lock = threading.Lock()
        self._watching = False

    def start(self, on_expired: Callable[[], None]) -> Ticket:
        """Return a ticket whose time runs from now; the watching thread calls `on_expired`.

        Raises Overloaded if that thread cannot be started.
        """
        with self._lock:
            if not self._watching:
                start_thread(self._watch, "modelsync-timeouts")
                self._watching = True
            ticket = Ticket(monotonic() + self.timeout, on_expired)
            self._tickets.append(ticket)
        return ticket

    def _watch(self) -> None:
        while True:
            sleep(TICK)
            with self._lock:
                expired = self._take_expired(monotonic())
                if not self._tickets and not expired:
                    self._watching = False
                    return
            for on_expired in expired:
                on_expired()

    def _take_expired(self, now: float) -> list[Callable[[], None]]:
        """Drop claimed tickets from the front; claim expired ones and return their callbacks."""
        expired = []
        while self._tickets and (self._tickets[0].finished or self._tickets[0].deadline <= now):
            if on_expired := self._tickets.popleft().expire():
                expired.append(on_expired)
        return expired

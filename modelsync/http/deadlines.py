"""Deadlines of calls in flight: one thread watches all of them, and sleeps while there are none."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep

TICK = 0.05
"""Seconds between two looks at the deadlines."""


class Ticket:
    """A call under a deadline: finished by whoever claims it first, the call itself or its deadline."""

    __slots__ = ("_first", "deadline", "on_expired")

    def __init__(self, deadline: float, on_expired: Callable[[], None]) -> None:
        self.deadline = deadline
        self.on_expired = on_expired
        self._first = threading.Lock()

    def claim(self) -> bool:
        """Whether the caller is the first, and so the one that may answer."""
        return self._first.acquire(blocking=False)

    @property
    def finished(self) -> bool:
        """Whether somebody has claimed it."""
        return self._first.locked()


class Deadlines:
    """Calls `on_expired` of every ticket that nobody has claimed within `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._tickets: deque[Ticket] = deque()  # in order of deadline, because the timeout is one for all
        self._lock = threading.Lock()
        self._watching = False

    def start(self, on_expired: Callable[[], None]) -> Ticket:
        """A ticket whose time runs from now. `on_expired` is called in the watching thread."""
        with self._lock:
            ticket = Ticket(monotonic() + self.timeout, on_expired)
            self._tickets.append(ticket)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="modelsync-deadlines", daemon=True).start()
        return ticket

    def _watch(self) -> None:
        while True:
            sleep(TICK)
            with self._lock:
                expired = self._take_expired(monotonic())
                if not self._tickets and not expired:
                    self._watching = False
                    return
            for ticket in expired:
                ticket.on_expired()

    def _take_expired(self, now: float) -> list[Ticket]:
        """Drop finished tickets from the front; take those whose time is over and claim them."""
        expired = []
        while self._tickets and (self._tickets[0].finished or self._tickets[0].deadline <= now):
            ticket = self._tickets.popleft()
            if ticket.claim():
                expired.append(ticket)
        return expired

"""Timeouts of calls in flight: one thread watches all of them, and sleeps while there are none."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep

TICK = 0.05
"""Seconds between two looks at the deadlines."""


class Ticket:
    """A call under a deadline: finished by whoever claims it first, the call itself or its
    deadline.
    """

    __slots__ = ("_first", "_on_expired", "deadline")

    def __init__(self, deadline: float, on_expired: Callable[[], None]) -> None:
        self.deadline = deadline
        self._on_expired: Callable[[], None] | None = on_expired
        self._first = threading.Lock()

    def claim(self) -> bool:
        """Whether the caller is the first, and so the one that may answer."""
        if not self._first.acquire(blocking=False):
            return False
        # It holds the call, which holds this ticket: each request would stay, body and answer,
        # until the collector comes, and as long as a slower call is watched before it.
        self._on_expired = None
        return True

    def expire(self) -> Callable[[], None] | None:
        """What to call because its time is over; None where the call was first."""
        on_expired = self._on_expired
        return on_expired if self.claim() else None

    @property
    def finished(self) -> bool:
        """Whether somebody has claimed it."""
        return self._first.locked()


class Timeouts:
    """Calls `on_expired` of every ticket that nobody has claimed within `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._tickets: deque[Ticket] = (
            deque()
        )  # in order of deadline, because the timeout is one for all
        self._lock = threading.Lock()
        self._watching = False

    def start(self, on_expired: Callable[[], None]) -> Ticket:
        """A ticket whose time runs from now. `on_expired` is called in the watching thread."""
        with self._lock:
            ticket = Ticket(monotonic() + self.timeout, on_expired)
            self._tickets.append(ticket)
            if not self._watching:
                self._watching = True
                threading.Thread(
                    target=self._watch, name="modelsync-deadlines", daemon=True
                ).start()
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
        """Drop finished tickets from the front; claim those whose time is over and give what to
        call for them.
        """
        expired = []
        while self._tickets and (self._tickets[0].finished or self._tickets[0].deadline <= now):
            if on_expired := self._tickets.popleft().expire():
                expired.append(on_expired)
        return expired

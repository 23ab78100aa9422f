"""A budget of memory for decoded bodies: 10 MB of short texts make 160 MB of Python objects.

Only large bodies count. A few calls with such bodies wait for each other, the others are refused,
so that requests without them go on in the other threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from modelsync.errors import Overloaded

T = TypeVar("T")

HEAVY = 1024**2
"""Bytes of a body over which its values are counted."""

VALUE = 60
"""Bytes that a short value takes as an object and in its list, besides its own."""

MAX_WAITING = 4
"""Calls that may wait for memory."""

PATIENCE = 10.0
"""Seconds for which a call waits for memory."""

PAUSE = 0.01
"""Seconds between two looks whether there is memory."""


class MemoryBudget:
    """`total` bytes for the decoded bodies of one worker's calls, of which `used` are taken."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._waiting = 0
        self._lock = threading.Lock()

    def call(self, payload: bytes, function: Callable[[], T]) -> T:
        """Call a function that decodes a body, once there is memory for it.

        Raises Overloaded if too many calls wait for that already, or this one for too long.
        """
        if len(payload) <= HEAVY:
            return function()
        # A body that needs more than there is gets all of it.
        weight = min(self.total, len(payload) + VALUE * payload.count(b","))
        self._take(weight)
        try:
            return function()
        finally:
            with self._lock:
                self.used -= weight

    def _take(self, weight: int) -> None:
        if self._taken(weight):
            return
        deadline = monotonic() + PATIENCE
        with self._lock:
            self._waiting += 1
        try:
            while not self._taken(weight):
                if self._waiting > MAX_WAITING or monotonic() > deadline:
                    raise Overloaded("the requests under way take too much memory; try again")
                sleep(PAUSE)
        finally:
            with self._lock:
                self._waiting -= 1

    def _taken(self, weight: int) -> bool:
        with self._lock:
            enough = self.used + weight <= self.total
            self.used += weight if enough else 0
        return enough

"""A deadline, passed down through each step of a sync, so that the whole of it ends in time."""

from __future__ import annotations

import time

from modelsync.errors import SyncTimeout


class Deadline:
    """A moment on the monotonic clock, `seconds` from now."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; 0 after the deadline."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise SyncTimeout after the deadline."""
        if not self.remaining():
            raise SyncTimeout(f"the sync did not end within {self.seconds:g} s")

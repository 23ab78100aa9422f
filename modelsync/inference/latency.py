"""Whether a model is fast enough to be called in the event loop; measured by the check, corrected
by what is seen.

A call in the loop saves the way to a thread and back, which costs more than most models do. It
holds up every other client of the worker meanwhile, so it is for calls of at most `LOOP_MAX`
seconds.
"""

from __future__ import annotations

from pathlib import Path

LOOP_MAX = 0.005
"""Seconds a call may take in the loop."""

INLINE_MAX = 30e-6
"""Seconds of a call that costs no more than waking up the client who waits for it."""

STRIKES = 3
"""Calls over the limit, within the last hundred or so, after which a model goes to the threads; one
that takes ten times the limit goes at once.
"""

STREAK = 100
"""Fast calls in a row after which a model that was in the threads comes (back) to the loop; twice
as many each time.
"""


class RunQueue:
    """How long this thread has waited for a processor: time that a slow call is not to blame for.

    Linux tells it per thread (`/proc/thread-self/schedstat`, second field, in nanoseconds);
    elsewhere it is 0.
    """

    def __init__(self) -> None:
        self._path = Path("/proc/thread-self/schedstat")
        self._before = self._total()

    def waited(self) -> float:
        """Seconds since it was last asked."""
        before, self._before = self._before, self._total()
        return self._before - before

    def _total(self) -> float:
        try:
            return int(self._path.read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0


class LatencyTracker:
    """One model's speed in one worker. Threads may call `seen` at once: a lost count is harmless."""

    __slots__ = ("_fast", "_needed", "_slow", "allowed", "in_loop")

    def __init__(self, call_seconds: float | None, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self.in_loop = allowed and call_seconds is not None and call_seconds <= LOOP_MAX
        self._slow = 0.0
        self._fast = 0
        self._needed = STREAK

    def slow(self, seconds: float) -> bool:
        """Note a call in the loop that was over the limit; returns whether the model goes to the
        threads for it.
        """
        self._slow = self._slow * 0.97 + 1.0
        if seconds < 10 * LOOP_MAX and self._slow < STRIKES:
            return False
        self.in_loop = False
        self._slow = 0.0
        self._fast = 0
        self._needed *= 2
        return True

    def record(self, seconds: float) -> None:
        """Note a call in a thread."""
        self._fast = self._fast + 1 if seconds <= LOOP_MAX else 0
        if self._fast >= self._needed and self.allowed:
            self.in_loop = True

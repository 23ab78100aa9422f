"""Decides by latency whether a model is called in the event loop or in a thread.

A call in the loop saves the switch to a thread and back, which costs more than most models do. It
holds up every other client of the worker meanwhile, so the loop is for calls of at most `LOOP_MAX`
seconds. The check measures each model first; each worker corrects that by its own calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modelsync.extension_types import mypyc_attr

LOOP_MAX: Final = 0.005
"""Seconds that a call in the loop may take."""

INLINE_MAX: Final = 30e-6
"""Seconds of a call that costs no more than waking up the client who waits for it."""

STRIKES = 3
"""Calls over `LOOP_MAX`, of the last hundred or so, after which a model moves to the threads.

One call that takes ten times `LOOP_MAX` is enough.
"""

STREAK = 100
"""Fast calls in a row after which a model moves from the threads to the loop.

The number doubles each time the model goes back to the threads.
"""


class RunQueue:
    """The time that this thread has waited for a processor, which is no fault of a slow call.

    Linux counts it for each thread (`/proc/thread-self/schedstat`, second field, in nanoseconds);
    elsewhere it is 0.
    """

    def __init__(self) -> None:
        self._path = Path("/proc/thread-self/schedstat")
        self._before = self._total()

    def waited(self) -> float:
        """Return the seconds waited since the last call of this method."""
        before, self._before = self._before, self._total()
        return self._before - before

    def _total(self) -> float:
        try:
            return int(self._path.read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0


@mypyc_attr(allow_interpreted_subclasses=True)
class LatencyTracker:
    """The latency of one model in one worker; `call_seconds` is what the check has measured.

    `allowed`: the loop may call the model at all. Several threads may call `record` at the same
    time: a lost count is harmless.
    """

    __slots__ = ("_fast", "_needed", "_slow", "allowed", "in_loop")

    def __init__(self, call_seconds: float | None, *, allowed: bool = True) -> None:
        self.allowed = allowed
        self.in_loop = allowed and call_seconds is not None and call_seconds <= LOOP_MAX
        self._slow = 0.0
        self._fast = 0
        self._needed = STREAK

    def record_slow(self, seconds: float) -> bool:
        """Record a call in the loop over `LOOP_MAX`; return whether the model moves to threads."""
        self._slow = self._slow * 0.97 + 1.0
        if seconds < 10 * LOOP_MAX and self._slow < STRIKES:
            return False
        self.in_loop = False
        self._slow = 0.0
        self._fast = 0
        self._needed *= 2
        return True

    def record(self, seconds: float) -> None:
        """Record a call in a thread; enough fast ones move the model to the loop."""
        self._fast = self._fast + 1 if seconds <= LOOP_MAX else 0
        if self._fast >= self._needed and self.allowed:
            self.in_loop = True

"""Which models a runner is calling: counted in its pulse, as the suspects of a crash.

The requests themselves are counted by the worker that has them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from modelsync.inference.pulse import Pulse


class CallRow:
    """The running calls of one model; has the methods of the rows of `Counters`."""

    __slots__ = ("_lock", "_number", "_pulse", "model")

    def __init__(self, model: str, number: int, pulse: Pulse, lock: threading.Lock) -> None:
        self.model = model
        self._number = number
        self._pulse = pulse
        self._lock = lock

    def begin(self, requests: int) -> None:
        """A call starts."""
        with self._lock:
            self._pulse.count(self._number, 1)

    def end(self, requests: int) -> None:
        """That call has ended."""
        with self._lock:
            self._pulse.count(self._number, -1)

    def succeeded(self, seconds: float) -> None:
        """The same, for a call that answers one request."""
        self.end(1)

    def observe(self, reason: str, seconds: float) -> None:
        """Do nothing: the worker counts."""

    def batch(self, size: int) -> None:
        """Do nothing: the worker counts."""

    def fell_back(self, rows: int) -> None:
        """Do nothing: the worker counts."""


class RunningCalls:
    """The rows of all models, as `Counters` has them."""

    def __init__(self, names: Sequence[str], pulse: Pulse) -> None:
        lock = threading.Lock()
        self.rows = {name: CallRow(name, number, pulse, lock) for number, name in enumerate(names)}

    def loop_row(self, model: str) -> CallRow:
        """The row of `model` for the main thread."""
        return self.rows[model]

    def answered(self) -> None:
        """Do nothing: the worker counts."""

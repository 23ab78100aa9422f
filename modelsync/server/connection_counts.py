"""The number of connections of each worker of a generation, in memory that all workers share."""

from __future__ import annotations

import mmap

_NOT_ACCEPTING = 0xFFFFFFFF
"""The count of a worker that accepts no connections, so that it is never the lowest."""


class ConnectionCounts:
    """One unsigned 32-bit integer for each worker; created before the fork."""

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * workers)).cast("I")
        for worker_index in range(workers):
            self._counts[worker_index] = _NOT_ACCEPTING

    def report(self, worker_index: int, connections: int | None) -> None:
        """Set the number of connections of a worker, None if it accepts none."""
        self._counts[worker_index] = _NOT_ACCEPTING if connections is None else connections

    def lowest(self) -> int:
        """Return the smallest number among the workers that accept connections."""
        return min(self._counts)

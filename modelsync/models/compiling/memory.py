"""Bounds the memory of the compile process by what the machine or its container has left."""

from __future__ import annotations

import re
import resource
from contextlib import suppress
from pathlib import Path

SHARE = 0.5
"""The part of the memory left that all compile processes may take; the rest is for what serves."""

MOST = 4 * 1024**3
"""Bytes that one may take however many are left: a compiler that wants more has gone wrong."""

LEAST = 256 * 1024**2
"""Bytes that it may take in any case: with less the libraries are not even imported."""


def limit_memory(processes: int) -> None:
    """Have this process and its forks get a MemoryError, rather than have the kernel kill
    something, when they want more than a share of what is left.

    `processes`: how many share that. Does nothing where the system does not tell what is left.
    """
    if (left := _left()) is not None:
        used = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[5])
        limit = used + max(LEAST, min(MOST, int(left * SHARE / processes)))
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _left() -> int | None:
    """Return the bytes of memory that are left, None if that is not known."""
    found = []
    with suppress(OSError, ValueError):
        if match := re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text()):
            found.append(int(match[1]) * 1024)
    with suppress(OSError, ValueError):  # cgroup 2 as a container sees its own; "max" is no number
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        found.append(max(0, most - int((group / "memory.current").read_text())))
    return min(found, default=None)

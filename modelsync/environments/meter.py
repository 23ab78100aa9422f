"""Measures what is written while an environment is built, and stops it at a limit."""

from __future__ import annotations

import os
import time
from pathlib import Path

from modelsync.files import listed

INTERVAL = 1.0
"""Seconds between two measurements."""


class TooLarge(Exception):
    """An environment, or what is downloaded for it, is larger than it may be."""


class Meter:
    """Measures an environment, and what uv adds to its cache meanwhile. `limit`: in bytes."""

    def __init__(self, cache: Path, environment: Path, limit: int) -> None:
        self._cache = cache
        self._environment = environment
        self._limit = limit
        self._before = set(self._entries())
        self._next = time.monotonic() + INTERVAL

    def watch(self) -> None:
        """Measure if it is time to. Raises TooLarge."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + INTERVAL
            self.check()

    def check(self) -> None:
        """Measure. Raises TooLarge."""
        new = [entry for entry in self._entries() if entry not in self._before]
        # What is in the environment is linked from the cache, so the larger of the two counts.
        found = max(size_of(self._environment), sum(map(size_of, new)))
        if found > self._limit:
            limit = f"{self._limit / 2**20:.0f} MiB"
            raise TooLarge(f"its environment is larger than the {limit} that it may have")

    def _entries(self) -> list[Path]:
        """Return what lies in the folders of the cache: an entry for each package, or less."""
        folders = [self._cache / name for name in listed(self._cache) if name.endswith("/")]
        return [folder / name for folder in folders for name in listed(folder)]


def size_of(path: Path) -> int:
    """Return the bytes of the files below a folder; 0 of what is gone. Follows no link."""
    try:
        with os.scandir(path) as entries:
            return sum(
                size_of(Path(entry.path))
                if entry.is_dir(follow_symlinks=False)
                else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except NotADirectoryError:
        return path.lstat().st_size if path.exists() else 0
    except OSError:
        return 0

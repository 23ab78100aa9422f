"""The folder of the sockets of runners: short of path, private, and removed though its owner died.

Whoever makes one removes those that killed processes have left: a folder is locked as long as the
process that has made it lives, or one that it has forked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from modelsync import locks

PREFIX = "modelsync-runners-"

LONGEST_PATH = 90
"""Characters of a folder for sockets: the path of a Unix socket may have 107."""


class SocketFolder:
    """A new folder at `path` that only this user can enter. Raises OSError."""

    def __init__(self) -> None:
        parent = tempfile.gettempdir()
        if len(parent) + len(PREFIX) + 9 > LONGEST_PATH:
            parent = "/tmp"  # noqa: S108  the folder in it has a name of its own
        for folder in Path(parent).glob(f"{PREFIX}*"):
            _remove_if_left(folder)
        self._lock: int | None = None
        while self._lock is None:  # another process has taken it for one that was left
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            try:
                self._lock = _locked(self.path)
            except OSError:  # there are no locks there, so nobody removes it either
                break

    def remove(self) -> None:
        """Remove it with its sockets."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):  # another user's
        if (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock a folder; None if another process has it, or has removed it. Raises OSError."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if locks.try_lock(number) and os.fstat(number).st_nlink:
            return number
    except BaseException:
        os.close(number)
        raise
    os.close(number)
    return None

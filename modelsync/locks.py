"""Locks between processes: `flock(2)` on a file or a folder. The only module that calls it.

The callers rely on these guarantees of the kernel:

- The kernel releases a lock when the last descriptor of it is closed, also if the process was
  killed: no crash leaves a lock behind, so none is ever broken by force or by age.
- A lock belongs to the open file description: `fork` and `dup` share it, a second `open` of the
  same path, even by the same process, competes with it.
- Any number of shared locks are held at once; an exclusive one excludes all others.
- The lock is advisory: it delays only processes that ask for it.
- It is a lock of the inode. A file that others lock must never be replaced or removed.

On NFS Linux emulates it with byte-range locks; a volume that supports neither answers with OSError.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Any

from modelsync.deadline import Deadline

POLL = 0.05
"""Seconds between two tries, if there is a deadline: flock itself has none."""

Descriptor = int | IO[Any]


def open_for_lock(path: Path) -> int:
    """Open a folder, or a file that is made if it is missing, for its lock alone.

    Returns a descriptor; closing it releases the lock. Raises OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    return os.open(path, flags | os.O_CLOEXEC, 0o644)


def lock(file: Descriptor, *, shared: bool = False, deadline: Deadline | None = None) -> None:
    """Wait for the lock of an open file; without a deadline for as long as it takes.

    Raises SyncTimeout at the deadline, OSError if the volume supports no locks.
    """
    if deadline is None:
        fcntl.flock(file, _kind(shared))
        return
    while not try_lock(file, shared=shared):
        deadline.check()
        time.sleep(POLL)


def try_lock(file: Descriptor, *, shared: bool = False) -> bool:
    """Take the lock of an open file; False if another lock excludes it. Raises OSError."""
    try:
        fcntl.flock(file, _kind(shared) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(file: Descriptor) -> None:
    """Release the lock of a file that stays open. Raises OSError."""
    fcntl.flock(file, fcntl.LOCK_UN)


def is_locked(path: Path, *, exclusively: bool = False) -> bool:
    """Whether some process holds the lock of an existing file or folder.

    `exclusively`: shared locks do not count. Raises OSError if the path cannot be opened.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not try_lock(number, shared=exclusively)
    finally:
        os.close(number)


def _kind(shared: bool) -> int:
    return fcntl.LOCK_SH if shared else fcntl.LOCK_EX

"""The owners of a state directory: one supervisor, or the processes of another server.

home/run/supervisor.pid     locked by the supervisor alone, or by those processes together
home/run/given/<parent>     the release that the processes forked from one parent serve
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from modelsync import locks
from modelsync.errors import ReleaseUnreadable, SettingsError, StorageFailed
from modelsync.files import storage
from modelsync.releases.store import Release, Releases

log = logging.getLogger(__name__)

_PARENT, _SESSION, _FLAGS, _BEGAN = 1, 3, 6, 19
"""Fields of /proc/<pid>/stat (proc_pid_stat(5)), counted behind the name."""

_FORKED_WITHOUT_EXEC = 0x40
"""The kernel's PF_FORKNOEXEC."""


SYNC_SIGNAL = signal.SIGUSR1
"""Asks a supervisor for a sync. It stands behind the process id: one of an older version, which
would end by it, takes SIGHUP.
"""


@contextmanager
def own(home: Path, source: str) -> Iterator[bool]:
    """Own the directory as its supervisor, whose process id stands in `run/supervisor.pid`, and
    below it the name of the source that it follows.

    Yields whether the supervisor before was killed: its id stands there still. Raises SettingsError
    if another process owns the directory, or if it cannot be written.
    """
    with _locked(home) as file:
        file.seek(0)
        was_killed = bool(file.read().strip())
        file.truncate(0)
        file.write(f"{os.getpid()} {SYNC_SIGNAL.name}\n{source}\n")
        file.flush()
        try:
            yield was_killed
        finally:
            file.truncate(0)


def request_sync(home: Path) -> bool:
    """Signal the supervisor that serves from this state directory; False if none does."""
    try:
        if found := _supervisor(home):
            number, _, name = found[0].partition(" ")
            os.kill(int(number), signal.Signals[name or "SIGHUP"])
            return True
    except (OSError, ValueError, KeyError):
        pass
    return False


def source_of_supervisor(home: Path) -> str:
    """Return the name of the source that the supervisor of this state directory follows; empty if
    none serves from there, or one of an older version.
    """
    try:
        return "".join(_supervisor(home)[1:])
    except OSError:
        return ""


def _supervisor(home: Path) -> list[str]:
    """Return what the supervisor that lives has written, line by line; empty if none does.

    It holds the lock as long as it lives, so the number is that of no other process. Without a lock
    it is one that a crash left behind.
    """
    file = home / "run" / "supervisor.pid"
    found = file.read_text().splitlines()
    return found if found and locks.is_locked(file, exclusively=True) else []


def share(home: Path) -> None:
    """Own the directory together with other processes that have no supervisor.

    For as long as this process, or a fork of it, lives. Raises SettingsError as `own`.
    """
    with _locked(home, shared=True) as file:
        # Never closed: the kernel releases the lock when the last of these processes has ended.
        os.dup(file.fileno())


def _locked(home: Path, *, shared: bool = False) -> IO[str]:
    try:
        (home / "run").mkdir(parents=True, exist_ok=True)
        file = (home / "run" / "supervisor.pid").open("a+")
    except OSError as error:
        raise SettingsError(f"MODELSYNC_HOME {home} cannot be used: {error.strerror}") from None
    if not locks.try_lock(file, shared=shared):
        file.close()
        raise SettingsError(
            f"another modelsync serves from {home}: stop it, or set another MODELSYNC_HOME"
        )
    return file


# --- one release for all processes of one parent --------------------------------------------------


def agree_on_release(home: Path, find: Callable[[], Release | None]) -> Release | None:
    """The one release of all processes that this one's parent forks, now or later.

    The first process calls `find`, the others wait for it. A process that was not forked calls
    `find` for itself. `Releases.sweep` keeps the release while one of them lives.
    """
    releases = Releases(home)
    if not (parent := _parent()):
        return _hold(releases, find())
    try:
        with storage():
            file = _release_of_parent(home / "run" / "given", parent)
    except StorageFailed as error:
        log.error("workers may serve different releases: %s", error)
        return _hold(releases, find())
    with file:
        if name := file.read().strip():
            try:
                return _hold(releases, releases.read(name))
            except (ReleaseUnreadable, StorageFailed) as error:  # so no living process serves it
                log.error("the release of the other workers is gone: %s", error)
        if release := _hold(releases, find()):
            try:
                with storage():
                    file.truncate(0)
                    file.write(f"{release.id}\n")
                    file.flush()
            except StorageFailed as error:
                log.error("workers may serve different releases: %s", error)
        return release


def _hold(releases: Releases, release: Release | None) -> Release | None:
    if release:
        releases.hold(release)
    return release


def _release_of_parent(folder: Path, parent: str) -> IO[str]:
    """The file of one parent, locked until it is closed; files of ended parents are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        if other.name != _name(other.name.split("-")[0]):
            other.unlink(missing_ok=True)
    file = (folder / parent).open("a+")
    locks.lock(file)
    file.seek(0)
    return file


def _parent() -> str:
    """A name for the parent that has forked this process, which no later process has.

    Empty for a program of its own, and for a daemon, which is forked but leads its own session:
    they have no siblings. From /proc, so empty if that is missing.
    """
    try:
        ours = _stat("self")
        theirs = _stat(ours[_PARENT])
    except OSError:  # no Linux, or a parent that has just ended
        return ""
    forked = int(ours[_FLAGS]) & _FORKED_WITHOUT_EXEC and ours[_SESSION] == theirs[_SESSION]
    return _name(ours[_PARENT]) if forked else ""


def _name(pid: str) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().partition("-")[0]
        return f"{pid}-{_stat(pid)[_BEGAN]}-{boot}"
    except OSError:
        return ""


def _stat(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

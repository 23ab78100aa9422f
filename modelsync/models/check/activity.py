"""Watches what a model's code does to processes: forks, child processes, signals, limits."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from modelsync.models.isolation import fork_guard

FORKS = {
    "os.fork": "forks (os.fork, multiprocessing)",
    "os.forkpty": "forks (os.forkpty)",
}
STARTS = {
    "subprocess.Popen": "starts processes (subprocess)",
    "os.posix_spawn": "starts processes (os.posix_spawn)",
    "os.system": "starts processes (os.system)",
    "os.exec": "replaces its process (os.exec)",
    "pty.spawn": "starts processes (pty.spawn)",
}
CHANGES = {
    "os.kill": "sends signals (os.kill)",
    "os.killpg": "sends signals (os.killpg)",
    "signal.pthread_kill": "sends signals (pthread_kill)",
    "resource.setrlimit": "sets limits of its process (setrlimit)",
    "resource.prlimit": "sets limits of its process (prlimit)",
}
WATCHED = FORKS | STARTS | CHANGES

_seen: dict[str, None] = {}
_written: dict[str, int] = {}
_pid = 0


def install() -> None:
    """Add the hooks to this process and its forks; they record nothing before `watch`."""
    sys.addaudithook(_record)
    _watch_fork_exec()


def watch() -> None:
    """Record from now on what the code of this process does; forks of it are not watched."""
    global _pid
    _pid = os.getpid()


def take() -> list[str]:
    """Return what has been done since the last time, in words."""
    found = list(_seen)
    _seen.clear()
    _written.clear()
    return found


def rewritten() -> list[str]:
    """Return the names of the files that were opened for writing more than once since `take`."""
    # `tempfile` names the folder in which it makes a file.
    found = [path for path, times in _written.items() if times > 1 and not Path(path).is_dir()]
    return [path.rpartition("/")[2] for path in found]


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        _note_opened(*arguments)
    elif event in WATCHED and not fork_guard.spares() and os.getpid() == _pid:
        _seen[WATCHED[event]] = None


def _note_opened(path: Any, mode: Any, flags: Any) -> None:
    """Note a file that is opened to write it anew: a log, which grows, is no matter."""
    if os.getpid() == _pid and isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR):
        is_ours = flags & (os.O_APPEND | os.O_EXCL) or path.startswith("/dev/")
        if not is_ours and (flags & os.O_TRUNC or str(mode or "").startswith(("w", "r+"))):
            _written[path] = _written.get(path, 0) + 1


def _watch_fork_exec() -> None:
    """`multiprocessing` and loky call this one, which no audit hook is told of."""
    import _posixsubprocess

    original = _posixsubprocess.fork_exec

    def fork_exec(*args: Any) -> Any:
        if os.getpid() == _pid:
            _seen["starts processes (multiprocessing)"] = None
        return original(*args)

    vars(_posixsubprocess)["fork_exec"] = fork_exec

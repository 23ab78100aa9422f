"""A process that outlives the command that started it, found again by its pid file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


class Daemon:
    """A program with its log in `logs`. The pid file holds the start time too, so that a reused pid
    is not taken for it.
    """

    def __init__(self, name: str, command: list[str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._command = command
        self._pidfile = logs / f"{name}.pid"

    @property
    def pid(self) -> int | None:
        """Its process, or None if it does not run."""
        with suppress(OSError, ValueError):
            pid, started = map(int, self._pidfile.read_text().split())
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # ours to reap if this very process started it
            if started_at(pid) == started:
                return pid
        return None

    def start(self, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes] | None:
        """Start it, unless it runs."""
        if self.pid:
            return None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command, stdin=stdin, stdout=log, stderr=log, start_new_session=True
            )
        self._pidfile.write_text(f"{process.pid} {started_at(process.pid)}")
        process.returncode = 0  # it outlives us on purpose: no ResourceWarning for that
        return process

    def stop(self, how: int = signal.SIGTERM, within: float = 15.0) -> None:
        """End it, with SIGKILL after `within` seconds, and return when it is gone."""
        deadline = time.monotonic() + within
        while pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, how if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.05)


def started_at(pid: int) -> int:
    """Return when the process started, in clock ticks since boot; 0 for one that is gone or waits
    to be reaped.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])

"""A command with a deadline: of it and of what it starts nothing runs on afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.leash import leash

POLL = 0.25
"""Seconds between two looks at what it has written."""


class CommandFailed(Exception):
    """A command has ended with an error. `words`: what it wrote to standard error."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    deadline: Deadline,
    watch: Callable[[], None] = lambda: None,
) -> str:
    """Run a command in a folder and return what it printed. `watch` is called while it runs.

    Raises CommandFailed, SyncTimeout at the deadline, and what `watch` raises.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaint:
        child = subprocess.Popen(
            [*leash(), *command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaint,
            start_new_session=True,
        )
        try:
            while (code := _wait(child)) is None:
                deadline.check()
                watch()
        finally:
            _kill(child)
        output.seek(0)
        complaint.seek(0)
        if code:
            raise CommandFailed(complaint.read().decode("utf-8", "replace"))
        return output.read().decode("utf-8", "replace")


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return child.wait(POLL)
    return None


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the command and all that it has started, also after its own end."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()

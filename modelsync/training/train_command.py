"""`modelsync train` as a child: it trains models, so that this process need not know how."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Protocol

from modelsync.orphans import Children
from modelsync.resources import starting

BUSY = 75
"""Exit code if another process works on a run of a model, or this one was told to end."""

FINAL = frozenset({0, 1, 2, 65})
"""Exit codes after which nothing is to be tried again: done, failed, refused, data refused."""


class TrainCommand(Protocol):
    """A process that trains."""

    def code(self) -> int | None:
        """Return its exit code, or minus the signal; None while it runs."""

    def end(self, grace: float) -> None:
        """End it; within `grace` seconds it can leave its run to others."""


class TrainCommands(Protocol):
    """What starts such processes."""

    def start(self, *arguments: str) -> TrainCommand:
        """Start `modelsync train` with these arguments. Raises ResourcesExhausted."""


class TrainChildren:
    """Starts them as children of this process, with which they end."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def start(self, *arguments: str) -> TrainCommand:
        """Start `modelsync train`. Raises ResourcesExhausted."""
        command = [sys.executable, "-m", "modelsync", "train", *arguments]
        with starting("modelsync train"), self._children.starting():
            process = subprocess.Popen(
                [*command, f"--parent={os.getpid()}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what it says there stands in the row of its run
                start_new_session=True,
            )
            self._children.add(process.pid)
        return _TrainChild(process, self._children)


class _TrainChild:
    def __init__(self, process: subprocess.Popen[bytes], children: Children) -> None:
        self._process = process
        self._children = children

    def code(self) -> int | None:
        if self._process.poll() is not None:
            self._children.forget(self._process.pid)
        return self._process.returncode

    def end(self, grace: float) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.code() is not None:
                return
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.code()


def said(code: int) -> str:
    """How a process has ended, in words."""
    if code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"

"""One compile process, seen from its parent: started, listened to, and ended with all it forked."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelsync import bootstrap
from modelsync.models.compilation import Compilation
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelSpec

START_TIMEOUT = 60.0
"""Seconds that a compile process may take to start, and to import libraries between two models."""

TICK = 0.1
"""Seconds between two looks whether the process has ended or is to be stopped."""


@dataclass(frozen=True, slots=True)
class CompileTask:
    """A model to compile, and the folder for its forms, which does not exist yet."""

    spec: ModelSpec
    folder: Path


Progress = Callable[[CompileTask, Compilation], None]


@dataclass(slots=True)
class CompileProcess:
    """One compile process, and how far it is.

    `timeout`: seconds for one model. `python`: that of the models' environment; None for the
    service's own. `processes`: how many run side by side. `stopped`: another thread sets it to have
    the process killed. `group`: the process group of the model that is being compiled.
    """

    tasks: Sequence[CompileTask]
    timeout: float
    tolerance: float
    python: Path | None = None
    processes: int = 1
    finished: int = 0
    stopped: bool = False
    group: int = 0
    started: bool = False
    _lines: bytearray = field(default_factory=bytearray)
    _deadline: float = 0.0

    def run(self, environ: Mapping[str, str], end: float, record: Progress) -> None:
        """Run until all models are compiled, the process has died, or the time is `end`, of
        `time.monotonic`. Passes what comes of each model to `record`. Raises OSError.
        """
        with tempfile.TemporaryDirectory(
            prefix="modelsync-compile-", ignore_cleanup_errors=True
        ) as name:
            reader, writer = os.pipe()
            with os.fdopen(reader, "rb", buffering=0) as events:
                try:
                    process = self._start(Path(name), writer, environ)
                finally:
                    os.close(writer)
                try:
                    self._listen(process, events.fileno(), end, record)
                finally:
                    self._kill(process)

    @property
    def unfinished(self) -> Sequence[CompileTask]:
        """The tasks of which nothing has come."""
        return self.tasks[self.finished :]

    def _start(
        self, scratch: Path, events: int, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the process, in a session and an empty working directory of its own."""
        job = scratch / "job.json"
        job.write_bytes(json.dumps(self._job()).encode())
        work = scratch / "work"
        work.mkdir()
        command = bootstrap.command(self.python, "modelsync.models.compiling.child")
        return subprocess.Popen(
            [*command, str(job), str(events)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(events,),
            env=bootstrap.ONE_THREAD | bootstrap.environment(self.python, environ),
            cwd=work,
            start_new_session=True,
        )

    def _job(self) -> dict[str, Any]:
        tasks = [
            {"spec": to_json(task.spec.below(Path())), "folder": str(task.folder.absolute())}
            for task in self.tasks
        ]
        return {
            "parent": os.getpid(),
            "timeout": self.timeout,
            "tolerance": self.tolerance,
            "processes": self.processes,
            "tasks": tasks,
        }

    def _listen(
        self, process: subprocess.Popen[bytes], events: int, end: float, record: Progress
    ) -> None:
        """Read what the process reports, until it is done, dead or out of time."""
        self._deadline = time.monotonic() + START_TIMEOUT
        with selectors.DefaultSelector() as selector:
            os.set_blocking(events, False)
            selector.register(events, selectors.EVENT_READ)
            while self.unfinished and not self.stopped:
                ended = process.poll() is not None
                left = min(self._deadline, end) - time.monotonic()
                if left <= 0:
                    return
                if selector.select(0 if ended else min(TICK, left)):
                    if not self._read(events, record):
                        return
                elif ended:
                    return

    def _read(self, events: int, record: Progress) -> bool:
        """Take the steps that the process has reported; False if it has closed the pipe."""
        chunk = os.read(events, 1 << 16)
        *lines, rest = (self._lines + chunk).split(b"\n")
        self._lines = bytearray(rest)
        for line in lines:
            step = json.loads(line)
            if "started" in step:
                self.started, self.group = True, step["group"]
                self._deadline = time.monotonic() + self.timeout + START_TIMEOUT
                continue
            task = self.tasks[self.finished]
            self.finished, self.started, self.group = self.finished + 1, False, 0
            self._deadline = time.monotonic() + START_TIMEOUT
            record(task, from_json(Compilation, step["finished"]))
        return bool(chunk)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process and the group of the model that it compiles, if they still run."""
        for group in (self.group, process.pid):
            if group:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        process.wait()

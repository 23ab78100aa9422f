"""The process that fits a model, `python -m modelsync.fitting`, as its job sees it: started with
the Python of the model's environment and none of our secrets, read, ended with all it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import IO

from modelsync import bootstrap, settings
from modelsync.fitting import outcome
from modelsync.fitting.messages import RESULT, FitError, FitJob, FitResult, Progress
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.serialization import from_json
from modelsync.oom import JOB_OOM_SCORE, OomKills, find_counter, prefer_as_oom_victim
from modelsync.orphans import Children
from modelsync.resources import starting

TICK = 0.25
"""Seconds between two looks at what should end the process."""

GRACE = 2.5
"""Seconds between SIGTERM and SIGKILL: a model may put its own work in order."""

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
"""What numerical libraries and joblib read. Predictions keep a core; the user's values win."""

KILLED = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
"""Signals that come from outside of a process; others are its own fault."""


class ProcessKilled(Exception):
    """Somebody has killed the process that fits; the text names the signal."""


class FitProcess:
    """One run of `modelsync.fitting`.

    `folder`: where its job is written and its working directory made. `python`: that of the
    environment of the model, None for the service's. `timeout` in seconds, None without.
    `on_output` gets what it prints, `on_progress` what it tells; both are called by the thread that
    calls `run`.
    """

    def __init__(
        self,
        task: FitJob,
        folder: Path,
        *,
        python: Path | None,
        timeout: float | None,
        on_output: Callable[[bytes], None],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._task = task
        self._folder = folder
        self._python = python
        self._timeout = timeout
        self._on_output = on_output
        self._on_progress = on_progress
        self._children = Children()
        self._oom_kills = OomKills(find_counter())
        self._line = b""
        self._late = False
        self._born = monotonic()
        self._kill_at: float | None = None

    def run(self, stopped: Callable[[], bool], batches: int = -1) -> FitResult | None:
        """Fit, and return what was made, or why not; None if `stopped` has said so before.

        `batches`: the reading end of a pipe with training data, which is closed here. Raises
        ProcessKilled, ResourcesExhausted, OSError. No process is left.
        """
        crash = CrashReport()
        reading, writing = os.pipe()
        with contextlib.closing(crash), os.fdopen(reading, "rb", buffering=0) as progress:
            try:
                task = replace(
                    self._task,
                    parent=os.getpid(),
                    progress=writing,
                    crash=crash.fileno(),
                    batches=batches,
                )
                process = self._start(task)
            finally:
                for number in (writing, batches):
                    if number >= 0:
                        os.close(number)
            try:
                ended_by_us = self._listen(process, progress, stopped)
            finally:
                self._end(process)
            if ended_by_us and not self._late:
                return None
            return self._result(task, process.returncode, crash.read())

    def _start(self, task: FitJob) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own, with the descriptors that the task names."""
        work = self._folder / "work"
        work.mkdir(exist_ok=True)
        job = self._folder / "job.json"
        job.write_text(json.dumps(task.to_json()))
        inherited = tuple(fd for fd in (task.progress, task.crash, task.batches) if fd >= 0)
        with starting("the process that fits"), self._children.starting():
            process = subprocess.Popen(
                [*bootstrap.command(self._python, "modelsync.fitting"), str(job)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(self._python),
                cwd=work,
                pass_fds=inherited,
                start_new_session=True,
            )
            self._children.add(process.pid)
        prefer_as_oom_victim(Path(f"/proc/{process.pid}"), JOB_OOM_SCORE)
        return process

    # --- listening --------------------------------------------------------------------------------

    def _listen(
        self, process: subprocess.Popen[bytes], progress: IO[bytes], stopped: Callable[[], bool]
    ) -> bool:
        """Read what the process prints and tells until it ends; true if it was ended from here."""
        assert process.stdout is not None
        files = (process.stdout, progress)
        with selectors.DefaultSelector() as selector, process.stdout, _ended(process.pid) as ended:
            for file in files:
                os.set_blocking(file.fileno(), False)
                selector.register(file, selectors.EVENT_READ)
            if ended is not None:
                selector.register(ended, selectors.EVENT_READ)
            while process.poll() is None:
                for key, _ in selector.select(TICK):
                    if key.fd != ended and self._read(key.fd, progress.fileno()) == b"":
                        selector.unregister(key.fd)
                self._end_in_time(process, stopped)
            self._drain([file.fileno() for file in files], progress.fileno())
        return self._kill_at is not None

    def _end_in_time(self, process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> None:
        """Send SIGTERM when the time is over or the job is to end, and SIGKILL some time after."""
        now = monotonic()
        if self._kill_at is not None:
            if now > self._kill_at:
                self._signal(process, signal.SIGKILL)
            return
        self._late = self._timeout is not None and now > self._born + self._timeout
        if self._late or stopped():
            self._signal(process, signal.SIGTERM)
            self._kill_at = now + GRACE

    def _drain(self, numbers: Sequence[int], progress: int) -> None:
        """Read what is in the pipes: all that the process wrote before its end.

        Not to the end, because what it has started may write for ever.
        """
        for number in numbers:
            for _ in range(64):
                if not self._read(number, progress):
                    break

    def _read(self, number: int, progress: int) -> bytes | None:
        """Pass on what a pipe holds; empty at its end, None if it holds nothing."""
        try:
            chunk = os.read(number, 1 << 16)
        except BlockingIOError:
            return None
        if number == progress:
            self._take(chunk)
        elif chunk:
            self._on_output(chunk)
        return chunk

    def _take(self, chunk: bytes) -> None:
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, AttributeError):  # not ours
                self._on_progress(from_json(Progress, json.loads(line)))

    # --- the end ----------------------------------------------------------------------------------

    def _result(self, task: FitJob, code: int, crash: str) -> FitResult:
        if self._late:
            limit = f"it did not end within {self._timeout:g} s (MODELSYNC_JOB_TIMEOUT)"
            return FitResult(error=FitError("timeout", "", limit))
        done = (task.output / RESULT).exists()  # then nothing was left to do
        number = signal.Signals(-code) if -code in signal.valid_signals() and not done else None
        if number == signal.SIGKILL and self._oom_kills.claim(monotonic()):
            ended = "the kernel ended its process because the machine's memory ran out"
            return FitResult(error=FitError("memory", "", ended))
        if number in KILLED:
            raise ProcessKilled(number.name)
        return outcome.of(task, code, crash)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process, if it still runs, and everything that it has left."""
        self._signal(process, signal.SIGKILL)
        process.wait()
        self._children.forget(process.pid)
        self._children.end_all()

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


def environment(python: Path | None) -> dict[str, str]:
    """Return the variables for the process: no secret of ours, and a core less for its threads."""
    spare = str(max(1, (os.cpu_count() or 1) - 1))
    given = bootstrap.environment(python, settings.child_environment())
    return dict.fromkeys(THREADS, spare) | given


@contextlib.contextmanager
def _ended(pid: int) -> Iterator[int | None]:
    """A descriptor that can be read once the process has ended; None where there is no such."""
    try:
        number = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield number
    finally:
        os.close(number)

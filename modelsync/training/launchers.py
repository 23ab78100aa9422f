"""How the trainer starts the processes of jobs: as its children, or elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from modelsync.oom import OomKills, find_counter
from modelsync.orphans import Children
from modelsync.resources import starting
from modelsync.store.records import Job
from modelsync.training import workspace
from modelsync.training.job import host_of

NOT_RUN = 75
"""Exit code of a job's process that could not claim its row, or is to run again; see `cli.job`."""

ENDING = 5.0
"""Seconds that jobs have to queue themselves again when the service ends."""

_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """A job's process has ended. `code`: its exit code, or minus the signal; None if unknown.

    `starved`: the kernel killed it because memory ran out.
    """

    job: str
    code: int | None = None
    starved: bool = False


class JobLauncher(Protocol):
    """Starts `modelsync job run ID` for queued jobs. Each claims its own row.

    All methods raise StoreUnavailable if what they need does not answer.
    """

    def start(self, job: Job) -> None:
        """Start the process of a job; does nothing if it runs. Raises ResourcesExhausted."""

    def running(self) -> set[str]:
        """Return the ids of the jobs whose processes have not ended."""

    def ended(self) -> list[Ended]:
        """Return those that have ended since this was called last."""

    def owns(self, job: Job) -> bool:
        """Whether a running job is one of ours, so that it is lost if its process has ended."""

    def kill(self, job: str) -> None:
        """End the process of a job at once."""

    def stop(self, grace: float) -> None:
        """The service ends: end what must not outlive it, after `grace` seconds."""


class JobProcesses:
    """Jobs as children of this process, each with a session of its own; they end with it."""

    def __init__(self, home: Path, children: Children) -> None:
        self._home = home
        self._children = children
        self._host = host_of(home)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._oom_kills = OomKills(find_counter())

    def start(self, job: Job) -> None:
        """Start `modelsync job run`. Raises ResourcesExhausted."""
        if job.id in self._running:
            return
        with starting("the process of a job"), self._children.starting():
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "modelsync",
                    "job",
                    "run",
                    job.id,
                    f"--parent={os.getpid()}",
                ],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._children.add(process.pid)
        self._running[job.id] = process

    def running(self) -> set[str]:
        """Return our children, and the jobs that somebody runs by hand in this state directory."""
        return self._running.keys() | workspace.held(self._home)

    def ended(self) -> list[Ended]:
        """Return the children that have ended."""
        self._oom_kills.refresh(monotonic())
        return [
            self._reaped(job) for job, one in [*self._running.items()] if one.poll() is not None
        ]

    def _reaped(self, job: str) -> Ended:
        process = self._running.pop(job)
        self._children.forget(process.pid)
        killed = process.returncode == -signal.SIGKILL
        return Ended(job, process.returncode, killed and self._oom_kills.claim(monotonic()))

    def owns(self, job: Job) -> bool:
        """Whether a job runs, or ran, from this state directory."""
        return job.owner.startswith(self._host)

    def kill(self, job: str) -> None:
        """Kill the process of a job; the one that fits ends with it."""
        if process := self._running.get(job):
            self._signal(process, signal.SIGKILL)

    def stop(self, grace: float) -> None:
        """Let jobs finish for `grace` seconds; then have them queued again."""
        self._wait(grace)
        for process in self._running.values():
            self._signal(process, signal.SIGTERM)
        self._wait(ENDING)
        for process in self._running.values():
            self._signal(process, signal.SIGKILL)
        self._wait(1.0)

    def _wait(self, seconds: float) -> None:
        end = monotonic() + seconds
        while any(one.poll() is None for one in self._running.values()) and monotonic() < end:
            sleep(_POLL)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

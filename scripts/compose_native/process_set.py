"""Starts the processes in the order of their dependencies, and ends them in the other one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from modelsync.leash import leash
from scripts.compose_native.definition import ComposeService
from scripts.compose_native.places import Places
from scripts.compose_native.programs import NativeProgram, program

_PAUSE = 0.1
_GRACE = 60.0
"""Seconds that a process has to end by itself."""

_MARK = "COMPOSE_NATIVE_FOLDER"
"""A variable of all processes, by which those of a run that was killed are found."""

_MET = {
    "service_started": {"running", "healthy", "completed"},
    "service_healthy": {"healthy"},
    "service_completed_successfully": {"completed"},
}
"""The states in which a condition of the Compose specification is met."""


class StartFailed(Exception):
    """A process ended, or did not become healthy in time."""


class _Process:
    """One process, with its log."""

    def __init__(self, service: ComposeService, made: NativeProgram, log: Path) -> None:
        self.service, self.made, self.log = service, made, log
        self.started, self.state = time.monotonic(), "running"
        ours = ("MODELSYNC_", "AIRFLOW", "POSTGRES", "PG")
        inherited = {name: v for name, v in os.environ.items() if not name.startswith(ours)}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*leash(), *made.command],
                cwd=log.parent,
                env={**inherited, **made.environment, _MARK: str(log.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches us alone, who end them in order
                **made.user,
            )

    def watch(self) -> None:
        """Look what has become of it. Raises StartFailed."""
        code = self.process.poll()
        if self.service.is_task and code == 0:
            self.state = "completed"
        elif code is not None:
            raise StartFailed(f"{self._name} ended with {code}:\n{self._last_lines()}")
        elif self.made.health and self.state == "running" and self._answers():
            if self.made.once_healthy:
                self.made.once_healthy()
            self.state = "healthy"
        elif self.state == "running" and time.monotonic() - self.started > self.service.patience:
            patience = f"within {self.service.patience:g} s"
            raise StartFailed(f"{self._name} is not healthy {patience}:\n{self._last_lines()}")

    def stop(self) -> None:
        """End it and all its children."""
        try:
            tree = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            tree = []
        self.process.send_signal(self.service.stop)
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in tree:
            if child.is_running():
                child.send_signal(signal.SIGKILL)

    @property
    def _name(self) -> str:
        return self.service.name

    def _answers(self) -> bool:
        first = self.made.health[0]
        if first.startswith("http://"):
            try:
                with urllib.request.urlopen(first, timeout=5):
                    return True
            except OSError:
                return False
        environment = {**os.environ, **self.made.environment}
        done = subprocess.run(self.made.health, env=environment, capture_output=True, check=False)
        return done.returncode == 0

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-20:])


class ProcessSet:
    """The processes of some services. `tell` is called with the name and state of each."""

    def __init__(
        self,
        services: Mapping[str, ComposeService],
        places: Places,
        tell: Callable[[str, str], None],
    ) -> None:
        self._services, self._places, self._tell = services, places, tell
        self._processes: dict[str, _Process] = {}

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run on, tasks apart."""
        return {
            name: one.process.pid
            for name, one in self._processes.items()
            if not one.service.is_task
        }

    def start(self) -> None:
        """Start all, each once its dependencies are as it wants them, and wait until they are
        healthy.

        Raises StartFailed, CannotRun, CalledProcessError; `stop` ends those that had started.
        """
        _end_leftovers(self._places.folder / "logs")
        while not self._settled():
            for name, service in self._services.items():
                if name not in self._processes and self._may_start(service):
                    self._start(service)
            for name, one in self._processes.items():
                before = one.state
                if before == "running":
                    one.watch()
                if one.state != before:
                    self._tell(name, one.state)
            time.sleep(_PAUSE)

    def ended(self) -> list[tuple[str, int]]:
        """Those that have ended since the last call, with their exit codes."""
        found = [
            (name, code)
            for name, one in self._processes.items()
            if one.state == "healthy" and (code := one.process.poll()) is not None
        ]
        for name, _ in found:
            self._processes[name].state = "ended"
        return found

    def stop(self) -> None:
        """End all, the last one first."""
        for one in reversed(self._processes.values()):
            one.stop()
        self._processes.clear()

    def _start(self, service: ComposeService) -> None:
        logs = self._places.folder / "logs"
        logs.mkdir(exist_ok=True)
        for source in service.volumes.values():
            if not isinstance(source, Path):
                self._places.volume(source).mkdir(parents=True, exist_ok=True)
        made = program(service, self._places)
        self._processes[service.name] = _Process(service, made, logs / f"{service.name}.log")

    def _may_start(self, service: ComposeService) -> bool:
        return all(
            other in self._processes and self._processes[other].state in _MET[condition]
            for other, condition in service.depends_on.items()
        )

    def _settled(self) -> bool:
        done = {"healthy", "completed"}
        return len(self._processes) == len(self._services) and all(
            one.state in done for one in self._processes.values()
        )


def _end_leftovers(logs: Path) -> None:
    """End what a run that was killed has left: on Linux its processes ended with it, but not the
    children of Airflow and of nginx, which write their title over their environment.
    """
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            of_nginx = one.name() == "nginx" and one.cwd() == str(logs)
            if of_nginx or one.environ().get(_MARK) == str(logs):
                one.kill()

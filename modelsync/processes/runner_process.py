"""One runner process, as its master sees it: started, asked what it has loaded, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

from modelsync import bootstrap, json_text, settings
from modelsync.environments.store import python_of
from modelsync.inference.candidates import attempts_folder, group_with_versions
from modelsync.inference.channel import RunnerChannel
from modelsync.inference.process_runner import Hosted, RunnerGroup
from modelsync.inference.pulse import Pulse
from modelsync.inference.version_loading import RefusedVersion, log_refused
from modelsync.models.isolation import fork_guard
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.oom import prefer_as_oom_victim
from modelsync.orphans import Children
from modelsync.processes import worker_death
from modelsync.processes.runner_reports import LOOK, ReportReader
from modelsync.processes.worker_death import WorkerDeath
from modelsync.runner.job import Model, RunnerJob
from modelsync.settings import Settings

BACKLOG = 128


class RunnerProcess:
    """The process of one group, started again and again on the same socket.

    `deaf`: for how many seconds it had run no Python code when the watch ended it, else 0.
    """

    def __init__(
        self,
        group: RunnerGroup,
        number: int,
        address: str,
        config: Settings,
        folder: Path,
        children: Children | None,
    ) -> None:
        self.group = group
        self.worker_index = number
        self.deaf = 0.0
        self._children = children
        self.pulse = Pulse.create()
        self.pid = 0
        self.born = 0.0
        self._address = address
        self._config = config
        self._folder = folder
        self._skipped: dict[str, str] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(BACKLOG)
        fork_guard.withhold(listeners=[self._listener])  # and the workers' connections to it
        self._crash_report = CrashReport()
        self._report = -1

    @property
    def names(self) -> list[str]:
        """The names of its models, in the order of their numbers."""
        return [str(model.spec.name) for model in self.group.models]

    def start(self, *, again: bool = False) -> None:
        """Start the process; does not wait. Its reports are not read if it is started `again`.

        Raises OSError, above all if its Python is missing.
        """
        self.pulse.start()
        if again:
            self.group = group_with_versions(self.group, self._config.state.home)
        self._close_report()
        reading, writing = os.pipe()
        crash = self._crash_report.fileno()
        python = self._python()
        job = self._job(writing, again=again)
        fd = os.memfd_create("modelsync-job")
        process = None
        try:
            os.write(fd, json_text.dumps(job.to_json()))
            inherited = (fd, job.listen, job.report, job.pulse, crash)
            process = subprocess.Popen(
                [*bootstrap.command(python, "modelsync.runner"), str(fd)],
                stdin=subprocess.DEVNULL,
                env=bootstrap.ONE_THREAD
                | bootstrap.environment(python, settings.child_environment()),
                pass_fds=inherited,
                start_new_session=True,
            )
        finally:
            os.close(fd)
            os.close(writing)
            if not process:
                os.close(reading)
        process.returncode = 0  # it is reaped by its pid
        self._report = reading
        self.pid, self.born = process.pid, monotonic()
        if self._children:
            self._children.add(self.pid)
        prefer_as_oom_victim(Path(f"/proc/{self.pid}"))
        if again:
            self._close_report()

    def _python(self) -> Path | None:
        """Return the Python of the environment, None for the service's own."""
        environment = self.group.environment
        return python_of(self._config.state.home, environment) if environment else None

    def _job(self, report: int, *, again: bool) -> RunnerJob:
        """Return what the process is told at its start; it reports to the pipe `report`."""
        server = self._config.server
        models = tuple(
            Model(
                one.spec,
                one.placement,
                one.call_seconds,
                self._skipped.get(str(one.spec.name), ""),
                one.versions,
            )
            for one in self.group.models
        )
        return RunnerJob(
            parent=os.getpid(),
            listen=self._listener.fileno(),
            report=report,
            pulse=self.pulse.fd,
            crash=self._crash_report.fileno(),
            models=models,
            folder=str(self._folder),
            threads=server.threads,
            max_queue=server.max_queue,
            timeout=server.predict_timeout,
            memory=server.runner_memory,
            log_format=self._config.logs.format,
            log_level=self._config.logs.level,
            again=again,
            attempts=str(attempts_folder(self._config.state.home)),
            mismatch=self._config.training.mismatch,
        )

    # --- what it has loaded -----------------------------------------------------------------------

    def hosted(self, timeout: float, on_step: Callable[[], None]) -> Hosted:
        """Wait until all models are loaded; each step of one may take `timeout` seconds.

        A model that ends the process while it loads, or takes too long, is left out: the others
        are loaded by another process. `on_step` is called after each step.
        """
        reader = ReportReader(self.group, on_step)
        if not self.pid:
            reader.faults = dict.fromkeys(self.names, "the Python of its environment is missing")
        while self.pid and not reader.read(self._report, self._has_ended, self.born, timeout):
            on_step()
            problem = reader.problem or self._how_it_ended()
            self.kill()
            if self._drop_version(reader, problem):
                pass
            elif reader.loading in self._skipped:  # it ends although it runs no code of that model
                reader.models, reader.faults = {}, dict.fromkeys(self.names, problem)
                break
            else:
                self._skipped[reader.loading] = problem
            with contextlib.suppress(OSError):
                self.start()
        self._close_report()
        numbers = {name: number for number, name in enumerate(self.names)}
        channel = RunnerChannel(self.group.name, self._address, self.pulse, timeout)
        return Hosted(channel, numbers, reader.models, reader.faults, reader.refused)

    def _drop_version(self, reader: ReportReader, problem: str) -> bool:
        """Have the next process load an earlier version of the model that has ended this one.

        Returns false if it has none, so that its code is to blame.
        """
        dropped = next(
            (one for one in self.group.models if one.spec.name == reader.loading and one.versions),
            None,
        )
        if dropped is None:
            return False
        refused = RefusedVersion(dropped.versions[0], problem)
        log_refused(reader.loading, refused)
        reader.refused.setdefault(reader.loading, refused)
        without = replace(dropped, versions=dropped.versions[1:])
        models = [without if one is dropped else one for one in self.group.models]
        self.group = reader.group = replace(self.group, models=models)
        return True

    def _has_ended(self) -> bool:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            return "\nState:\tZ" in Path(f"/proc/{self.pid}/status").read_text()
        return True

    def _how_it_ended(self) -> str:
        """Reap the process, which has ended its reports, and tell how it ended."""
        deadline = monotonic() + LOOK * 20
        while not self._has_ended() and monotonic() < deadline:
            sleep(LOOK / 10)
        self.signal(signal.SIGKILL)  # it lives: a model has closed its pipe
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return "its process ended while it loaded"
        return f"its process ended while it loaded: {worker_death.how_it_ended(status)}"

    def _close_report(self) -> None:
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

    # --- its end ----------------------------------------------------------------------------------

    def reaped(self, status: int, *, starved: bool) -> WorkerDeath:
        """The process has ended and was reaped: say how, and end what it has left behind."""
        death = worker_death.explain(
            self.pid,
            status,
            self._crash_report.read(),
            self._folder,
            self._calling,
            starved=starved and not self.deaf,
            deaf=self.deaf,
            runner=self.group.name,
        )
        self._forget()
        return death

    def _calling(self) -> list[str]:
        """Return the models that it is calling."""
        names = self.names
        return [names[number] for number in self.pulse.calling() if number < len(names)]

    def _forget(self) -> None:
        """The process has ended: be ready to start the next one."""
        self.pulse.end()
        if self._children:
            self._children.forget(self.pid)  # which ends what it has left
        else:
            end_session(self.pid)
        self.pid, self.deaf = 0, 0.0
        self._crash_report.clear()

    def is_late(self, now: float, timeout: float) -> bool:
        """Whether it has been starting for longer than `timeout` seconds for each model."""
        limit = timeout * len(self.group.models)
        return bool(self.pid) and not self.pulse.up and now - self.born > limit

    def signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with all of its session, and reap it."""
        if self.pid:
            self.signal(signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._forget()

    def close(self) -> None:
        """Free its socket and descriptors."""
        self._close_report()
        self._listener.close()
        self._crash_report.close()


def end_session(session: int) -> None:
    """Kill what a runner, which had a session of its own, has left behind."""
    for pid in session_members(session):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def session_members(session: int, proc: Path = Path("/proc")) -> list[int]:
    """Return the processes of a session; none where there is no /proc."""
    found = []
    for entry in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of the program, in parentheses, may hold anything.
            rest = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(rest[3]) == session:
                found.append(int(entry.name))
    return found

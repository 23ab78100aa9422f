"""One runner process, as its master sees it: started, asked what it has loaded, ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from modelsync import json_text, settings
from modelsync.inference.channel import RunnerChannel
from modelsync.inference.process_runner import Hosted, RunnerGroup, described
from modelsync.inference.pulse import Pulse
from modelsync.models import examples
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.serialization import from_json
from modelsync.models.types import Fault, LoadedModel
from modelsync.orphans import Children
from modelsync.processes import worker_death
from modelsync.processes.oom import prefer_as_oom_victim
from modelsync.processes.worker_death import WorkerDeath
from modelsync.runner import bootstrap
from modelsync.runner.job import Model, RunnerJob
from modelsync.settings import Settings

BACKLOG = 128

LOOK = 0.05
"""Seconds between two looks whether a runner that loads its models has ended."""

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Each core has a worker; numerical libraries must not start threads on top. The user's wins."""


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
        self._models: dict[str, LoadedModel] = {}
        self._faults: dict[str, str] = {}
        self._skipped: dict[str, str] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(BACKLOG)
        self._crash_report = CrashReport()
        self._report = -1

    @property
    def names(self) -> list[str]:
        """The names of its models, in the order of their numbers."""
        return [str(model.spec.name) for model in self.group.models]

    def start(self) -> None:
        """Start the process; does not wait."""
        self.pulse.start()
        reading, writing = os.pipe()
        crash = self._crash_report.fileno()
        job = self._job(writing)
        fd = os.memfd_create("modelsync-job")
        try:
            os.write(fd, json_text.dumps(job.to_json()))
            inherited = (fd, job.listen, job.report, job.pulse, crash)
            for each in inherited:
                os.set_inheritable(each, True)
            process = subprocess.Popen(
                [sys.executable, bootstrap.__file__, str(fd)],
                stdin=subprocess.DEVNULL,
                env=ONE_THREAD | settings.child_environment(),
                pass_fds=inherited,
                start_new_session=True,
            )
        finally:
            os.close(fd)
            os.close(writing)
        process.returncode = 0  # it is reaped by its pid
        self._close_report()
        self._report = reading
        self.pid, self.born = process.pid, monotonic()
        if self._children:
            self._children.add(self.pid)
        prefer_as_oom_victim(Path(f"/proc/{self.pid}"))

    def _job(self, report: int) -> RunnerJob:
        server = self._config.server
        models = tuple(
            Model(
                one.spec, one.placement, one.call_seconds, self._skipped.get(str(one.spec.name), "")
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
        )

    # --- what it has loaded -----------------------------------------------------------------------

    def hosted(self, timeout: float) -> Hosted:
        """Wait for the reports of all models, each of which may take `timeout` seconds.

        A model that ends the process while it loads, or takes too long, is left out: the others
        are loaded by another process.
        """
        while (broken := self._read_reports(timeout)) is not None:
            name, reason = broken
            self._skipped[name] = reason
            self.kill()
            self.start()
        numbers = {name: number for number, name in enumerate(self.names)}
        return Hosted(RunnerChannel(self._address, self.pulse), numbers, self._models, self._faults)

    def _read_reports(self, timeout: float) -> tuple[str, str] | None:
        """Read reports until all models have one; else return the first without, and the reason."""
        self._models, self._faults = {}, {}
        lines = self._lines(timeout)
        for spec in (one.spec for one in self.group.models):
            try:
                values = json_text.loads(next(lines))
            except StopIteration:
                return str(spec.name), f"its process ended while it loaded ({self._how()})"
            except TimeoutError:
                return str(spec.name), f"it did not load within {timeout:g} s"
            if "fault" in values:
                self._faults[str(spec.name)] = str(from_json(Fault, values["fault"]))
            else:
                measured = next(one.call_seconds for one in self.group.models if one.spec is spec)
                model = described(spec, values | {"call_seconds": measured})
                model.examples = examples.read(spec.path)
                self._models[str(spec.name)] = model
        self._close_report()
        return None

    def _lines(self, timeout: float) -> Iterator[bytes]:
        """Yield the lines of the report pipe. Raises TimeoutError."""
        buffer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._report, selectors.EVENT_READ)
            deadline = self.born + timeout
            while True:
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    yield line
                    deadline = monotonic() + timeout
                if selector.select(LOOK):
                    if not (data := os.read(self._report, 65536)):
                        return
                    buffer += data
                elif self._has_ended():  # a process that a model has forked may hold the pipe open
                    return
                elif monotonic() > deadline:
                    raise TimeoutError

    def _has_ended(self) -> bool:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            return "\nState:\tZ" in Path(f"/proc/{self.pid}/status").read_text()
        return True

    def _how(self) -> str:
        """Reap the process, and tell how it ended."""
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return "unknown how"
        code = os.waitstatus_to_exitcode(status)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

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

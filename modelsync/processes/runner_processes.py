"""All runners of one release: started side by side, watched, started again, ended.

Whoever loads the release owns them: the gunicorn master, whose loop calls `watch`; or a process of
another server, where a thread does.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep

from modelsync.backoff import Backoff
from modelsync.inference.process_runner import Hosted, RunnerGroup
from modelsync.orphans import Children
from modelsync.processes.pulse import NOT_BEATING, POLL, Pulses, PulseWatch
from modelsync.processes.runner_process import RunnerProcess
from modelsync.processes.socket_folder import SocketFolder
from modelsync.processes.worker_death import WorkerDeath
from modelsync.settings import Settings

log = logging.getLogger(__name__)

PAUSES = Backoff(0.25, 30.0)
"""Between two starts of a runner that keeps ending."""

SETTLED = 10.0
"""Seconds of life after which a runner that ends is started again at once."""

ENDING = 2.0
"""Seconds that runners have to end by themselves: their models' `stop` runs then."""


class RunnerProcesses:
    """The runners of a release whose models lie in `folder`; a `RunnerHost`."""

    def __init__(self, config: Settings, folder: Path, children: Children | None = None) -> None:
        self._config = config
        self._folder = folder.absolute()
        self._children = children
        self._runners: list[RunnerProcess] = []
        self._hosted: list[Hosted] | None = None
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._sockets: SocketFolder | None = None
        self._owner = os.getpid()
        self._pulse_watch = PulseWatch(_Pulses(self._runners), config.server.predict_timeout)

    @property
    def names(self) -> set[str]:
        """The names of all models in runners."""
        return {name for runner in self._runners for name in runner.names}

    def start(self, groups: Sequence[RunnerGroup]) -> None:
        """Start a runner for each group; does not wait."""
        if groups and not self._runners:
            self._sockets = SocketFolder()
            for number, group in enumerate(groups):
                address = str(self._sockets.path / f"{number}")
                runner = RunnerProcess(
                    group, number, address, self._config, self._folder, self._children
                )
                self._runners.append(runner)
                self._start(runner)

    def hosted(self, on_step: Callable[[], None]) -> Sequence[Hosted]:
        """Wait until every runner has loaded its models, or has failed to; see `RunnerHost`."""
        if self._hosted is None:
            timeout = self._config.sync.check_timeout
            self._hosted = [runner.hosted(timeout, on_step) for runner in self._runners]
        return self._hosted

    # --- watching ---------------------------------------------------------------------------------

    def find(self, pid: int) -> RunnerProcess | None:
        """Return the runner with this pid, None if there is none."""
        return next((one for one in self._runners if one.pid == pid), None)

    def reaped(self, runner: RunnerProcess, status: int, *, starved: bool = False) -> WorkerDeath:
        """A runner has ended and was reaped: return how. It is due to start again."""
        now, name = monotonic(), runner.group.name
        settled = now - runner.born > SETTLED
        failures = self._failures[name] = 1 if settled else self._failures.get(name, 0) + 1
        pause = 0.0 if failures == 1 else PAUSES.pause(failures - 1, random.random())  # noqa: S311
        self._due[name] = now + pause
        self._pulse_watch.forget(runner.pid, runner.worker_index)
        return runner.reaped(status, starved=starved)

    def watch(self) -> None:
        """Start runners that are due, and end those that are deaf; called a few times a second."""
        now = monotonic()
        self._pulse_watch.end_deaf({one.pid: one for one in self._runners if one.pid}, now)
        for runner in self._runners:
            if not runner.pid and now >= self._due.get(runner.group.name, now):
                log.info("the runner of %s starts again", runner.group.name)
                self._start(runner, again=True)
            elif runner.is_late(now, self._config.sync.check_timeout):
                log.error("the runner of %s does not load: it is replaced", runner.group.name)
                runner.signal(signal.SIGKILL)

    def _start(self, runner: RunnerProcess, *, again: bool = False) -> None:
        try:
            runner.start(again=again)
        except OSError as error:
            name = runner.group.name
            log.error("the runner of %s does not start: %s", name, error)
            self._due[name] = monotonic() + PAUSES.most

    def watch_in_thread(self) -> None:
        """Watch from a thread of this process; for a server whose loop is not ours."""
        if self._runners:
            threading.Thread(target=self._watch, name="modelsync-runners", daemon=True).start()

    def _watch(self) -> None:
        while self._runners:
            for runner in self._runners:
                if runner.pid:
                    self._reap(runner)
            self.watch()
            sleep(POLL)

    def _reap(self, runner: RunnerProcess) -> None:
        status = 0
        try:
            ended, status = os.waitpid(runner.pid, os.WNOHANG)
        except ChildProcessError:  # the server has reaped it, and knows how it ended
            ended = runner.pid
        if ended:
            self.reaped(runner, status).log()

    # --- the end ----------------------------------------------------------------------------------

    def end(self) -> None:
        """End all runners: by SIGTERM, then by SIGKILL, with all that they have forked."""
        if os.getpid() != self._owner:  # a worker
            return
        runners = list(self._runners)
        self._runners.clear()
        for runner in runners:
            runner.signal(signal.SIGTERM)
        deadline = monotonic() + ENDING
        for runner in runners:
            while runner.pid and not _has_ended(runner.pid) and monotonic() < deadline:
                sleep(0.01)
            runner.kill()
            runner.close()
        if self._sockets:
            self._sockets.remove()


class _Pulses(Pulses):
    """The last beats of runners, for the watch of the workers' pulses."""

    def __init__(self, runners: list[RunnerProcess]) -> None:
        self._runners = runners

    def last(self, worker_index: int) -> float:
        """Return the time of a runner's last beat, `NOT_BEATING` if it does not serve yet."""
        pulse = self._runners[worker_index].pulse
        return pulse.beat if pulse.up else NOT_BEATING

    def forget(self, worker_index: int) -> None:
        """Do nothing: the next process of the runner is not up yet."""


def _has_ended(pid: int) -> bool:
    """Return whether a child process has ended; it can still be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True

"""All runners of one release: started side by side, watched, started again, ended.

Whoever loads the release owns them: the gunicorn master, whose loop calls `watch`; or a process of
another server, where a thread does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

from modelsync.backoff import Backoff
from modelsync.inference.process_runner import Hosted, RunnerGroup
from modelsync.processes.runner_process import RunnerDeath, RunnerProcess
from modelsync.settings import Settings

log = logging.getLogger(__name__)

PAUSES = Backoff(0.25, 30.0)
"""Between two starts of a runner that keeps ending."""

SETTLED = 10.0
"""Seconds of life after which a runner that ends is started again at once."""

DEAF = 1.0
"""Seconds beyond the deadline of a prediction that a runner may run no Python code."""

ENDING = 2.0
"""Seconds that runners have to end by themselves: their models' `stop` runs then."""

LONGEST_PATH = 90
"""Characters of a folder for sockets: the path of a Unix socket may have 107."""


class RunnerProcesses:
    """The runners of a release whose models lie in `folder`; a `RunnerHost`."""

    def __init__(self, config: Settings, folder: Path) -> None:
        self._config = config
        self._folder = folder.absolute()
        self._runners: list[RunnerProcess] = []
        self._hosted: list[Hosted] | None = None
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._sockets: Path | None = None
        self._owner = os.getpid()

    @property
    def names(self) -> set[str]:
        """The names of all models in runners."""
        return {name for runner in self._runners for name in runner.names}

    def start(self, groups: Sequence[RunnerGroup]) -> None:
        """Start a runner for each group; does not wait."""
        if groups and not self._runners:
            self._sockets = _folder_for_sockets()
            for number, group in enumerate(groups):
                address = str(self._sockets / f"{number}")
                runner = RunnerProcess(group, address, self._config, self._folder)
                self._runners.append(runner)
                runner.start()

    def hosted(self) -> Sequence[Hosted]:
        """Wait until every runner has loaded its models, or has failed to."""
        if self._hosted is None:
            timeout = self._config.sync.check_timeout
            self._hosted = [runner.hosted(timeout) for runner in self._runners]
        return self._hosted

    # --- watching ---------------------------------------------------------------------------------

    def reaped(self, pid: int, status: int | None) -> RunnerDeath | None:
        """A child process has ended. Return how, if it was a runner; it is due to start again."""
        runner = next((one for one in self._runners if one.pid == pid), None)
        if runner is None:
            return None
        now, name = monotonic(), runner.group.name
        settled = now - runner.born > SETTLED
        failures = self._failures[name] = 1 if settled else self._failures.get(name, 0) + 1
        pause = 0.0 if failures == 1 else PAUSES.pause(failures - 1, random.random())  # noqa: S311
        self._due[name] = now + pause
        return runner.reaped(status)

    def watch(self) -> None:
        """Start runners that are due, and kill those that are deaf; called about once a second."""
        now = monotonic()
        limit = self._config.server.predict_timeout + DEAF
        for runner in self._runners:
            if not runner.pid and now >= self._due.get(runner.group.name, now):
                log.info("the runner of %s starts again", runner.group.name)
                runner.start()
            elif runner.is_deaf(now, limit):
                name = runner.group.name
                message = "the runner of %s has run no Python code for %g s: it is replaced"
                log.error(message, name, limit, extra={"fields": {"model": name}})
                runner.signal(signal.SIGKILL)

    def watch_in_thread(self) -> None:
        """Watch from a thread of this process; for a server whose loop is not ours."""
        if self._runners:
            threading.Thread(target=self._watch, name="modelsync-runners", daemon=True).start()

    def _watch(self) -> None:
        while self._runners:
            for runner in self._runners:
                if runner.pid:
                    self._reap(runner.pid)
            self.watch()
            sleep(0.2)

    def _reap(self, pid: int) -> None:
        status: int | None = None
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # the server has reaped it
            ended = pid
        if ended and (death := self.reaped(pid, status)):
            log_death(death)

    # --- the end ----------------------------------------------------------------------------------

    def end(self) -> None:
        """End all runners: by SIGTERM, then by SIGKILL, with all that they have forked."""
        if os.getpid() != self._owner:  # a worker
            return
        runners, self._runners = self._runners, []
        for runner in runners:
            runner.signal(signal.SIGTERM)
        deadline = monotonic() + ENDING
        for runner in runners:
            while runner.pid and not _has_ended(runner.pid) and monotonic() < deadline:
                sleep(0.01)
            runner.kill()
            runner.close()
        if self._sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)


def _has_ended(pid: int) -> bool:
    """Return whether a child process has ended; it can still be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _folder_for_sockets() -> Path:
    """Return a new folder that only this user can read, with a path that is short enough."""
    folder = tempfile.mkdtemp(prefix="modelsync-")
    if len(folder) > LONGEST_PATH:
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
        folder = tempfile.mkdtemp(prefix="modelsync-", dir="/tmp")
    return Path(folder)


def log_death(death: RunnerDeath, *, starved: bool = False) -> None:
    """Log how a runner has ended, and which models it was calling."""
    how = how_it_ended(death.status)
    said = "was killed by the kernel because memory ran out" if starved else f"ended: {how}"
    calling = f", while it called {', '.join(death.suspects)}" if death.suspects else ""
    fields = {
        "event": "runner_ended",
        "runner": death.group,
        "how": how,
        "out_of_memory": starved,
        "calling": death.suspects,
        "trace": death.trace,
    }
    log.error("the runner of %s (%d) %s%s", death.group, death.pid, said, calling,
              extra={"fields": fields})  # fmt: skip


def how_it_ended(status: int | None) -> str:
    """Return the name of the signal, or the exit code, of a status of waitpid(2)."""
    if status is None:
        return "unknown"
    code = os.waitstatus_to_exitcode(status)
    names = {int(one): one.name for one in signal.Signals}  # real-time signals have none
    return names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}"

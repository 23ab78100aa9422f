"""The loop of a generation's master: keeps its workers and runners, and explains their deaths."""

from __future__ import annotations

import logging
import os
import signal
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from gunicorn.arbiter import Arbiter

from modelsync.models.isolation import fork_guard
from modelsync.observability import totals
from modelsync.oom import OomKills
from modelsync.orphans import Children
from modelsync.processes import worker_death
from modelsync.processes.gunicorn_worker import ModelsyncWorker
from modelsync.processes.pulse import POLL, PulseWatch
from modelsync.processes.relocation import Relocation
from modelsync.processes.runner_processes import RunnerProcesses

log = logging.getLogger("modelsync.processes.gunicorn_master")

LOOK = 5.0
"""Seconds between two looks for daemons that models have started."""


class ModelsyncArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master. No exit code of a worker ends it: a model may call `os._exit(3)`."""

    models = Path("models_serve")
    metrics: Path
    oom_kills: OomKills
    supervisor: int
    runners: RunnerProcesses | None = None
    children: Children
    pulse_watch: PulseWatch
    relocation: Relocation
    _quick_deaths = 0
    _looked = 0.0

    def reap_workers(self) -> None:
        """Reap ended workers, count the requests they lost, switch off models that keep ending
        them.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self.children.forget(pid)
            if (worker := self.WORKERS.pop(pid, None)) is not None:
                self._reaped(worker, status)
            elif self.runners and (runner := self.runners.find(pid)):
                death = self.runners.reaped(runner, status, starved=self._starved(status))
                death.log()
                self.relocation.record(death, monotonic())

    def _reaped(self, worker: ModelsyncWorker, status: int) -> None:
        """Explain the end of a worker: log it, and draw the consequences for its models."""
        worker.tmp.close()
        if worker.connection_counts:
            worker.connection_counts.report(worker.worker_index, None)
        self.pulse_watch.forget(worker.pid, worker.worker_index)
        words = worker.crash_report.read()
        if status != 0 or words:  # or a model that calls os._exit(0)
            death = worker_death.explain(
                worker.pid,
                status,
                words,
                self.models,
                partial(self._in_flight, worker.pid),
                starved=not worker.deaf and self._starved(status),
                deaf=worker.deaf,
            )
            death.log()
            self.relocation.record(death, monotonic())
            self._slow_down_quick_deaths(worker)
        worker.crash_report.close()
        totals.retire(self.metrics, worker.pid)

    def _starved(self, status: int) -> bool:
        """Return whether the kernel has killed a process because memory ran out."""
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return killed and self.oom_kills.claim(monotonic())

    def _in_flight(self, pid: int) -> list[str]:
        """Return the models that a worker was calling itself, when it ended."""
        elsewhere = self.runners.names if self.runners else set()
        return [name for name in totals.in_flight(self.metrics, pid) if name not in elsewhere]

    def _slow_down_quick_deaths(self, worker: ModelsyncWorker) -> None:
        """Pause after many workers have died at start-up, which would otherwise repeat at full
        speed.
        """
        if monotonic() - worker.born > 2.0:
            self._quick_deaths = 0
            return
        self._quick_deaths += 1
        if self._quick_deaths > 2 * self.num_workers:
            sleep(0.5)

    def spawn_worker(self) -> int:
        """Fork a worker; in the parent, record when."""
        with fork_guard.spared():
            pid: int = super().spawn_worker()
        self.children.add(pid)
        self.WORKERS[pid].born = monotonic()
        return pid

    def wait_for_signals(self, timeout: float = POLL) -> list[int]:
        """Wait for signals, but not so long that a worker without a pulse stays unnoticed."""
        found: list[int] = super().wait_for_signals(min(timeout, POLL))
        return found

    def murder_workers(self) -> None:
        """End workers whose interpreter a model holds beyond its deadline; gunicorn's rest."""
        self.pulse_watch.end_deaf(self.WORKERS, monotonic())
        super().murder_workers()

    def manage_workers(self) -> None:
        """Keep the number of workers, as long as the supervisor lives.

        Without it nothing would ever stop this process.
        """
        if os.getppid() != self.supervisor:
            log.error("the supervisor has gone; ending")
            raise StopIteration
        self.oom_kills.refresh(monotonic())
        self._tend_strangers(monotonic())
        if self.runners:
            self.runners.watch()
        super().manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """End the workers, then the runners, which answer them until then."""
        super().stop(graceful)
        if self.runners:
            self.runners.end()

    def _tend_strangers(self, now: float) -> None:
        """End what a dead worker has left; what a living one has left is a daemon, and stays."""
        if not self.children.end_strangers() and now > self._looked + LOOK:
            self._looked = now
            self.children.keep_strangers()

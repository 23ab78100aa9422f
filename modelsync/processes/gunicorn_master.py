"""The gunicorn master of a generation: loads one release, then forks its workers.

The supervisor runs it as `python -m modelsync.processes.gunicorn_master`, with descriptors of its
sockets and pipes. The master reports each worker that is ready; the workers accept from the public
socket (the first one) when the supervisor opens the gate. On TERM it ends once its last client is
gone.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import math
import os
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from modelsync import orphans, settings
from modelsync.api.app import create_app
from modelsync.inference import serving
from modelsync.inference.circuit_breaker import CircuitBreaker, memory_file
from modelsync.models.isolation import fork_guard, patches
from modelsync.observability import counters, logs, totals
from modelsync.orphans import Children
from modelsync.processes import relocation, requests_pipe, worker_death
from modelsync.processes.gunicorn_logger import GunicornLogger
from modelsync.processes.gunicorn_worker import ModelsyncWorker
from modelsync.processes.oom import OomKills, find_counter
from modelsync.processes.pulse import POLL, Pulses, PulseWatch
from modelsync.processes.relocation import Relocation
from modelsync.processes.requests_pipe import FORCED, PLACE_ANEW, SYNC
from modelsync.processes.runner_processes import RunnerProcesses
from modelsync.releases.placements import Placements
from modelsync.releases.store import Releases
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.settings import Settings

log = logging.getLogger("modelsync.processes.gunicorn_master")  # also when it runs as __main__


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


class GunicornApplication(BaseApplication):  # type: ignore[misc]
    """gunicorn's application: its configuration and the WSGI callable."""

    def __init__(self, arguments: argparse.Namespace, config: Settings, children: Children) -> None:
        self.arguments = arguments
        self.children = children
        self.settings = config
        self.release = None
        if arguments.release:
            releases = Releases(config.state.home)
            self.release = Placements(config.state.home).applied(releases.read(arguments.release))
            self.held = releases.hold(self.release)
        entries = self.release.models if self.release else {}
        self.breaker = CircuitBreaker(
            {str(name): relocation.placed_version(entry) for name, entry in entries.items()},
            memory_file(config.state.home),
        )
        self.runners = (
            RunnerProcesses(config, self.release.path / "models_serve", children)
            if self.release
            else None
        )
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings. Its environment variables and configuration
        files are ignored.
        """
        server = self.settings.server
        for name, value in {
            "bind": [f"fd://{fd}" for fd in self.arguments.listen],
            "workers": server.workers,
            "worker_class": ModelsyncWorker,
            "preload_app": server.preload,
            "timeout": int(server.predict_timeout) + 30,
            "graceful_timeout": math.ceil(server.drain_timeout),
            "control_socket_disable": True,
            "pre_fork": _assign_index,
            "logger_class": GunicornLogger,
            "proc_name": "modelsync",
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The Flask application with its models loaded.

        Before the fork (preload), so that all workers share that memory.
        """
        requests, ready = self.arguments.requests, self.arguments.ready
        loaded = serving.load(
            self.settings,
            self.release,
            left_out=orjson.loads(self.arguments.left_out),
            on_load=lambda name: _report(ready, loading=name),
            request_sync=lambda force: requests_pipe.send(requests, FORCED if force else SYNC),
            breaker=self.breaker,
            host=self.runners,
        )
        _report(ready, loading="", faults=loaded.faults)
        app = create_app(loaded)
        gc.collect()
        gc.freeze()  # the workers' collectors must not touch, and so copy, the pages of the models
        return app

    def run(self) -> None:
        """Serve until TERM."""
        ModelsyncWorker.ready_fd = self.arguments.ready
        ModelsyncWorker.gate_fd = self.arguments.gate
        ModelsyncWorker.connection_counts = ConnectionCounts(self.settings.server.workers)
        ModelsyncWorker.pulses = Pulses(self.settings.server.workers)
        ModelsyncArbiter.pulse_watch = PulseWatch(
            ModelsyncWorker.pulses, self.settings.server.predict_timeout
        )
        ModelsyncArbiter.children = self.children
        ModelsyncArbiter.relocation = Relocation(
            self.release.models if self.release else {},
            self.breaker,
            Placements(self.settings.state.home),
            lambda: requests_pipe.send(self.arguments.requests, PLACE_ANEW),
        )
        if self.release:
            ModelsyncArbiter.models = self.release.path / "models_serve"
        ModelsyncArbiter.metrics = counters.folder(self.settings.state.home)
        ModelsyncArbiter.oom_kills = OomKills(find_counter())
        ModelsyncArbiter.supervisor = self.arguments.supervisor
        ModelsyncArbiter.runners = self.runners
        if self.runners and not self.settings.server.preload:  # they are the master's all the same
            assert self.release
            left_out = orjson.loads(self.arguments.left_out)
            serving.start_runners(self.settings, self.release, left_out, self.runners)
            self.runners.hosted()
        ModelsyncArbiter(self).run()


def _assign_index(master: ModelsyncArbiter, worker: ModelsyncWorker) -> None:
    """Give a new worker the lowest index that no living worker has."""
    taken = {other.worker_index for other in master.WORKERS.values()}
    worker.worker_index = next(
        worker_index for worker_index in count() if worker_index not in taken
    )


def _report(fd: int, **step: object) -> None:
    """Report a step to the supervisor: `loading`, a model's name; `faults`, what did not load.

    The supervisor reads until all workers have been ready once.
    """
    with contextlib.suppress(BrokenPipeError):
        os.write(fd, orjson.dumps(step) + b"\n")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The supervisor's arguments: descriptors by number, the release by its id (empty: none yet),
    the models that are not to be loaded as a JSON object, with the reasons.
    """
    parser = argparse.ArgumentParser(prog="python -m modelsync.processes.gunicorn_master")
    parser.add_argument("--release", default="")
    parser.add_argument("--left-out", default="{}")
    parser.add_argument("--listen", type=int, action="append", required=True)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--gate", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--supervisor", type=int, required=True)
    return parser.parse_args(argv)


def main() -> None:
    """Entry point of the process."""
    arguments = parse()
    orphans.end_with_parent(signal.SIGTERM, arguments.supervisor)
    config = settings.load()
    patches.install()
    _keep_to_ourselves(arguments)
    logs.configure(config.logs, secrets=logs.secrets_of(config))
    children = Children()
    code = 1
    try:
        GunicornApplication(arguments, config, children).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("the generation failed")
    children.end_all()
    # Models may have left threads and exit handlers, which would delay the end for ever.
    sys.stdout.flush()
    os._exit(code)


def _keep_to_ourselves(arguments: argparse.Namespace) -> None:
    """Have no process that a model starts or forks inherit our sockets and pipes."""
    pipes = (arguments.ready, arguments.gate, arguments.requests)
    for number in (*arguments.listen, *pipes):
        os.set_inheritable(number, False)
    fork_guard.withhold(pipes, arguments.listen)


if __name__ == "__main__":
    main()

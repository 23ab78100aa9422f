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
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from modelsync import settings
from modelsync.api.app import create_app
from modelsync.inference import serving
from modelsync.inference.circuit_breaker import CircuitBreaker, memory_file
from modelsync.models.isolation import patches
from modelsync.models.isolation.crash_report import crashed_model
from modelsync.observability import counters, logs, totals
from modelsync.processes.gunicorn_worker import ModelsyncWorker
from modelsync.processes.oom import OomKills, find_counter
from modelsync.processes.runner_process import RunnerDeath
from modelsync.processes.runner_processes import RunnerProcesses, log_death
from modelsync.releases.store import Releases
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.settings import Settings

log = logging.getLogger("modelsync.processes.gunicorn_master")  # also when it runs as __main__


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger, which writes through ours."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and formats to `modelsync.observability.logs`.

        gunicorn's messages at each start become debugging messages.
        """
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        level = logging.getLogger().level
        self.error_log.setLevel(logging.WARNING if level == logging.INFO else level)
        self.cfg = cfg


class ModelsyncArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master. No exit code of a worker ends it: a model may call `os._exit(3)`."""

    breaker: CircuitBreaker
    models = Path("models_serve")
    metrics: Path
    oom_kills: OomKills
    supervisor: int
    runners: RunnerProcesses | None = None
    _quick_deaths = 0

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
            if (worker := self.WORKERS.pop(pid, None)) is not None:
                self._reaped(worker, status)
            elif self.runners and (death := self.runners.reaped(pid, status)):
                self._runner_died(death)

    def _reaped(self, worker: ModelsyncWorker, status: int) -> None:
        """Explain the end of a worker: log it, and record a crash against its suspects."""
        worker.tmp.close()
        if worker.connection_counts:
            worker.connection_counts.report(worker.worker_index, None)
        words = worker.crash_report.read()
        if status != 0 or words:  # or a model that calls os._exit(0)
            guilty = crashed_model(words, self.models)
            suspects = [guilty] if guilty else self._suspects(worker.pid)
            killed = os.WTERMSIG(status) == signal.SIGKILL
            starved = killed and self.oom_kills.claim(monotonic())
            _log_death(worker.pid, status, suspects, words, starved=starved)
            # Any other SIGKILL comes from outside, such as from an operator: no model's fault.
            if suspects and (starved or not killed):
                self._record_crash(suspects)
            self._slow_down_quick_deaths(worker)
        worker.crash_report.close()
        totals.retire(self.metrics, worker.pid)

    def _suspects(self, pid: int) -> list[str]:
        """Return the models that a worker was calling itself, when it ended."""
        elsewhere = self.runners.names if self.runners else set()
        return [name for name in totals.in_flight(self.metrics, pid) if name not in elsewhere]

    def _runner_died(self, death: RunnerDeath) -> None:
        """Log the end of a runner, and record a crash against the models that it was calling."""
        killed = death.status is not None and os.WTERMSIG(death.status) == signal.SIGKILL
        starved = killed and self.oom_kills.claim(monotonic())
        log_death(death, starved=starved)
        if death.suspects and (starved or not killed):
            self._record_crash(death.suspects)

    def _record_crash(self, suspects: list[str]) -> None:
        for name in self.breaker.record_crash(suspects, monotonic()):
            fields = {"event": "model_switched_off", "model": name}
            log.error(
                "%s is switched off until its next version: it keeps ending workers",
                name,
                extra={"fields": fields},
            )

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
        pid: int = super().spawn_worker()
        self.WORKERS[pid].born = monotonic()
        return pid

    def manage_workers(self) -> None:
        """Keep the number of workers, as long as the supervisor lives.

        Without it nothing would ever stop this process.
        """
        if os.getppid() != self.supervisor:
            log.error("the supervisor has gone; ending")
            raise StopIteration
        self.oom_kills.refresh(monotonic())
        if self.runners:
            self.runners.watch()
        super().manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """End the workers, then the runners, which answer them until then."""
        super().stop(graceful)
        if self.runners:
            self.runners.end()


class GunicornApplication(BaseApplication):  # type: ignore[misc]
    """gunicorn's application: its configuration and the WSGI callable."""

    def __init__(self, arguments: argparse.Namespace, config: Settings) -> None:
        self.arguments = arguments
        self.settings = config
        self.release = None
        if arguments.release:
            releases = Releases(config.state.home)
            self.release = releases.read(arguments.release)
            self.held = releases.hold(self.release)
        entries = self.release.models if self.release else {}
        self.breaker = CircuitBreaker(
            {str(name): str(entry.version) for name, entry in entries.items()},
            memory_file(config.state.home),
        )
        self.runners = (
            RunnerProcesses(config, self.release.path / "models_serve") if self.release else None
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
        requests = self.arguments.requests
        loaded = serving.load(
            self.settings,
            self.release,
            request_sync=lambda: _request_sync(requests),
            breaker=self.breaker,
            host=self.runners,
        )
        _report_faults(self.arguments.ready, loaded.faults)
        app = create_app(loaded)
        gc.collect()
        gc.freeze()  # the workers' collectors must not touch, and so copy, the pages of the models
        return app

    def run(self) -> None:
        """Serve until TERM."""
        ModelsyncWorker.ready_fd = self.arguments.ready
        ModelsyncWorker.gate_fd = self.arguments.gate
        ModelsyncWorker.connection_counts = ConnectionCounts(self.settings.server.workers)
        ModelsyncArbiter.breaker = self.breaker
        if self.release:
            ModelsyncArbiter.models = self.release.path / "models_serve"
        ModelsyncArbiter.metrics = counters.folder(self.settings.state.home)
        ModelsyncArbiter.oom_kills = OomKills(find_counter())
        ModelsyncArbiter.supervisor = os.getppid()
        ModelsyncArbiter.runners = self.runners
        if self.runners and not self.settings.server.preload:  # they are the master's all the same
            serving.start_runners(self.settings, self.release, self.runners)
            self.runners.hosted()
        ModelsyncArbiter(self).run()


def _log_death(pid: int, status: int, suspects: list[str], words: str, *, starved: bool) -> None:
    """Log the death of a worker: how it ended, and which models it was calling."""
    code = os.waitstatus_to_exitcode(status)
    names = {int(one): one.name for one in signal.Signals}  # real-time signals have none
    how = names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}"
    said = "was killed by the kernel because memory ran out" if starved else f"ended: {how}"
    calling = f", while it called {', '.join(suspects)}" if suspects else ""
    fields = {
        "event": "worker_ended",
        "how": how,
        "out_of_memory": starved,
        "calling": suspects,
        "trace": words,
    }
    log.error("worker %d %s%s", pid, said, calling, extra={"fields": fields})


def _assign_index(master: ModelsyncArbiter, worker: ModelsyncWorker) -> None:
    """Give a new worker the lowest index that no living worker has."""
    taken = {other.worker_index for other in master.WORKERS.values()}
    worker.worker_index = next(
        worker_index for worker_index in count() if worker_index not in taken
    )


def _request_sync(requests: int) -> None:
    """Request a sync from the supervisor: one byte. A full pipe holds a request already."""
    with contextlib.suppress(BlockingIOError):
        os.write(requests, b"s")


def _report_faults(fd: int, faults: dict[str, str]) -> None:
    os.write(fd, orjson.dumps({"faults": faults}) + b"\n")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The supervisor's arguments: descriptors by number, the release by its id
    (empty: none yet).
    """
    parser = argparse.ArgumentParser(prog="python -m modelsync.processes.gunicorn_master")
    parser.add_argument("--release", default="")
    parser.add_argument("--listen", type=int, action="append", required=True)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--gate", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    return parser.parse_args(argv)


def main() -> None:
    """Entry point of the process."""
    config = settings.load()
    patches.install()
    logs.configure(config.logs, secrets=logs.secrets_of(config))
    code = 1
    try:
        GunicornApplication(parse(), config).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("the generation failed")
    # Models may have left threads and exit handlers, which would delay the end for ever.
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

"""A generation: one release in a gunicorn master of its own with its workers, on sockets it was
given.

Run by the supervisor as `python -m modelsync.processes.gunicorn_master`. It connection_counts the
release before it forks, reports each worker that is ready, lets them accept requests from the
public socket (the first one) when the supervisor says so, and ends on TERM once its last client is
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
from modelsync.models.isolation import guards
from modelsync.models.isolation.crash_report import crashed_model
from modelsync.observability import counters, logs
from modelsync.processes.gunicorn_worker import ModelsyncWorker
from modelsync.processes.oom import OomKills, counter
from modelsync.releases.store import Releases
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.settings import Settings

log = logging.getLogger("modelsync.processes.gunicorn_master")  # also where it runs as __main__


class Log(Logger):  # type: ignore[misc]
    """gunicorn's logger, writing through ours."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and formats to `modelsync.observability.logs`; what it does each time it
        starts is for debugging.
        """
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        level = logging.getLogger().level
        self.error_log.setLevel(logging.WARNING if level == logging.INFO else level)
        self.cfg = cfg


class GenerationMaster(Arbiter):  # type: ignore[misc]
    """gunicorn's master, but no worker's exit code ends it: a model may call `os._exit(3)`."""

    breaker: CircuitBreaker
    models = Path("models_serve")
    metrics: Path
    oom_kills: OomKills
    supervisor: int
    _quick_deaths = 0

    def reap_workers(self) -> None:
        """Collect ended workers, count what they leave, and switch off models that keep ending
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
                self._ended(worker, status)

    def _ended(self, worker: ModelsyncWorker, status: int) -> None:
        worker.tmp.close()
        if worker.connection_counts:
            worker.connection_counts.report(worker.worker_index, None)
        words = worker.crash_report.read()
        if status != 0 or words:  # or a model that calls os._exit(0)
            guilty = crashed_model(words, self.models)
            suspects = [guilty] if guilty else counters.in_flight(self.metrics, worker.pid)
            killed = os.WTERMSIG(status) == signal.SIGKILL
            starved = killed and self.oom_kills.claim(monotonic())
            _tell(worker.pid, status, suspects, words, starved=starved)
            # Any other SIGKILL comes from outside (an operator): no model's fault.
            if suspects and (starved or not killed):
                self._blame(suspects)
            self._pause_after_quick_deaths(worker)
        worker.crash_report.close()
        counters.retire(self.metrics, worker.pid)

    def _blame(self, suspects: list[str]) -> None:
        for name in self.breaker.crashed(suspects, monotonic()):
            fields = {"event": "model_switched_off", "model": name}
            log.error(
                "%s is switched off until its next version: it keeps ending workers",
                name,
                extra={"fields": fields},
            )

    def _pause_after_quick_deaths(self, worker: ModelsyncWorker) -> None:
        """A worker that dies while it boots would be started again at once, for ever: slow that
        down.
        """
        if monotonic() - worker.born > 2.0:
            self._quick_deaths = 0
            return
        self._quick_deaths += 1
        if self._quick_deaths > 2 * self.num_workers:
            sleep(0.5)

    def spawn_worker(self) -> int:
        """Fork a worker; in the parent, note when."""
        pid: int = super().spawn_worker()
        self.WORKERS[pid].born = monotonic()
        return pid

    def manage_workers(self) -> None:
        """Keep the number of workers, unless the supervisor has gone: then nobody would ever stop
        us.
        """
        if os.getppid() != self.supervisor:
            log.error("the supervisor has gone; ending")
            raise StopIteration
        self.oom_kills.look(monotonic())
        super().manage_workers()


class GunicornApplication(BaseApplication):  # type: ignore[misc]
    """gunicorn's application: where its configuration and the WSGI callable come from."""

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
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's settings; the environment and its configuration files are not consulted."""
        server = self.settings.server
        for name, value in {
            "bind": [f"fd://{fd}" for fd in self.arguments.listen],
            "workers": server.workers,
            "worker_class": ModelsyncWorker,
            "preload_app": server.preload,
            "timeout": int(server.predict_timeout) + 30,
            "graceful_timeout": math.ceil(server.drain_timeout),
            "control_socket_disable": True,
            "pre_fork": _give_place,
            "logger_class": Log,
            "proc_name": "modelsync",
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The Flask application, its models loaded. Before the fork that memory is shared by all
        workers.
        """
        control = self.arguments.control
        loaded = serving.load(
            self.settings, self.release, request_sync=lambda: _ask(control), breaker=self.breaker
        )
        _report(self.arguments.ready, loaded.faults)
        app = create_app(loaded)
        gc.collect()
        gc.freeze()  # the workers' collectors must not touch, and so copy, the pages of the models
        return app

    def run(self) -> None:
        """Serve until TERM."""
        ModelsyncWorker.ready_fd = self.arguments.ready
        ModelsyncWorker.go_fd = self.arguments.go
        ModelsyncWorker.connection_counts = ConnectionCounts(self.settings.server.workers)
        GenerationMaster.breaker = self.breaker
        if self.release:
            GenerationMaster.models = self.release.path / "models_serve"
        GenerationMaster.metrics = counters.folder(self.settings.state.home)
        GenerationMaster.oom_kills = OomKills(counter())
        GenerationMaster.supervisor = os.getppid()
        GenerationMaster(self).run()


def _tell(pid: int, status: int, suspects: list[str], words: str, *, starved: bool) -> None:
    """Log how a worker has ended that should not have, and what it was doing."""
    code = os.waitstatus_to_exitcode(status)
    names = {int(one): one.name for one in signal.Signals}  # real-time signals have none
    how = names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}"
    said = "was ended by the kernel for want of memory" if starved else f"ended: {how}"
    calling = f", while it called {', '.join(suspects)}" if suspects else ""
    fields = {
        "event": "worker_ended",
        "how": how,
        "out_of_memory": starved,
        "calling": suspects,
        "trace": words,
    }
    log.error("worker %d %s%s", pid, said, calling, extra={"fields": fields})


def _give_place(master: GenerationMaster, worker: ModelsyncWorker) -> None:
    """The first worker_index that no living worker has."""
    taken = {other.worker_index for other in master.WORKERS.values()}
    worker.worker_index = next(
        worker_index for worker_index in count() if worker_index not in taken
    )


def _ask(control: int) -> None:
    """Ask the supervisor for a sync: one byte. A full pipe means that it has been asked often
    enough.
    """
    with contextlib.suppress(BlockingIOError):
        os.write(control, b"s")


def _report(fd: int, faults: dict[str, str]) -> None:
    os.write(fd, orjson.dumps({"faults": faults}) + b"\n")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The supervisor's arguments: file descriptors by number, the release by its id (empty: none
    yet).
    """
    parser = argparse.ArgumentParser(prog="python -m modelsync.processes.gunicorn_master")
    parser.add_argument("--release", default="")
    parser.add_argument("--listen", type=int, action="append", required=True)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--go", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    return parser.parse_args(argv)


def main() -> None:
    """Entry point of the generation's master process."""
    config = settings.load()
    guards.install()
    logs.configure(config.logs, secrets=logs.secrets_of(config))
    code = 1
    try:
        GunicornApplication(parse(), config).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("the generation failed")
    # Models that were loaded here may have left threads and exit handlers, which would hold up the
    # end for ever.
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

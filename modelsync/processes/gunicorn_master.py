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
from typing import Any

import orjson
from gunicorn.app.base import BaseApplication

from modelsync import orphans, settings
from modelsync.api.app import create_app
from modelsync.inference import release_loading
from modelsync.inference.circuit_breaker import CircuitBreaker, memory_file
from modelsync.models.isolation import fork_guard, patches
from modelsync.observability import counters, logs
from modelsync.oom import OomKills, find_counter
from modelsync.orphans import Children
from modelsync.processes import relocation, requests_pipe
from modelsync.processes.arbiter import ModelsyncArbiter
from modelsync.processes.gunicorn_logger import GunicornLogger
from modelsync.processes.gunicorn_worker import ModelsyncWorker
from modelsync.processes.pulse import Pulses, PulseWatch
from modelsync.processes.relocation import Relocation
from modelsync.processes.requests_pipe import FORCED, PLACE_ANEW, SYNC
from modelsync.processes.runner_processes import RunnerProcesses
from modelsync.releases.fitted import FittedVersions
from modelsync.releases.placements import Placements
from modelsync.releases.store import Releases
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.settings import Settings

log = logging.getLogger("modelsync.processes.gunicorn_master")  # also when it runs as __main__


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
        loaded = release_loading.load(
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
            FittedVersions(self.settings.state.home),
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
            release_loading.start_runners(self.settings, self.release, left_out, self.runners)
            self.runners.hosted(lambda: _report(self.arguments.ready))
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

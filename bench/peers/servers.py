"""A contestant's server: started on its cores, believed once it has answered right, ended with all
its children.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson
import psutil
import requests

from bench.peers import artefacts
from bench.peers.contestants import Contestant, Start, free_port
from bench.peers.environments import install
from bench.peers.shapes import PIPELINES, VARIABLES, Model, same
from bench.peers.shared.twomodels import FEATURES, classify, score
from tests.waiting import until

SERVER_CORE, CLIENT_CORE = "0", "1"
PATIENCE = 60.0
"""Seconds that a server may take to answer for the first time."""


class NotStarted(Exception):
    """The server ended, did not answer in time, or answered something else; the message ends with
    its log.
    """


class Running:
    """A server that answers."""

    def __init__(self, contestant: Contestant, model: Model, port: int, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.url = f"http://127.0.0.1:{port}"
        self.path = contestant.paths[model]
        self.headers = {"Content-Type": "application/json", **contestant.headers}
        self.body = orjson.dumps(contestant.shape.body(VARIABLES[model]))
        self._contestant = contestant
        self._expected = expected(model)

    def check(self) -> None:
        """One request; AssertionError if its answer is not the model's."""
        answer = requests.post(
            self.url + self.path, data=self.body, headers=self.headers, timeout=30
        )
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
        result = self._contestant.shape.result(answer.json())
        right = same(result, self._expected, self._contestant.tolerance)
        assert right, f"{answer.text[:300]} is not {self._expected}"

    def compilation_problem(self) -> str:
        """How the model is served otherwise than its contestant means; empty if it is not."""
        if self._contestant.compiled is None:
            return ""
        told = requests.get(self.url + self.path, headers=self.headers, timeout=30).json()
        compiled = told.get("compiled") or {"state": "unknown", "summary": "it does not say"}
        if (compiled["state"] == "compiled") == self._contestant.compiled:
            return ""
        return str(compiled["summary"])

    def processor_time(self) -> float:
        """Seconds of processor that the server and all of its processes have taken."""
        spent = 0.0
        for process in [self._process, *self._process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()  # those of children that have ended too
                spent += sum(times[:4])
        return spent


def expected(model: Model) -> object:
    """What the model answers, computed here."""
    variables = VARIABLES[model]
    if model in PIPELINES:
        return artefacts.classify(model)
    if model == "score":
        return score(variables["a"], variables["b"])
    return classify([variables[name] for name in FEATURES])


@contextlib.contextmanager
def running(
    contestant: Contestant, model: Model, work: Path, *, workers: int = 1, pinned: bool = True
) -> Iterator[Running]:
    """Start the server for one model. Raises NotInstalled or NotStarted."""
    install(contestant.key)
    work.mkdir(parents=True)
    port = free_port()
    launch = contestant.launch(Start(model, port, workers, work))
    pin = ["taskset", "-c", SERVER_CORE] if pinned else []
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELSYNC_", "PYTHON"))
    }
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the core is one
    with (work / "log").open("wb") as log:
        process = _start(
            [*pin, *launch.command], clean | threads | dict(launch.env), launch.cwd, log
        )
        try:
            server = Running(contestant, model, port, process.pid)
            _wait(server, process, work / "log")
            yield server
        finally:
            _end(process)


def _start(
    command: list[str], env: dict[str, str], cwd: Path, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        raise NotStarted(str(error)) from None


def _wait(server: Running, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            return True
        with contextlib.suppress(ValueError):  # not JSON yet
            server.check()
            return True
        return False

    problem = f"it ended with {process.poll()}"
    try:
        until(answers, PATIENCE)
    except AssertionError as error:
        problem = str(error)
    if process.poll() is not None or "not within" in problem:
        raise NotStarted(f"{problem}: … {log.read_text(errors='replace')[-600:].strip()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM, and what has not ended 15 seconds later is killed: a server may leave its family
    behind.
    """
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    psutil.wait_procs(family, 1)
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
    process.wait()

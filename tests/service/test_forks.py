"""Models that fork: their processes never act as the service, and the others never notice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.processes import gone
from tests.fixtures.service import answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import setting, until

POOL = """
import multiprocessing as mp
def score(x): return x * x
class Par:
    def transform_predict(self, xs: list[int]):
        with mp.Pool(2) as pool:
            return {"value": pool.map(score, xs)}
"""

TERMINATED = """
import multiprocessing, time
process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(100,))
process.start()
process.terminate()
process.join(5)
return {"value": process.exitcode}
"""

FORKS = """
import os
if pid := os.fork():
    return {"value": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
"""

RETURNS = f'{FORKS}return {{"value": "the child answers"}}'

RETURNS_LATER = f"{FORKS}import asyncio; await asyncio.sleep(0)\nreturn {{}}"

RETURNS_BATCH = RETURNS.replace("return {", "return [{").replace("}", "}]")

EXITS = f"{FORKS}import sys; sys.exit(7)"

RAISES = f"{FORKS}raise ValueError('in the child')"

HOLDS = """
import os, time
if pid := os.fork():
    return {"value": pid}
time.sleep(100)
"""
"""Its child, which has no time to end, lives on."""

MODELS = {
    "Par": POOL,
    "Terminated": model(TERMINATED),
    "Returns": model(RETURNS),
    "ReturnsInThread": model(f"import time; time.sleep(0.06)\n{RETURNS}"),
    "ReturnsAsync": model(RETURNS, kind="async def"),
    "ReturnsLater": model(RETURNS_LATER, kind="async def"),
    "ReturnsBatch": model(RETURNS_BATCH).replace("predict", "predict_batch"),
    "Exits": model(EXITS),
    "Raises": model(RAISES),
    "Holds": model(HOLDS),
    "Good": answers(1),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("forks")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
    with serving(folder, folder / "models", MODELSYNC_PREDICT_TIMEOUT=setting(10)) as service:
        client = Client(service)
        workers = service.workers()
        yield client
        assert [one for one in service.workers() if one in workers] == workers
        assert service.lines(event="worker_ended") == []
        assert service.stop() == 0
    gone(service.home)


def test_a_pool_of_processes_in_each_call(client: Client) -> None:
    """Thirty of them, each with a call of another model after it: all are answered."""
    for _ in range(30):
        assert client.value("Par", {"xs": [1, 2, 3]}) == [1, 4, 9]
        assert client.value("Good") == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Terminated", -signal.SIGTERM),
        ("Returns", 0),
        ("ReturnsInThread", 0),
        ("ReturnsAsync", 0),
        ("ReturnsLater", 1),
        ("ReturnsBatch", 0),
        ("Exits", 7),
        ("Raises", 1),
    ],
)
def test_a_forked_process_ends_as_in_a_script(client: Client, name: str, code: int) -> None:
    """By SIGTERM, when its code returns to ours, by sys.exit or an exception; it answers nobody."""
    for _ in range(4):
        assert client.value(name) == code
        assert client.value("Good") == 1


def test_a_forked_process_holds_no_socket_of_the_service(client: Client) -> None:
    """Neither the port nor its client's connection, so that this can end."""
    with requests.Session() as session:
        answer = session.post(f"{client.service.base}/Holds", json={"variables": {}})
        child = psutil.Process(answer.json()["value"])
        until(lambda: child.net_connections("inet") == [])
        assert session.post(f"{client.service.base}/Good", json={"variables": {}}).ok
    for worker in client.service.workers():
        assert worker.is_running()
    child.terminate()
    until(lambda: child.status() == psutil.STATUS_ZOMBIE)


def test_a_pool_made_when_the_model_loads(tmp_path: Path) -> None:
    """Its processes, forked from the master, take no signal and no port of the service."""
    write_model(
        tmp_path / "models",
        "Loads",
        model(
            "return {'value': 1}",
            top="import multiprocessing, os, sys\n",
            init="self.pool = multiprocessing.get_context('fork').Pool(1)\n"
            "if os.fork() == 0: sys.exit(0)",
        ),
    )
    with serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1") as service:
        assert service.post("Loads").json() == {"value": 1}
        assert service.stop() == 0
    gone(service.home)

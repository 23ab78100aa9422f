"""Models that take all memory there is: the kernel ends their worker, and the service knows whose
fault that was.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from modelsync.oom import OOM_SCORE
from tests.fixtures.cgroups import limited
from tests.fixtures.load import load
from tests.fixtures.service import Service, answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, until

pytestmark = pytest.mark.long

MEGABYTES = 600
"""For the whole service: supervisor, master, workers and the check."""

HUNGRY = "taken = []\nwhile True:\n    taken.append(b'x' * 10_000_000)"
MODELS = {
    "Hungry": model(HUNGRY),
    "Greedy": model(HUNGRY),
    "Parent": model(
        f"import subprocess, sys\nreturn {{'value': subprocess.call([sys.executable, '-c', "
        f"{HUNGRY!r}])}}"
    ),
    "Sleepy": model("import time; time.sleep(30)"),
    "Quick": answers(1),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("memory")
    with limited(MEGABYTES) as within, serving(folder, written(folder), within=within) as service:
        client = Client(service)
        yield client
        assert client.leaks() == []
        assert service.stop() == 0


def written(folder: Path) -> Path:
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
    return folder / "models"


def both(service: Service) -> list[psutil.Process]:
    workers = service.workers()
    return workers if len(workers) == 2 else []


def ends(service: Service) -> list[dict[str, Any]]:
    return service.lines(event="worker_ended")


def ended(service: Service, number: int) -> bool:
    """Whether so many workers have ended."""
    return len(ends(service)) == number


def adjusted(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def make_victim(process: psutil.Process, service: Service) -> None:
    """Have the kernel prefer this process to the workers, however little memory it has."""
    if (base := adjusted(process.pid)) > 0:
        pytest.skip("every process here is preferred already")
    for worker in until(lambda: both(service)):
        Path(f"/proc/{worker.pid}/oom_score_adj").write_text(f"{base}")
    Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")


def test_workers_go_first(client: Client) -> None:
    """The kernel is told to end a worker rather than the master or the supervisor."""
    [master] = client.service.masters()
    base = adjusted(client.service.process.pid)
    assert adjusted(master.pid) == base
    assert {adjusted(worker.pid) for worker in until(lambda: both(client.service))} == {
        min(1000, base + OOM_SCORE)
    }


def test_a_model_that_takes_all_memory_is_switched_off(client: Client) -> None:
    """Each time the worker is replaced; in the end 503 with Retry-After, and the log names the
    cause and the model.
    """
    service = client.service
    [master] = service.masters()

    def off() -> bool:
        until(lambda: both(service), 10)
        return client.post("Hungry").status_code == 503

    with load(service.port, "/models/Quick", b'{"variables": {}}', connections=2) as tally:
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                off()
        until(off)  # a strike that it had to share is not a whole one
        answered = tally.answered
        until(lambda: tally.answered > answered + 100)
    document = client.post("Hungry")
    assert int(document.headers["Retry-After"]) > 0
    assert "switched off until its next version" in document.json()["detail"]
    assert client.about("Hungry")["switched_off"] is True
    assert client.about("Quick")["switched_off"] is False
    until(lambda: service.lines(event="model_switched_off", model="Hungry"))
    for end in ends(service):
        assert (end["how"], end["out_of_memory"]) == ("SIGKILL", True)
        assert re.match(
            r"worker \d+ was killed by the kernel because memory ran out, while it called .*Hungry",
            end["message"],
        )
    assert len(tally.failures) <= 2 * len(ends(service))  # those of the workers that died
    assert service.masters() == [master]


def test_kill_by_hand_is_nobodys_fault(client: Client) -> None:
    """The same signal, but the kernel has counted nothing: the model stays on, however often."""
    service = client.service
    for _ in range(4):
        before = len(ends(service))
        with ThreadPoolExecutor() as pool:
            call = pool.submit(client.post, "Sleepy")
            until(lambda: 'in_flight{model="Sleepy"} 1.0' in client.get("/metrics").text)
            for worker in until(lambda: both(service)):
                worker.kill()  # one of them calls it
            assert isinstance(call.exception(), requests.ConnectionError)
        until(partial(ended, service, before + 2))
        until(lambda: both(service))
    calling = [end for end in ends(service) if end["calling"] == ["Sleepy"]]
    assert [(end["how"], end["out_of_memory"]) for end in calling] == [("SIGKILL", False)] * 4
    assert client.about("Sleepy")["switched_off"] is False


def test_a_child_of_a_model_costs_no_worker(client: Client) -> None:
    """The kernel ends what has taken the memory; the model hears of it, and is not blamed."""
    workers = until(lambda: both(client.service))
    assert [client.value("Parent") for _ in range(4)] == [-signal.SIGKILL] * 4
    assert both(client.service) == workers
    assert client.about("Parent")["switched_off"] is False


def test_a_master_that_is_the_victim_is_replaced(client: Client) -> None:
    """As after any other death."""
    service = client.service
    [master] = service.masters()
    make_victim(master, service)
    with pytest.raises(requests.ConnectionError):
        client.post("Greedy")
    [died] = until(lambda: service.lines(message="the generation has died"))
    assert died["exit"] == -signal.SIGKILL
    until(lambda: len(service.masters()) == 1 and both(service), 30)
    assert client.value("Quick") == 1


def test_a_supervisor_that_is_the_victim_leaves_nobody_behind(tmp_path: Path) -> None:
    """Its generation ends by itself, and who starts the service again is served as before."""
    models = written(tmp_path)
    with limited(MEGABYTES) as within:
        with serving(tmp_path, models, within=within) as service:
            client = Client(service)
            family = psutil.Process(service.process.pid).children(recursive=True)
            make_victim(psutil.Process(service.process.pid), service)
            with pytest.raises(requests.ConnectionError):
                client.post("Greedy")
            assert service.process.wait(patient(30)) == -signal.SIGKILL
            until(lambda: not any(one.is_running() for one in family), 60)
        with serving(tmp_path, models, within=within) as service:
            assert Client(service).value("Quick") == 1
            assert service.stop() == 0

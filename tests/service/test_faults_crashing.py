"""Models that end their worker: the others are served, and soon as if nothing had been."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.load import load
from tests.fixtures.service import Service, answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

CRASHES = {
    "Exit3": ("import os; os._exit(3)", "exit code 3"),
    "Exit4": ("import os; os._exit(4)", "exit code 4"),
    "Exit0": ("import os; os._exit(0)", "exit code 0"),
    "Segfault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "Abort": ("import os; os.abort()", "SIGABRT"),
    "Overflow": (
        # By another name: a model that names it gets a process of its own at once.
        "import sys; vars(sys)['setrecursion' + 'limit'](10 ** 9)\n"
        "class A:\n    def __getattr__(self, name): return getattr(self, name)\nA().x",
        "SIGSEGV",
    ),
    "AsyncExit3": ("import os; os._exit(3)", "exit code 3"),
    "BatchExit3": ("import os; os._exit(3)", "exit code 3"),
}
EXIT = "import os; os._exit(3)"
SLOW = "import time; time.sleep(0.05)\nreturn {'value': 1}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("crashing")
    models = folder / "models"
    for name, (code, _) in CRASHES.items():
        text = model(code, kind="async def" if name.startswith("Async") else "def")
        write_model(
            models,
            name,
            text.replace("predict", "predict_batch") if name.startswith("Batch") else text,
        )
    write_model(models, "Innocent", model(SLOW))
    write_model(models, "Again", model("import os; os._exit(3)"))
    with serving(folder, models) as service:
        client = Client(service)
        yield client
        assert client.leaks() == []


def crash(client: Client, name: str) -> None:
    """Have a model end the process that calls it: in a worker the connection ends with it."""
    assert until(lambda: outcome(client, name)) in {"lost", 500, 502, 504}


def outcome(client: Client, name: str) -> int | str | None:
    """How a request ends that has the model crash; None while the model has no process."""
    try:
        status = client.post(name, {"crash": 1}).status_code
    except requests.ConnectionError:
        return "lost"
    return None if status == 503 else status


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_loses_its_own_request_and_in_the_end_the_model_is_moved(
    client: Client, name: str
) -> None:
    """Worker replaced, each time; after three crashes the model is to run elsewhere, and the log
    says why.
    """
    service = client.service
    for _ in range(3):
        workers = {worker.pid for worker in until(lambda: both(service))}
        crash(client, name)
        until(partial(others, service, workers), 10)
    [record] = until(lambda: service.lines(event="model_moved", model=name))
    assert record["level"] == "error"
    assert "ended 3 worker processes" in record["message"]
    metrics = client.get("/metrics").text
    assert f'modelsync_requests_total{{code="lost",model="{name}"}} 3.0' in metrics
    ends = [one for one in service.lines(event="worker_ended") if one["calling"] == [name]]
    assert [one["how"] for one in ends] == [CRASHES[name][1]] * 3
    assert f"models_serve/{name}/etls.py" in ends[0]["trace"]
    assert client.value("Innocent") == 1
    until(lambda: both(service))


def test_requests_that_were_beside_a_crash_are_counted_as_lost(tmp_path: Path) -> None:
    """As failures of their models, whether they were called by a model that crashes or killed by
    hand.
    """
    models = tmp_path / "models"
    write_model(models, "Bug", model("import os; os._exit(3)"))
    write_model(models, "Slow", model("import time; time.sleep(60)"))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service, ThreadPoolExecutor(8) as pool:
        client = Client(service)
        for killed in (False, True):
            calls = [pool.submit(client.post, "Slow") for _ in range(8)]
            until(lambda: 'in_flight{model="Slow"} 8.0' in client.get("/metrics").text)
            if killed:
                service.workers()[0].kill()
            else:
                crash(client, "Bug")
            assert all(isinstance(call.exception(), requests.ConnectionError) for call in calls)
        until(lambda: 'in_flight{model="Slow"} 0.0' in client.get("/metrics").text, 10)
        metrics = client.get("/metrics").text
        for name, count in (("Slow", 16), ("Bug", 1)):
            assert f'modelsync_requests_total{{code="lost",model="{name}"}} {count}.0' in metrics
            assert f'modelsync_request_failures_total{{model="{name}"}} {count}.0' in metrics
        assert service.stop() == 0


def test_a_worker_that_ends_as_it_should_loses_nothing(tmp_path: Path) -> None:
    """With calls under way, which it answers; what it does not answer in time is lost."""
    models = tmp_path / "models"
    write_model(
        models, "Slow", model("import time; time.sleep(variables['seconds'])\nreturn {'value': 1}")
    )
    write_model(models, "Other", answers(1))
    settings = {
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_DRAIN_TIMEOUT": setting(4),
        "MODELSYNC_PREDICT_TIMEOUT": setting(60),
    }
    with serving(tmp_path, models, env=settings) as service, ThreadPoolExecutor() as pool:
        client = Client(service)
        for version, seconds in ((2, patient(2)), (3, patient(50))):
            call = pool.submit(client.post, "Slow", {"seconds": seconds})
            until(lambda: 'in_flight{model="Slow"} 1.0' in client.get("/metrics").text)
            write_model(models, "Other", answers(version))
            service.sync()
            until(lambda: len(service.masters()) == 2, 30)
            service.swapped()
            if version == 2:
                assert call.result().json() == {"value": 1}
                assert 'code="lost"' not in client.get("/metrics").text
            else:
                assert isinstance(call.exception(), requests.ConnectionError)
        until(
            lambda: (
                'modelsync_requests_total{code="lost",model="Slow"} 1.0'
                in client.get("/metrics").text
            ),
            10,
        )
        assert service.stop() == 0


def only(service: Service) -> list[psutil.Process]:
    """The master, once there is one alone."""
    masters = service.masters()
    return masters if len(masters) == 1 else []


def serves_other(client: Client, version: int) -> bool:
    """Whether the model `Other` answers with its version."""
    return bool(client.value("Other") == version)


def others(service: Service, workers: set[int]) -> bool:
    """Whether there are two workers, and not these."""
    return {worker.pid for worker in both(service)} not in (workers, set())


def both(service: Service) -> list[psutil.Process]:
    """The workers, once there are two."""
    workers = service.workers()
    return workers if len(workers) == 2 else []


def test_an_innocent_model_that_is_always_called_meanwhile_stays_on(client: Client) -> None:
    """Which model it was is known from the crash itself; only requests of the crashed worker are
    lost.
    """
    with load(
        client.service.port, "/models/Innocent", b'{"variables": {}}', connections=8
    ) as tally:
        for _ in range(5):
            until(
                lambda: re.search(r'in_flight{model="Innocent"} [1-8]', client.get("/metrics").text)
            )
            try:
                if client.post("Again").status_code == 503:
                    break
            except requests.ConnectionError:
                pass
        else:
            raise AssertionError("Again is still on")
        answered = tally.answered
        until(lambda: tally.answered > answered + 100)
    assert client.about("Innocent")["switched_off"] is False
    assert len(tally.failures) <= 8 * 4


def crash_until_moved(client: Client, name: str) -> None:
    """Crash a model until it is to run elsewhere."""
    for _ in range(3):
        crash(client, name)
    until(lambda: client.service.lines(event="model_moved", model=name))


def test_a_model_that_crashes_everywhere_is_off_until_its_next_version(tmp_path: Path) -> None:
    """503 with Retry-After while it is moved and once it is off, in status, page and metrics;
    through swaps and dead masters.
    """
    models = tmp_path / "models"
    for name in ("First", "Bad"):
        write_model(
            models, name, model("if variables: import os; os._exit(3)\nreturn {'value': 1}")
        )
    write_model(models, "Other", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        client = Client(service)
        crash_until_moved(client, "First")
        until(lambda: client.value("First") == 1)
        crash_until_moved(client, "Bad")
        answer = client.post("Bad")
        if answer.status_code == 503:  # right after another: its move may have to wait
            assert answer.headers["Retry-After"] == "5"
            assert "moved to a process of its own" in answer.json()["detail"]
        assert client.value("Other") == 1
        until(lambda: client.value("Bad") == 1)
        until(lambda: switched_off(client, "Bad"), 40)
        assert_off(client, "Bad")
        write_model(models, "Other", answers(2))
        service.sync()
        until(lambda: client.value("Other") == 2, 30)
        assert_off(client, "Bad")
        [master] = until(lambda: only(service), 30)
        master.kill()
        until(lambda: [one for one in service.masters() if one.pid != master.pid], 20)
        until(lambda: client.value("Other") == 2)
        assert_off(client, "Bad")
        write_model(models, "Bad", answers("mended"))
        service.sync()
        until(lambda: client.post("Bad").json().get("value") == "mended", 30)
        assert service.stop() == 0


def switched_off(client: Client, name: str) -> bool:
    """Crash a model; whether it has been switched off by now."""
    outcome(client, name)
    return bool(client.service.lines(event="model_switched_off", model=name))


def assert_off(client: Client, name: str) -> None:
    """A model is switched off, wherever one looks."""
    answer = client.post(name)
    assert int(answer.headers["Retry-After"]) > 0
    assert "switched off until its next version" in answer.json()["detail"]
    about = client.about(name)
    assert (about["state"], about["switched_off"]) == ("switched_off", True)
    assert "push a new version" in about["reason"]
    assert client.get("/models/sync").json()["broken"][name] == about["reason"]
    assert f"/models/{name}'" not in client.get("/models/usage").text
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["not_ready"][name]) == (200, "switched_off")
    metrics = client.get("/metrics").text
    assert f'modelsync_model_switched_off{{model="{name}"}} 1.0' in metrics


def test_a_swap_between_crashes_does_not_make_them_forgotten(tmp_path: Path) -> None:
    """Three of one version are three, in however many generations."""
    models = tmp_path / "models"
    write_model(models, "Bad", model("import os; os._exit(3)"))
    write_model(models, "Other", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        client = Client(service)
        for version in (2, 3):
            crash(client, "Bad")
            write_model(models, "Other", answers(version))
            service.sync()
            until(partial(serves_other, client, version), 30)
        crash(client, "Bad")
        until(lambda: service.lines(event="model_moved", model="Bad"))
        assert service.stop() == 0


def test_a_signal_without_a_name_and_a_worker_without_a_release(tmp_path: Path) -> None:
    """Both deaths are a worker's alone: the master goes on."""
    models = tmp_path / "models"
    models.mkdir()
    with serving(tmp_path, models, ready=False) as service:
        [master] = until(service.masters)
        for worker in until(lambda: both(service)):
            worker.kill()
        until(lambda: len(service.lines(event="worker_ended")) == 2 and both(service))
        assert service.masters() == [master]
        write_model(models, "Odd", model("import ctypes; getattr(ctypes.CDLL(None), 'raise')(40)"))
        service.sync()
        until(service.ready)
        [master] = until(lambda: only(service))
        crash(Client(service), "Odd")
        [end] = until(lambda: service.lines(event="worker_ended", how="signal 40"))
        assert end["calling"] == ["Odd"]
        until(lambda: both(service))
        assert service.masters() == [master]

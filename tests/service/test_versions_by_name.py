"""Requests that name a version: by number, key or label; versions that do not serve are loaded for
them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import requests

from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.fixtures.versions import STORE_AWAY, Versions
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.training

TIMEOUT = 4
KEPT = 2
SIZE = 40_000_000

MODEL = """
class {name}:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self, key: str = ""):
        return {{"value": getattr(self.model, "value", self.model), "said": key}}
"""

HANGS = """
import time
class Hangs:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def start(self):
        if self.model == 2:
            time.sleep(1000)

    def transform_predict(self):
        return {"value": self.model}
"""

RUNNER = """
import multiprocessing
class Elsewhere:
    model = 0

    def __init__(self, path):
        multiprocessing.set_start_method("spawn", force=True)

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self, key: str = ""):
        return {"value": self.model, "said": key}
"""

NAMES = ("Named", "Elsewhere")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Versions]]:
    """A model in the workers and one in a runner, of whose six versions the fourth serves."""
    folder = tmp_path_factory.mktemp("named")
    versions = Versions(folder / "home")
    for name in NAMES:
        code = RUNNER if name == "Elsewhere" else MODEL.format(name=name)
        write_model(folder / "models", name, code)
        write_example(folder / "models" / name, {"key": ""})
        for number in range(1, 7):
            versions.store(name, number, number, key=f"run-{number}", call_seconds=1e-5)
    write_model(folder / "models", "Hangs", HANGS)
    versions.store("Hangs", 1, 1)
    versions.store("Hangs", 2, 2)
    write_model(folder / "models", "Plain", "class Plain:\n    def transform_predict(self):\n"
                "        return {'value': 'plain'}\n")  # fmt: skip
    versions.serve(Named=4, Elsewhere=4, Hangs=1)
    for name in NAMES:
        versions.label(name, "stable", 2)
    with serving(
        folder,
        folder / "models",
        env=STORE_AWAY,
        MODELSYNC_PREDICT_TIMEOUT=setting(TIMEOUT),
        MODELSYNC_VERSIONS_LOADED=str(KEPT),
    ) as service:
        yield service, versions


def ask(service: Service, name: str, **body: Any) -> requests.Response:
    return requests.post(
        f"{service.base}/{name}", json={"variables": {}, **body}, timeout=patient(30)
    )


def answered(answer: requests.Response) -> tuple[int, str]:
    """The value of an answer, and the number of the version that it names."""
    assert answer.status_code == 200, answer.text
    version = answer.headers["X-Modelsync-Model-Version"]
    return answer.json()["value"], version.partition("+")[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_request_names_its_version(running: tuple[Service, Versions], name: str) -> None:
    """By number, key or label; without one the current version answers."""
    service, _ = running
    assert answered(ask(service, name)) == (4, "4")
    for key, number in {"3": 3, "v3": 3, "run-5": 5, "stable": 2, "4": 4}.items():
        for _ in range(4):  # in both workers
            assert answered(ask(service, name, key=key)) == (number, str(number))
    assert answered(ask(service, name, model_key="run-6")) == (6, "6")
    assert answered(ask(service, name, key=1)) == (1, "1")
    assert answered(ask(service, name)) == (4, "4")


def test_a_variable_called_key_names_no_version(running: tuple[Service, Versions]) -> None:
    service, _ = running
    answer = ask(service, "Named", variables={"key": "3"})
    assert answer.json() == {"value": 4, "said": "3"}
    assert answered(ask(service, "Named", variables={"key": "3"}, key="2")) == (2, "2")
    assert ask(service, "Plain", key="3").json() == {"value": "plain"}


def test_an_unknown_version_is_a_404_that_names_those_there_are(
    running: tuple[Service, Versions],
) -> None:
    service, _ = running
    answer = ask(service, "Named", key="canary")
    assert answer.status_code == 404
    assert "no version 'canary': its versions are 1, 2, 3, 4, 5, 6" in answer.json()["detail"]
    assert "stable" in answer.json()["detail"]
    assert ask(service, "Named", key="99").status_code == 404
    assert ask(service, "Named", key="9" * 5000).status_code == 404  # Python converts 4300 digits
    [line] = [
        one
        for one in service.get("/metrics").text.splitlines()
        if one.startswith("modelsync_requests_total{") and '"404"' in one and '"Named"' in one
    ]
    assert float(line.split()[-1]) == 3.0


def test_a_large_body_names_its_version_too(running: tuple[Service, Versions]) -> None:
    service, _ = running
    padding = "x" * 300_000
    assert answered(ask(service, "Named", variables={"key": padding}, key="3")) == (3, "3")
    assert answered(ask(service, "Named", variables={"key": padding})) == (4, "4")


def test_a_version_that_hangs_while_it_is_loaded_keeps_nobody_waiting(
    running: tuple[Service, Versions],
) -> None:
    """Its own requests get a 504 in time; others, of the same model too, are answered meanwhile."""
    service, _ = running
    found: list[requests.Response] = []
    hanging = [
        threading.Thread(target=lambda: found.append(ask(service, "Hangs", key="2")))
        for _ in range(3)
    ]
    for thread in hanging:
        thread.start()
    with load(service.port, "/models/Named", b'{"variables": {}}', connections=4) as tally:
        for _ in range(10):
            assert answered(ask(service, "Hangs")) == (1, "1")
        for thread in hanging:
            thread.join(patient(30))
    assert tally.failures == []
    assert [one.status_code for one in found] == [504] * 3
    assert "version 2 of Hangs has not been loaded within" in found[0].json()["detail"]


def test_what_was_used_last_stays_in_memory_and_no_more(tmp_path: Path) -> None:
    """Versions of 40 MB each: asking for ten of them in turn needs the memory of a few."""
    versions = Versions(tmp_path / "home")
    write_model(tmp_path / "models", "Named", MODEL.format(name="Named"))
    write_example(tmp_path / "models" / "Named", {"key": ""})
    for number in range(1, 12):
        fitted = SimpleNamespace(value=number, held=bytes([number]) * SIZE)
        versions.store("Named", number, fitted)
    versions.serve(Named=11)
    with serving(
        tmp_path,
        tmp_path / "models",
        env=STORE_AWAY,
        MODELSYNC_WORKERS="1",
        MODELSYNC_VERSIONS_LOADED=str(KEPT),
    ) as service:
        for number in range(1, 11):
            assert answered(ask(service, "Named", key=str(number))) == (number, str(number))
        [worker] = service.workers()
        limit = (1 + KEPT + 1) * SIZE + 120e6
        until(lambda: psutil.Process(worker.pid).memory_info().rss < limit)

"""Ordinary models, all in one repository: each answers as in a script, from the first call to the
last, whatever the others do.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.fixtures.ordinary import Ordinary
from tests.fixtures.ordinary.calling import CALLING
from tests.fixtures.ordinary.forking import FORKING
from tests.fixtures.ordinary.holding import HOLDING
from tests.fixtures.ordinary.loading import LOADING
from tests.fixtures.ordinary.sharing import SHARING
from tests.fixtures.service import Service, answers, serving, write_example, write_model
from tests.waiting import until

pytestmark = [pytest.mark.isolation, pytest.mark.timeout(900)]

ALL = (*LOADING, *HOLDING, *FORKING, *CALLING, *SHARING)

CALLS = 12
"""Calls of each model, eight at a time: both workers, and several threads, answer some."""


def missing(model: Ordinary) -> list[str]:
    return [name for name in model.needs if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of two workers with all models that can be tried here."""
    folder = tmp_path_factory.mktemp("ordinary")
    models = folder / "models"
    for model in ALL:
        if not missing(model):
            write_model(models, model.name, model.code)
            if model.example:
                write_example(models / model.name, model.variables, model.response)
    write_model(models, "Plain", answers(1, "Plain"))
    with serving(folder, models, ready=False) as service:
        until(service.ready, 200)  # the check of so many models takes a minute, on a quiet machine
        yield service


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.name)
def test_a_model_answers_as_in_a_script(service: Service, model: Ordinary) -> None:
    """Each call has the right answer, from both workers and beside other calls."""
    if lacking := missing(model):
        pytest.skip(f"{', '.join(lacking)} is not installed")
    state = service.get(f"/models/{model.name}").json()
    assert state["state"] == "ready", state
    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(lambda _: service.post(model.name, model.variables), range(CALLS))
        )
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    if model.response is not None:
        assert [answer.json() for answer in answers] == [model.response] * CALLS
    assert service.post("Plain").json() == {"value": 1}


@pytest.mark.parametrize(
    "name",
    [
        "DictOfSelf",
        "GlobalDict",
        "HelperObject",
        "Closure",
        "HttpSession",
        "AsyncSelf",
        "Redirected",
    ],
)
def test_nobody_gets_the_answer_of_another(service: Service, name: str) -> None:
    """State that calls share is written by one call at a time (g10)."""
    with ThreadPoolExecutor(16) as clients:
        asked = [f"n{number}" for number in range(160)]
        found = list(clients.map(lambda one: service.post(name, {"name": one}).json(), asked))
    assert [answer["name"] for answer in found] == asked


def test_two_models_that_redirect_stdout(service: Service) -> None:
    """What a call changes for its whole process does not reach the calls of another model."""
    with ThreadPoolExecutor(16) as clients:
        asked = [("Redirected", "RedirectedToo")[number % 2] for number in range(160)]
        found = list(clients.map(lambda one: service.post(one, {"name": one}).json(), asked))
    assert [answer["name"] for answer in found] == asked


def test_a_model_that_listens_is_replaced_by_its_next_version(tmp_path: Path) -> None:
    """Two versions listen on one port while a push is rolled out, and no call fails."""
    code = """
import socket

class Listening:
    def __init__(self, path):
        self.server = socket.create_server(("127.0.0.1", 8793))

    def transform_predict(self):
        return {"version": VERSION}
"""
    models = tmp_path / "models"
    write_model(models, "Listening", code.replace("VERSION", "1"))
    with serving(tmp_path, models) as service:
        assert service.post("Listening").json() == {"version": 1}
        write_model(models, "Listening", code.replace("VERSION", "2"))
        service.sync()

        def new_version() -> bool:
            answer = service.post("Listening")
            assert answer.status_code == 200, answer.text
            return bool(answer.json() == {"version": 2})

        until(new_version, message="the next version does not serve")


def test_each_worker_has_its_own_random_numbers(tmp_path: Path) -> None:
    """A generator made when the model loads gives no number twice (g09)."""
    pytest.importorskip("numpy")
    code = """
import os, random
import numpy as np

class Rng:
    def __init__(self, path):
        self.rng = np.random.default_rng()

    def transform_predict(self, x: int = 0):
        return {
            "token": int(self.rng.integers(10**12)),
            "legacy": float(np.random.rand()),
            "py": random.random(),
        }
"""
    write_model(tmp_path / "models", "Rng", code)
    with serving(tmp_path, tmp_path / "models") as service:
        found = [service.post("Rng").json() for _ in range(60)]
        for name in ("token", "legacy", "py"):
            assert len({answer[name] for answer in found}) == len(found), name


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    """Whatever the models fork, spawn or leave: with the service all of it ends."""
    models = tmp_path / "models"
    for model in FORKING:
        if not missing(model):
            write_model(models, model.name, model.code)
            if model.example:
                write_example(models / model.name, model.variables, model.response)
    mark = str(tmp_path)
    with serving(tmp_path, models, ORDINARY_MARK=mark) as service:
        for model in FORKING:
            if not missing(model):
                assert service.post(model.name, model.variables).status_code == 200, model.name
        assert service.stop() == 0
    until(lambda: not processes_with("ORDINARY_MARK", mark), message="processes that are left")


def processes_with(variable: str, value: str) -> list[str]:
    """The command lines of the processes that inherited a variable of the environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(variable) == value:
                found.append(" ".join(process.cmdline()))
    return found

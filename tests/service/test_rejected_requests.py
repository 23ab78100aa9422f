"""Exceptions with which a model rejects a request: an answer of their status, wherever it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient, until

ALONE = """
class Invalid(Exception):
    status_code = 422

class {name}:
{init}
    {kind} transform_predict(self, x: float):
        if x < 0:
            raise Invalid("x must not be negative")
        return {{"y": x}}
"""

BATCH = """
class Gone(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.status = 410

class {name}:
    def transform_predict_batch(self, rows):
        return [{one} if row["x"] < 0 else {{"y": row["x"]}} for row in rows]

    def gone(self):
        raise Gone("no such row")
"""

KINDS = """
import sys, urllib.error, http
import requests, werkzeug.exceptions, flask

class Property(Exception):
    status_code = property(lambda self: 409)

class Missing(KeyError):
    code = http.HTTPStatus.NOT_FOUND

class Unusual(Exception):
    status_code = 499

class Server(Exception):
    status_code, code = 500, 404

class Text(Exception):
    status_code = "422"

class Sqlstate(Exception):
    code = "e3q8"

class Flag(Exception):
    status_code = True

class Low(Exception):
    status_code = 399

class Base(BaseException):
    status_code = 422

class Exits(Exception):
    status_code = property(lambda self: sys.exit(3))

class Mute(Exception):
    status_code = 422
    def __str__(self):
        sys.exit(4)

class Token(Exception):
    status_code = 401

class Kinds:
    def transform_predict(self, kind: str):
        if kind == "exit":
            sys.exit(404)
        if kind == "werkzeug":
            raise werkzeug.exceptions.NotFound("no such rate")
        if kind == "flask":
            flask.abort(403, description="not yours")
        if kind == "urllib":
            raise urllib.error.HTTPError("http://x", 404, "no", {}, None)
        if kind == "requests":
            answer = requests.Response()
            answer.status_code = 404
            answer.raise_for_status()
        raise globals()[kind]("said " + kind)
"""

SQLITE = "    def __init__(self):\n        import sqlite3; self.it = sqlite3.connect(':memory:')\n"
POOL = (
    "    def __init__(self):\n        import multiprocessing; self.it = multiprocessing.Pool(1)\n"
)
FIT = "    def fit(self, x, y):\n        return len(x)\n"

PLACES = {
    "Worker": ALONE.format(name="Worker", kind="def", init=""),
    "Coroutine": ALONE.format(name="Coroutine", kind="async def", init=""),
    "Thread": ALONE.format(name="Thread", kind="def", init=SQLITE),
    "Runner": ALONE.format(name="Runner", kind="def", init=POOL),
    "Trained": ALONE.format(name="Trained", kind="def", init=FIT),
    "Returned": BATCH.format(name="Returned", one="Gone('no such row')"),
    "Raised": BATCH.format(name="Raised", one="self.gone()"),
}
STATUSES = {name: 410 if "Gone" in code else 422 for name, code in PLACES.items()}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("rejected")
    models = root / "models_serve"
    for name, code in PLACES.items():
        write_example(write_model(models, name, code), {"x": 1})
    write_model(models, "Kinds", KINDS)
    with serving(root, models) as service:
        yield service


def place_of(service: Service, name: str) -> str:
    found: str = service.get(f"/models/{name}").json()["placement"]["place"]
    return found


@pytest.mark.parametrize("name", PLACES)
def test_a_request_is_rejected_wherever_the_model_runs(service: Service, name: str) -> None:
    """The answer has the status and the message, and is no failure of the model."""
    failures = metric(service, "modelsync_request_failures_total", name)
    rejected = metric(service, "modelsync_requests_total", name, str(STATUSES[name]))
    answer = service.post(name, {"x": -1})
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (STATUSES[name], STATUSES[name]), problem
    assert problem["detail"] in ("x must not be negative", "no such row")
    assert problem["error"] in ("Invalid", "Gone")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert metric(service, "modelsync_request_failures_total", name) == failures
    counted = metric(service, "modelsync_requests_total", name, str(STATUSES[name]))
    assert counted == rejected + 1
    assert service.post(name, {"x": 2}).json() == {"y": 2}
    [line] = until(lambda: service.lines(request_id=problem["request_id"], model=name))[:1]
    assert line["level"] == "info"


def metric(service: Service, name: str, model: str, code: str = "") -> float:
    """The value of a metric of a model, 0 where it has not been counted yet."""
    label = f'code="{code}",' if code else ""
    start = f'{name}{{{label}model="{model}"}} '
    lines = service.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)), 0.0)


def test_the_models_run_in_different_places(service: Service) -> None:
    places = {name: place_of(service, name) for name in ("Worker", "Thread", "Runner")}
    assert places == {"Worker": "worker", "Thread": "thread", "Runner": "runner"}


def test_a_query_and_all_are_rejected_too(service: Service) -> None:
    """`GET .../predict` has the same status; `/all` names it under the model that rejects."""
    answer = service.get("/models/Worker/predict?x=-1")
    assert (answer.status_code, answer.json()["detail"]) == (422, "x must not be negative")
    found = service.post("all?models=Worker,Raised,Runner", {"x": -1}).json()
    assert {name: one["status"] for name, one in found.items()} == {
        "Worker": 422,
        "Raised": 410,
        "Runner": 422,
    }


def test_one_of_many_that_arrive_together_is_rejected_alone(service: Service) -> None:
    """Requests of one turn share a call of the model; each has its own answer."""
    with requests.Session() as session:
        for name in ("Returned", "Raised", "Worker"):
            rows = [session.post(f"{service.base}/{name}", json=body(x)) for x in (1, -1, 2, -2)]
            assert [one.status_code for one in rows] == [200, STATUSES[name]] * 2


def body(x: float) -> dict[str, Any]:
    return {"variables": {"x": x}}


@pytest.mark.parametrize(
    ("kind", "status", "detail"),
    [
        ("Property", 409, "said Property"),
        ("Missing", 404, "said Missing"),
        ("Unusual", 499, "said Unusual"),
        ("werkzeug", 404, "no such rate"),
        ("flask", 403, "not yours"),
        ("Mute", 422, "(its message cannot be shown)"),
        ("Server", 500, "Server: said Server"),
        ("Text", 500, "Text: said Text"),
        ("Sqlstate", 500, "Sqlstate: said Sqlstate"),
        ("Flag", 500, "Flag: said Flag"),
        ("Low", 500, "Low: said Low"),
        ("Base", 500, "Base: said Base"),
        ("Exits", 500, "SystemExit: 3"),
        ("exit", 500, "SystemExit: 404"),
        ("urllib", 500, "HTTPError: HTTP Error 404: no"),
        ("requests", 500, "HTTPError: 404 Client Error: None for url: None"),
    ],
)
def test_what_rejects_a_request(service: Service, kind: str, status: int, detail: str) -> None:
    """The model's own status from 400 to 499 does, also that of a framework; the answer of another
    server that the model has asked does not.
    """
    answer = service.post("Kinds", {"kind": kind})
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_a_rejection_for_want_of_a_token_says_how_to_log_in(service: Service) -> None:
    """RFC 9110 section 15.5.2: a 401 has the field WWW-Authenticate."""
    answer = service.post("Kinds", {"kind": "Token"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_fitted_version_rejects_requests(tmp_path: Path) -> None:
    models = tmp_path / "models_serve"
    write_model(models, "Trained", PLACES["Trained"])
    with serving(tmp_path, models, MODELSYNC_TRAIN_TOKENS="secret") as service:
        fitted = requests.put(
            f"{service.base}/Trained",
            json={"x": [[1], [2]], "y": [1, 2]},
            headers={"Authorization": "Bearer secret", "Prefer": "wait=60"},
            timeout=patient(90),
        )
        assert fitted.json()["done"], fitted.text
        until(lambda: service.post("Trained", {"x": 1}).status_code == 200)
        for path in ("Trained", "Trained/versions/1"):
            answer = service.post(path, {"x": -1})
            assert (answer.status_code, answer.json()["error"]) == (422, "Invalid"), json.dumps(
                path
            )

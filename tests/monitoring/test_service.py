"""Samples, drift and feedback of a running service, as its clients and operators see them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests

from modelsync.settings.secret import Secret
from modelsync.store.catalog import Catalog
from modelsync.store.database import Database
from tests.fixtures.service import Service, serving, write_model
from tests.waiting import patient, until

LINE = """
from sklearn.linear_model import LogisticRegression

class Line:
    def fit(self, x, y):
        return LogisticRegression().fit(x, y)

    def train(self):
        return self.fit([[1.0, 1.0], [2.0, 2.0]], [0, 1])
"""

PLACES = {
    "Worker": "",
    "Thread": "import threading\nlocal = threading.local()\nlocal.value = 1\n",
    "Runner": "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)\n",
}

ECHO = """
class {name}:
    def transform_predict(self, a: float, secret: str = ""):
        return {{"prediction": 2 * a, "secret": secret}}
"""

BATCHED = """
class Batched:
    def transform_predict_batch(self, rows: list[dict]):
        return [{"label": "high" if row["a"] > 1 else "low"} for row in rows]
"""

TOKEN = {"Authorization": "Bearer train-token"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Models in all places, all of whose requests are sampled."""
    folder = tmp_path_factory.mktemp("service")
    models = folder / "models"
    write_model(models, "Line", LINE)
    write_model(models, "Batched", BATCHED)
    write_model(models, "Told", ECHO.format(name="Told"))
    for name, first in PLACES.items():
        write_model(models, name, first + ECHO.format(name=name))
    with serving(
        folder,
        models,
        MODELSYNC_SAMPLE_RATE="1",
        MODELSYNC_SAMPLE_MASK="secret",
        MODELSYNC_TRAIN_TOKENS="train-token",
        MODELSYNC_DRIFT_TRAIN="0.25",
    ) as running:
        yield running


def rows(service: Service, model: str) -> list[dict[str, Any]]:
    files = (service.home / "samples" / "parquet" / model).rglob("*.parquet")
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def identities(service: Service, model: str) -> list[str]:
    """The ids of the requests that were sampled, sorted."""
    return sorted(row["modelsync_request_id"] for row in rows(service, model))


def drift(service: Service, model: str) -> dict[str, Any]:
    """The figures of a model; empty until there are some, which come after the samples' files."""
    found: dict[str, Any] = service.get(f"/models/{model}").json()["drift"] or {}
    return found


def feedback(service: Service, model: str, body: Any, **options: Any) -> requests.Response:
    url = f"{service.base}/{model}/feedback"
    return requests.post(url, json=body, timeout=patient(30), **options)


def gauss(shift: float, count: int) -> dict[str, list[float]]:
    made = random.Random(3)
    return {name: [made.gauss(shift, 1) for _ in range(count)] for name in "ab"}


def test_every_request_is_sampled_once_wherever_its_model_runs(service: Service) -> None:
    """In the loop, a batch, a thread, a runner; by POST, GET, to all; with the client's id."""
    names = [*PLACES, "Batched"]
    sent: dict[str, set[str]] = {name: set() for name in names}
    for number in range(4):  # the head of the later ones is cached
        for name in names:
            identity = f"{name}-{number}"
            service.post(
                name, {"a": number, "secret": "s3cr3t-w0rd"}, headers={"X-Request-ID": identity}
            ).raise_for_status()
            sent[name].add(identity)
    for name in names:
        answer = service.get(f"/models/{name}/predict?a=3")
        sent[name].add(answer.headers["X-Request-ID"])
    answer = service.post("all?models=" + ",".join(names), {"a": 1, "secret": "s3cr3t-w0rd"})
    for name in names:
        sent[name].add(answer.headers["X-Request-ID"])
    until(lambda: all(drift(service, name).get("collected", 0) >= 6 for name in names), 60)
    for name in names:
        assert identities(service, name) == sorted(sent[name])
        assert all("secret" not in row for row in rows(service, name))
    assert b"s3cr3t-w0rd" not in b"".join(
        file.read_bytes() for file in service.home.rglob("*") if file.is_file()
    )
    assert drift(service, "Batched")["note"]


def test_drift_and_live_accuracy_of_a_version(service: Service) -> None:
    """From the fit over predictions and their truth to the figures, and the run that they start."""
    x = gauss(0, 500)
    y = [int(a + b > 0) for a, b in zip(x["a"], x["b"], strict=True)]
    done = requests.put(
        f"{service.base}/Line",
        json={"x": x, "y": y},
        headers={**TOKEN, "Prefer": "wait=60"},
        timeout=patient(90),
    )
    assert done.json()["metadata"]["state"] == "done", done.text
    ids = []
    for _ in range(4):
        answer = requests.post(f"{service.base}/Line", json={"data": gauss(2, 250)}, timeout=30)
        assert answer.status_code == 200, answer.text
        ids.append((answer.headers["X-Request-ID"], answer.json()["predict"]))
    right = [{"request_id": identity, "truth": found} for identity, found in ids[:3]]
    assert feedback(service, "Line", {"feedback": right}).json()["accepted"] == 3
    wrong = {"request_id": ids[3][0], "truth": [1 - one for one in ids[3][1]]}
    assert feedback(service, "Line", wrong).status_code == 200
    found = until(lambda: (one := drift(service, "Line")).get("compared") == 4 and one, 60)
    assert found["version"] == 1
    assert found["live_accuracy"] == 0.75
    assert found["live_error"] is None
    assert found["columns"]["a"]["psi"] > 0.25
    assert found["columns"]["b"]["ks"] > 0.4
    assert found["target"]["y"]["psi"] > 0.25
    metrics = service.get("/metrics").text
    assert 'modelsync_drift_psi{column="a",model="Line"}' in metrics
    assert 'modelsync_drift_ks{column="b",model="Line"}' in metrics
    assert 'modelsync_live_accuracy{model="Line"} 0.75' in metrics
    assert 'modelsync_samples_total{model="Line"} 4.0' in metrics
    catalog = Catalog(Database(Secret(""), service.home))
    (run,) = until(lambda: catalog.runs("Line"), 30)
    assert run.trigger == "drift"
    until(lambda: service.lines(event="drift", model="Line"))  # told after the run is asked for
    catalog.database.close()


def test_feedback_is_told_at_once_whether_it_matches(service: Service) -> None:
    """What is not sampled, or not yet, is accepted all the same."""
    assert feedback(service, "Told", {"request_id": "unknown", "truth": 1}).json() == {
        "accepted": 1,
        "matched": 0,
    }
    service.post("Told", {"a": 1}, headers={"X-Request-ID": "told"}).raise_for_status()
    told = {"request_id": "told", "truth": 2.5}
    until(lambda: feedback(service, "Told", [told]).json()["matched"] == 1, 60)
    found = until(lambda: (one := drift(service, "Told")).get("compared") and one, 60)
    assert (found["version"], found["live_error"]) == (None, 0.5)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 200, "accepted"),
        (b"7", 422, "request_id"),
        (b"[7]", 422, "request_id"),
        (b"{}", 422, "request_id"),
        (b'{"request_id": "a", "truth": null}', 422, "truth"),
        (b'{"request_id": "a b", "truth": 1}', 422, "X-Request-ID"),
        (b'{"request_id": 5, "truth": 1}', 422, "'5'"),
        (b'{"feedback": {"request_id": "a", "truth": 1}}', 200, "accepted"),
        (b'{"feedback": [{"request_id": "a", "truth": 1}, {"truth": 1}]}', 422, "feedback.1"),
        (b'{"request_id": "a", "truth": "%s"}' % (b"x" * 20_000), 422, "10000"),
        (b"[%s]" % b",".join([b'{"request_id":"a","truth":1}'] * 10_001), 422, "10001"),
    ],
)
def test_feedback_that_cannot_be_used(
    service: Service, body: bytes, status: int, said: str
) -> None:
    """Each is told what was expected."""
    answer = requests.post(
        f"{service.base}/Line/feedback",
        body,
        headers={"Content-Type": "application/json"},
        timeout=patient(30),
    )
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_feedback_for_no_model_and_of_no_json(service: Service) -> None:
    """404 with similar names; 415; 405 says what is allowed."""
    assert feedback(service, "Lin", {}).status_code == 404
    url = f"{service.base}/Line/feedback"
    assert requests.post(url, data="a=1", timeout=patient(30)).status_code in (415, 422)
    assert requests.get(url, timeout=patient(30)).headers["Allow"]


def test_samples_of_a_folder_for_parquet_can_be_read_by_others(service: Service) -> None:
    """All files of a model are one table for pandas, DuckDB and the like."""
    pandas = pytest.importorskip("pandas")
    service.post("Told", {"a": 1}).raise_for_status()
    until(lambda: rows(service, "Told"), 60)
    frame = pandas.read_parquet(Path(service.home, "samples", "parquet", "Told"))
    assert {"a", "modelsync_prediction", "modelsync_request_id"} <= set(frame.columns)

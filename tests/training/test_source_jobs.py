"""Fitting with a source through the real service: examined at once, read by the job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fixtures.service import Service, serving, write_model
from tests.waiting import until

pytestmark = pytest.mark.training

LOGIN = {"Authorization": "Bearer trains"}

COUNTER = """
class Counter:
    def fit(self, x, y, **params):
        return {"rows": len(x), "sum": int(x["n"].sum()), "columns": list(x.columns)}
    def update(self, x, y):
        self.model["rows"] += len(x)
        self.model["sum"] += int(x["n"].sum())
        return self.model
    def predict(self, x):
        return [self.model["rows"]] * len(x)
    def transform_predict(self):
        return self.model
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("sources")
    data = folder / "data"
    data.mkdir()
    (data / "a.csv").write_text("n,kind,y\n" + "".join(f"{n},k,{n % 2}\n" for n in range(300_000)))
    (data / "gap.csv").write_text("n,y\n1,2\n3,\n")
    model = write_model(folder / "models", "Counter", COUNTER)
    (model / "own.csv").write_text("n,y\n1,0\n2,1\n")
    env = {"MODELSYNC_DATA": str(data), "MODELSYNC_TRAIN_TOKENS": "trains"}
    with serving(folder, folder / "models", env=env) as running:
        yield running


def put(service: Service, **body: Any) -> requests.Response:
    return requests.put(f"{service.base}/Counter", json=body, headers=LOGIN, timeout=60)


def ended(service: Service, answer: requests.Response) -> dict[str, Any]:
    """The job that a fit was answered with, at its end."""
    assert answer.status_code == 202, answer.text
    url = service.url + answer.headers["Location"].removeprefix(service.url)

    def done() -> dict[str, Any] | None:
        found: dict[str, Any] = requests.get(url, headers=LOGIN, timeout=60).json()
        return found if found["done"] else None

    return until(done, 60)


def test_a_source_is_read_by_the_job(service: Service) -> None:
    job = ended(service, put(service, source="a.csv", target="y"))
    assert "error" not in job, job
    assert job["metadata"]["rows"] == 300_000
    until(lambda: service.post("Counter").status_code == 200)
    answer = service.post("Counter").json()
    assert answer["rows"] == 300_000
    assert answer["sum"] == sum(range(300_000))
    assert answer["columns"] == ["n", "kind"]


def test_a_file_of_the_folder_is_a_source(service: Service) -> None:
    job = ended(service, put(service, source="*.csv", target="y", name="own"))
    assert job["metadata"]["rows"] == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"source": "a.csv", "target": "z"}, "it has n, kind, y"),
        ({"source": "none/*.parquet", "target": "y"}, "there is no file none/*.parquet"),
        ({"source": "../secrets.csv", "target": "y"}, "expected a path within"),
        ({"source": "SELECT 1", "target": "y"}, "MODELSYNC_DATA_URL"),
        ({"source": 5, "target": "y"}, "source"),
        ({"source": "a.csv", "target": "y", "columns": ["nn"]}, "no column 'nn'"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_at_once(
    service: Service, body: dict[str, Any], says: str
) -> None:
    answer = put(service, **body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_what_only_reading_shows_fails_the_job(service: Service) -> None:
    job = ended(service, put(service, source="gap.csv", target="y"))
    assert "no value in row 2 of gap.csv" in str(job["error"])

"""Data that breaks the model's schema.yml never trains: the job, or the request, says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fixtures.service import Service, serving, write_model
from tests.waiting import until

pytestmark = pytest.mark.training

LOGIN = {"Authorization": "Bearer trains"}

ETLS = """
class Ages:
    def __init__(self):
        self.known = list(self.schema)

    def fit(self, x, y):
        print("fitting", flush=True)
        return {
            "types": {name: str(kind) for name, kind in x.dtypes.items()},
            "x": x.astype(str).values.tolist(),
            "y": [str(one) for one in y],
            "known": self.known,
            "target": self.schema["bought"]["target"],
        }

    def predict(self, x):
        return [0] * len(x)

    def transform_predict(self, age: float = 0, zip: str = ""):
        return self.model
"""

SCHEMA = """
zip: {type: str, pattern: '[0-9]{5}'}
age: {type: float, na_value: 0, min: 0, max: 120}
bought: {type: bool, target: true}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("schema")
    model = write_model(folder / "models", "Ages", ETLS)
    (model / "schema.yml").write_text(SCHEMA)
    (model / "good.csv").write_text("bought,age,extra,zip\nyes,30,a,01234\nno,,b,12345\n")
    (model / "bad.csv").write_text("bought,age,zip\nyes,-1,01234\nno,30,123\nmaybe,1,12345\n")
    (model / "lacks.csv").write_text("bought,Age_,zip\nyes,1,01234\n")
    with serving(folder, folder / "models", env={"MODELSYNC_TRAIN_TOKENS": "trains"}) as running:
        yield running


def put(service: Service, **body: Any) -> requests.Response:
    return requests.put(f"{service.base}/Ages", json=body, headers=LOGIN, timeout=60)


def ended(service: Service, answer: requests.Response) -> dict[str, Any]:
    """The job that a fit was answered with, at its end."""
    assert answer.status_code == 202, answer.text
    url = service.url + answer.headers["Location"].removeprefix(service.url)

    def done() -> dict[str, Any] | None:
        found: dict[str, Any] = requests.get(url, headers=LOGIN, timeout=60).json()
        return found if found["done"] else None

    return until(done, 120)


def fitted(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    """What the version that a job has made was fitted with."""
    assert "error" not in job, job
    version = job["metadata"]["version"]

    def answer() -> dict[str, Any] | None:
        body = {"variables": {"age": 1, "zip": "01234"}}
        got = requests.post(f"{service.base}/Ages/versions/{version}", json=body, timeout=60)
        found: dict[str, Any] = got.json()
        return found if got.status_code == 200 else None

    return until(answer, 60)


def test_a_source_comes_in_the_types_of_the_schema(service: Service) -> None:
    """Only its columns, in its order, filled; zip codes keep their zeros, the target is known."""
    found = fitted(service, ended(service, put(service, source="good.csv")))
    assert found["x"] == [["01234", "30.0"], ["12345", "0.0"]]
    assert found["y"] == ["True", "False"]
    assert (found["known"], found["target"]) == (["zip", "age", "bought"], True)


def test_a_body_comes_in_the_types_of_the_schema(service: Service) -> None:
    """As a source does: with y beside x, or as its column."""
    x = {"age": ["30", None], "zip": ["01234", "12345"], "extra": [1, 2]}
    for body in ({"x": x, "y": [1, "no"]}, {"x": {**x, "bought": [1, 0]}}):
        found = fitted(service, ended(service, put(service, **body)))
        assert (found["x"], found["y"]) == (
            [["01234", "30.0"], ["12345", "0.0"]],
            ["True", "False"],
        )


def test_a_source_that_breaks_the_schema_never_trains(service: Service) -> None:
    """The job fails before the model's code runs, with the report and a readable log."""
    job = ended(service, put(service, source="bad.csv"))
    error = job["error"]
    assert (job["metadata"]["state"], error["stage"], error["kind"]) == (
        "failed",
        "data",
        "DataRefused",
    )
    assert "age: min: expected at least 0.0; 1 row does not fit, it is row 0" in error["message"]
    report = error["report"]
    assert report["rows"] == 3
    found = {(one["column"], one["rule"]): one["examples"] for one in report["violations"]}
    assert found == {
        ("zip", "pattern"): [[1, "123"]],
        ("age", "min"): [[0, -1.0]],
        ("bought", "type"): [[2, "maybe"]],
    }
    log = requests.get(service.url + job["metadata"]["log"], headers=LOGIN, timeout=60).text
    assert "bad.csv: 3 rows, 3 rules of schema.yml broken" in log
    assert "fitting" not in log


def test_a_column_that_is_missing_is_in_the_report(service: Service) -> None:
    """A table that changed its columns is a failed check, not a failed fit."""
    error = ended(service, put(service, source="lacks.csv"))["error"]
    [missing] = error["report"]["violations"]
    assert (missing["column"], missing["rule"]) == ("age", "missing")
    assert "is Age_ meant?" in missing["expected"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"x": {"age": [200], "zip": ["01234"]}, "y": [1]}, "x.age"),
        ({"x": {"age": [20], "zip": [1234]}, "y": [1]}, "x.zip"),
        ({"x": {"age": [20], "zip": ["01234"]}, "y": ["maybe"]}, "y.bought"),
        ({"x": {"age": [20]}, "y": [1]}, "x.zip"),
    ],
)
def test_a_small_body_is_refused_at_once(service: Service, body: dict[str, Any], says: str) -> None:
    """No job is made: the answer names the column."""
    answer = put(service, **body)
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_a_large_body_is_checked_by_the_job(service: Service) -> None:
    """Its report counts the rows, as that of a source does."""
    ages = [1.0] * 200_000 + [-5.0]
    answer = put(service, x={"age": ages, "zip": ["01234"] * len(ages)}, y=[1] * len(ages))
    error = ended(service, answer)["error"]
    [broken] = error["report"]["violations"]
    assert (broken["rule"], broken["count"], broken["examples"]) == ("min", 1, [[200_000, -5.0]])

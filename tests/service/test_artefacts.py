"""Ready-made artefacts served: what they tell of themselves, tables, and their files."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import pandas as pd
import pytest
import requests
import skops.io
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.fixtures.service import Service, serving
from tests.models.fitted import FRAME, LABELS
from tests.models.test_artefact_tables import PEOPLE, columns, fitted, mapper
from tests.waiting import patient


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return fitted(mapper())


@pytest.fixture(scope="module")
def alone(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as users of model-serving know it: one folder `model`, and no base URL."""
    folder = tmp_path_factory.mktemp("alone")
    model = folder / "models_serve" / "model"
    model.mkdir(parents=True)
    (model / "pipeline.pkl").write_bytes(cloudpickle.dumps(pipeline))
    settings = {"baseUrl": "", "MODELSYNC_WORKERS": "1", "MODELSYNC_MAX_BODY": "200KiB"}
    with serving(folder, model.parent, env=settings) as service:
        yield service


def post(service: Service, path: str, body: Any, **options: Any) -> requests.Response:
    """POST any JSON to a path of the server."""
    return requests.post(f"{service.url}{path}", json=body, timeout=patient(60), **options)


def test_it_tells_what_it_expects(alone: Service, pipeline: Pipeline) -> None:
    """`GET /model`: the features, the type, the steps, and when the file came."""
    about = alone.get("/model").json()
    assert sorted(about["args"]) == ["age", "class", "embarked", "sex"]
    assert about["model"] == "LogisticRegression"
    assert about["steps"] == ["Columns", "Classifier"]
    age = datetime.now(UTC) - datetime.fromisoformat(about["uploaded"])
    assert timedelta(seconds=-1) <= age < timedelta(hours=1)
    assert (about["state"], about["artefact"]) == ("ready", "pipeline.pkl")


def test_its_file_is_downloaded(alone: Service, pipeline: Pipeline) -> None:
    """`GET /model/download`: the very file, with its digest and version."""
    answer = alone.get("/model/download")
    [file] = (alone.home / "current").rglob("pipeline.pkl")
    assert answer.content == file.read_bytes()
    loaded = cloudpickle.loads(answer.content)
    assert (loaded.predict(PEOPLE) == pipeline.predict(PEOPLE)).all()
    headers = answer.headers
    assert headers["Content-Disposition"] == "attachment; filename=pipeline.pkl"
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert headers["X-Modelsync-Model-Version"] == alone.get("/model").json()["version"]
    again = alone.get("/model/download", headers={"If-None-Match": headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("rows", [1, 1000])
def test_a_table_is_predicted(alone: Service, pipeline: Pipeline, rows: int) -> None:
    """`POST /model/predict` answers lists, as scikit-learn does; other columns are ignored."""
    people = pd.concat([PEOPLE, PEOPLE])[:rows]
    answer = post(alone, "/model/predict", {"data": columns(people)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predict"] == pipeline.predict(people).tolist()
    assert answer.json()["predict_proba"] == pytest.approx(pipeline.predict_proba(people))
    assert post(alone, "/model", {"data": columns(people)}).json() == answer.json()


def test_variables_go_on(alone: Service, pipeline: Pipeline) -> None:
    """`{"variables": ...}` is one row, on both paths."""
    variables = {"sex": "female", "age": None, "class": 1, "embarked": "C"}
    answer = post(alone, "/model/predict", {"variables": variables}).json()
    assert answer["prediction"] == pipeline.predict(pd.DataFrame([variables]))[0]
    assert post(alone, "/model", {"variables": variables}).json() == answer
    query = "/model/predict?sex=female&age=null&class=1&embarked=C"
    assert alone.get(query).json() == answer


def test_what_does_not_fit_is_named(alone: Service) -> None:
    """422 for columns that are missing, ragged or of another type; 400, 413 and 415 as ever."""
    row = columns(PEOPLE[:1])
    for data, fields in [
        ({name: row[name] for name in ("age", "class")}, ["sex", "embarked"]),
        ({**row, "age": ["old"]}, ["age"]),
        ({**row, "age": [1, 2]}, ["data"]),
        ({**row, "age": 22}, ["data.age"]),
    ]:
        answer = post(alone, "/model/predict", {"data": data})
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == fields
    assert post(alone, "/model/predict", {}).status_code == 400
    assert post(alone, "/model/predict", {"data": {"age": [1] * 100_000}}).status_code == 413
    answer = requests.post(f"{alone.url}/model/predict", data="age=1", timeout=patient(60))
    assert answer.status_code == 415


def test_usage_lists_the_calls(alone: Service) -> None:
    """`GET /usage` has a line for each call of the model."""
    text = alone.get("/usage").text
    for line in ("/model ", "/model/predict ", "/model/download"):
        assert f"{alone.url}{line}" in text, text
    assert '{"data":{"sex":[' in text


# --- formats, places, company ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Models of each format, each in a process of its own."""
    folder = tmp_path_factory.mktemp("isolated")
    models = folder / "models_serve"
    for name in ("Joblib", "Skops", "Graph"):
        (models / name).mkdir(parents=True)
    bayes = GaussianNB().fit(FRAME, LABELS)
    joblib.dump(bayes, models / "Joblib" / "bayes.joblib")
    skops.io.dump(bayes, models / "Skops" / "bayes.skops")
    numbers = FRAME.to_numpy("float32")
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, LABELS)
    (models / "Graph" / "model.onnx").write_bytes(to_onnx(scaled, numbers[:1]).SerializeToString())
    with serving(folder, models, MODELSYNC_ISOLATION="model", MODELSYNC_WORKERS="1") as service:
        yield service


@pytest.mark.parametrize(
    ("name", "features", "kind"),
    [
        ("Joblib", ["a", "b", "c d"], "GaussianNB"),
        ("Skops", ["a", "b", "c d"], "GaussianNB"),
        ("Graph", ["0", "1", "2"], "ONNX graph"),
    ],
)
def test_each_format_answers_tables_from_its_own_process(
    isolated: Service, name: str, features: list[str], kind: str
) -> None:
    """What a model tells of itself crosses to the workers, and so do tables."""
    about = isolated.get(f"/models/{name}").json()
    assert (about["args"], about["model"], about["steps"]) == (features, kind, [])
    assert about["placement"]["place"] == "runner"
    answer = post(isolated, f"/models/{name}/predict", {"data": columns(FRAME[:50])})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predict"]) == 50
    assert answer.json()["predict"][0] in ("yes", "no")
    assert [len(row) for row in answer.json()["predict_proba"]] == [2] * 50
    rows = FRAME[:3].to_numpy().tolist()
    first = post(isolated, f"/models/{name}", {"data": rows}).json()["predictions"]
    assert first == answer.json()["predict"][:3]
    wrong = post(isolated, f"/models/{name}", {"data": [[1, 2]]})
    assert wrong.status_code == 422
    assert "expected 3 values" in wrong.json()["detail"]
    assert isolated.get(f"/models/{name}/download").status_code == 200


def test_tables_and_single_rows_arrive_together(alone: Service, pipeline: Pipeline) -> None:
    """A batch of single rows is not spoilt by a table among them, nor by one that is wrong."""
    people = PEOPLE[:30].drop(columns="survived")
    expected = pipeline.predict(people).tolist()
    bodies: list[Any] = [{"variables": row} for row in json.loads(people.to_json(orient="records"))]
    bodies[10] = {"data": columns(people)}
    bodies[20] = {"data": {"sex": ["male"]}}
    with ThreadPoolExecutor(30) as clients:
        answers = list(clients.map(lambda body: post(alone, "/model", body), bodies))
    for number, answer in enumerate(answers):
        if number == 10:
            assert answer.json()["predict"] == expected
        elif number == 20:
            assert answer.status_code == 422
        else:
            assert answer.json()["prediction"] == expected[number]


def test_the_example_is_served(tmp_path: Path) -> None:
    """The example `Pipeline` answers tables."""
    models = tmp_path / "models_serve"
    source = Path(__file__).parents[2] / "models_serve" / "Pipeline"
    shutil.copytree(source, models / "Pipeline")
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        answer = post(service, "/models/Pipeline/predict", {"data": columns(PEOPLE)})
        right = [
            (one == "yes") == bool(survived)
            for one, survived in zip(answer.json()["predict"], PEOPLE["survived"], strict=True)
        ]
        assert sum(right) / len(right) > 0.75

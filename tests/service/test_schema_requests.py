"""Requests for models whose folders hold a `schema.yml`: typed, filled in, refused by column."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from sklearn.linear_model import LogisticRegression

from tests.fixtures.service import Service, serving, write_model
from tests.trained.client import TRAIN, Client
from tests.waiting import patient

SCHEMA = """
survived: {type: int, allowed: [0, 1], target: true}
class: {type: int, min: 1, max: 3, description: "first, second or third"}
sex: {type: str, allowed: [female, male], encoding: OneHotEncoder}
age: {type: float, min: 0, max: 120, na_value: 0}
embarked: {type: category, allowed: [C, Q, S], nullable: true}
"""

VISIT = """
day: {type: date, format: "%d.%m.%Y", min: 2000-01-01}
at: {type: time, nullable: true}
seen: {type: datetime, nullable: true}
member: {type: bool, na_value: false}
code: {type: str, pattern: "[A-Z]{2}[0-9]+", na_value: AA0}
note: {type: str}
"""

ECHO = """
class {name}:
    def transform_predict(self, variables):
        \"\"\"Gives back what it got.\"\"\"
        types = {{name: type(value).__name__ for name, value in variables.items()}}
        return {{"got": variables, "types": types}}
"""

IN_THREAD = """
import sqlite3

class InThread:
    def __init__(self):
        self.base = sqlite3.connect(":memory:")

    def transform_predict(self, **row):
        self.base.execute("select 1")
        return {"got": row}
"""

IN_RUNNER = """
import locale

class InRunner:
    def __init__(self):
        locale.setlocale(locale.LC_ALL, "C.UTF-8")

    async def transform_predict(self, class_: int, sex: str, age: float, embarked=None):
        return {"got": {"class": class_, "sex": sex, "age": age, "embarked": embarked}}
"""

BATCHED = """
class Batched:
    def transform_predict_batch(self, rows: list):
        return [{"got": row} for row in rows]
"""

TRAINED = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder

class Trained:
    def fit(self, x: pd.DataFrame, y):
        encoder = OneHotEncoder(handle_unknown="ignore")
        columns = make_column_transformer((encoder, ["sex", "embarked"]), remainder="passthrough")
        return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(x, y)
"""

ROW = {"class": 3, "sex": "male", "age": 22.0, "embarked": "S"}
EXAMPLE = json.dumps({"variables": {"class": "3", "sex": "male"}})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("schema")
    models = folder / "models"
    plain = {
        "Passenger": ECHO.format(name="Passenger"),
        "InThread": IN_THREAD,
        "InRunner": IN_RUNNER,
        "Batched": BATCHED,
        "Trained": TRAINED,
    }
    for name, code in plain.items():
        path = write_model(models, name, code, schema__yml=SCHEMA)
        if name != "Trained":
            (path / "examples").mkdir()
            (path / "examples" / "third.json").write_text(EXAMPLE)
    write_model(models, "Visit", ECHO.format(name="Visit"), schema__yml=VISIT)
    write_model(models, "Free", ECHO.format(name="Free"))
    artefact(models / "Artefact")
    with serving(
        folder,
        models,
        MODELSYNC_ALIASES="/=Passenger:predict,/older=Passenger:predict",
        MODELSYNC_TRAIN_TOKENS=TRAIN,
    ) as running:
        yield running


def artefact(folder: Path) -> None:
    """A classifier that was fitted with an array, which has no names."""
    import joblib

    folder.mkdir(parents=True)
    x, y = np.array([[1, 5], [2, 6], [9, 1], [8, 2]]), [0, 0, 1, 1]
    joblib.dump(LogisticRegression().fit(x, y), folder / "model.joblib")
    schema = "left: {type: int, max: 10}\nright: {type: float, na_value: 3}\n"
    (folder / "schema.yml").write_text(schema)


def errors(answer: requests.Response) -> dict[str, str]:
    """What a 422 says, by column."""
    assert answer.status_code == 422, answer.text
    return {one["field"]: one["message"] for one in answer.json()["errors"]}


EVERYWHERE = ["Passenger", "InThread", "InRunner", "Batched"]


def test_models_run_where_they_are_meant_to(service: Service) -> None:
    """The tests below ask a worker, a thread and a runner."""
    found = {name: service.get(f"/models/{name}").json()["placement"] for name in EVERYWHERE}
    places = {name: placement["place"] for name, placement in found.items()}
    assert places == {
        "Passenger": "worker",
        "InThread": "thread",
        "InRunner": "runner",
        "Batched": "worker",
    }


@pytest.mark.parametrize("model", EVERYWHERE)
def test_values_come_as_the_types_of_the_schema(service: Service, model: str) -> None:
    """A client that sends texts, ints for floats and a target gets the same answer."""
    answer = service.post(model, {"survived": 1, "embarked": "S", "age": 22, "sex": "male",
                                  "class": "3"})  # fmt: skip
    assert answer.json()["got"] == ROW
    assert list(answer.json()["got"]) == list(ROW)  # in the order of the schema
    answer = service.post(model, {"class": 3.0, "sex": "male", "age": None})
    assert answer.json()["got"] == {**ROW, "age": 0.0, "embarked": None}
    answer = service.get(f"/models/{model}/predict?class=3&sex=male&age=22&embarked=S")
    assert answer.json()["got"] == ROW


@pytest.mark.parametrize("model", EVERYWHERE)
def test_each_column_that_does_not_fit_is_named(service: Service, model: str) -> None:
    """With what was expected, and what came; all at once."""
    answer = service.post(model, {"class": 4, "sex": "Male", "age": "old", "embarked": 7})
    assert errors(answer) == {
        "class": "expected a whole number from 1 to 3; came 4",
        "sex": 'expected one of "female", "male"; came "Male"; did you mean "male"?',
        "age": 'expected a number from 0 to 120, or null; came "old"',
        "embarked": 'expected one of "C", "Q", "S", or null; came 7',
    }
    assert errors(service.post(model, {"sex": None}))["class"].endswith("; it is missing")
    assert service.post(model, {**ROW}).status_code == 200


def test_all_models_check_the_same_variables(service: Service) -> None:
    """Each by its own schema; what one does not know is another's."""
    answer = service.post("all?models=Passenger,InRunner,Free", {**ROW, "class": "3", "more": 1})
    assert answer.json()["Passenger"]["got"] == {**ROW, "more": 1}
    assert answer.json()["InRunner"]["got"] == ROW
    assert answer.json()["Free"]["got"]["class"] == "3"
    answer = service.post("all?models=Passenger,Free", {"class": 9, "sex": "male"})
    assert answer.json()["Passenger"]["status"] == 422
    assert answer.json()["Free"]["got"] == {"class": 9, "sex": "male"}


# --- queries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/models/Passenger/predict", "/", "/older", "/older/"], ids=lambda path: path
)
def test_a_query_is_typed(service: Service, path: str) -> None:
    """Also below an alias, such as the URL of an older server; HEAD is answered without a body."""
    query = "class=3&sex=male&age=22&embarked=S"
    answer = service.get(f"{path}?{query}")
    assert answer.json() == {"got": ROW, "types": {"class": "int", "sex": "str", "age": "float",
                                                   "embarked": "str"}}  # fmt: skip
    head = requests.head(f"{service.url}{path}?{query}", timeout=patient(60))
    assert (head.status_code, head.content) == (200, b"")
    answer = service.get(f"{path}?class=3&sex=m%61le&age=&embarked=")
    assert answer.json()["got"] == {**ROW, "age": 0.0, "embarked": None}
    body = {"variables": {"class": 3, "sex": "male"}}
    if path in ("/", "/older"):
        posted = requests.post(f"{service.url}{path}", json=body, timeout=patient(60))
        assert posted.json()["got"] == {**ROW, "age": 0.0, "embarked": None}


def test_a_query_that_does_not_fit_is_refused(service: Service) -> None:
    """A parameter that is unknown or came twice is named; nothing is predicted from the others."""
    found = errors(service.get("/?class=3&class=2&sex=male&agee=3&foo=1"))
    assert found == {
        "class": "expected once; it came 2 times",
        "agee": 'the model has no such parameter; did you mean "age"?',
        "foo": "the model has no such parameter; it takes class, sex, age, embarked",
    }
    assert list(errors(service.get("/older?=3&class=3&sex=male"))) == ["variables"]
    assert "did you mean" in errors(service.get("/older?class[]=3&sex=male"))["class[]"]
    found = errors(service.get("/older?class=&age=x"))
    assert found["class"] == "expected a whole number from 1 to 3; came null"
    assert found["sex"] == 'expected one of "female", "male"; it is missing'
    assert found["age"].endswith('came "x"')
    assert service.get("/?class=3&sex=male&survived=1").json()["got"]["class"] == 3


def test_a_query_of_texts_and_times(service: Service) -> None:
    """Texts stay texts, with blanks, any script, and what JSON would take for another type."""
    query = {"day": "31.01.2026", "at": "12:30", "seen": "2026-01-31T12:30:00+02:00",
             "member": "yes", "code": "AB12", "note": "true"}  # fmt: skip
    answer = service.get("/models/Visit/predict", params=query).json()
    assert answer["types"] == {"day": "date", "at": "time", "seen": "datetime", "member": "bool",
                               "code": "str", "note": "str"}  # fmt: skip
    assert answer["got"] == {"day": "2026-01-31", "at": "12:30:00", "seen": "2026-01-31T10:30:00",
                             "member": True, "code": "AB12", "note": "true"}  # fmt: skip
    for text, note in ("a+b", "a b"), ("%C3%A9%20%F0%9F%9A%A2", "é 🚢"), ("null", "null"), ("", ""):
        got = service.get(f"/models/Visit/predict?day=31.01.2026&note={text}").json()["got"]
        assert got["note"] == note
    assert service.get("/models/Visit/predict?note=%ff").status_code == 400


def test_other_routes_stay_beside_an_alias_of_the_root(service: Service) -> None:
    """The index, probes and pages answer as ever."""
    assert service.get("/readyz").json()["status"] == "ready"
    assert "Passenger" in service.get("/models/usage").text
    assert service.get("/models/").json()["models"]
    assert service.get("/nothing").status_code == 404
    assert requests.put(service.url, timeout=patient(60)).status_code == 405


def test_an_alias_of_the_root_shares_it_with_the_index(tmp_path: Path) -> None:
    """Where the base URL is empty, `/` is the page of all models, and with a query the alias."""
    write_model(tmp_path / "models", "M", ECHO.format(name="M"), schema__yml="a: {type: int}\n")
    env = {"baseUrl": "", "MODELSYNC_ALIASES": "/=M:predict", "MODELSYNC_WORKERS": "1"}
    with serving(tmp_path, tmp_path / "models", env=env) as service:
        assert service.get("/").json()["models"][0]["name"] == "M"
        assert service.get("/?a=3").json()["got"] == {"a": 3}
        answer = requests.post(service.url, json={"variables": {"a": "4"}}, timeout=patient(60))
        assert answer.json()["got"] == {"a": 4}
        assert service.get("/M/predict?a=5").json()["got"] == {"a": 5}


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(service: Service) -> Client:
    """A version that was fitted with the columns in another order than that of the schema."""
    client = Client(service)
    frame = pd.DataFrame(
        {
            "embarked": ["S", "C", "Q", "S"] * 5,
            "age": [22.0, 38.0, 26.0, 35.0] * 5,
            "class": [3, 1, 3, 1] * 5,
            "sex": ["male", "female", "female", "male"] * 5,
        }
    )
    client.fit("Trained", x=frame.to_dict("list"), y=[0, 1, 1, 0] * 5)
    return client


def test_forms_of_one_row_are_the_same(trained: Client) -> None:
    """By name, by place in the order of the schema, as texts, with the target: one answer."""
    man = [3, "male", 22, "S"]
    forms: list[Any] = [
        {"variables": ROW},
        {"variables": {"x": man}},
        {"x": [man]},
        {"x": man},
        {"x": [[0, *man]]},
        {"x": {**ROW, "survived": None}},
        {"data": [ROW]},
        {"data": {name: [str(value)] for name, value in ROW.items()}},
        {"x": pd.DataFrame([man]).to_json()},
        {"x": pd.DataFrame([ROW]).to_json(orient="split"), "orient": "split"},
    ]
    for body in forms:
        answer = trained.call("POST", "Trained", body)
        assert answer.status_code == 200, (body, answer.text)
        assert "0" in answer.text.split("proba")[0], body
        again = trained.call("POST", "Trained/versions/1", body)
        assert again.json() == answer.json()
    assert trained.call("GET", "Trained/predict?key=1&class=3&sex=male").status_code == 200
    assert trained.call("GET", "Trained/predict?key=9&class=3&sex=male").status_code == 404


def test_rows_that_do_not_fit_are_numbered(trained: Client) -> None:
    """One entry for each column, with the first row, the others, and how many there are."""
    rows = [dict(ROW) for _ in range(1000)]
    rows[500]["age"] = "old"
    rows[7]["sex"] = rows[900]["sex"] = None
    answer = trained.call("POST", "Trained", {"data": rows})
    assert errors(answer) == {
        "data.age": 'expected a number from 0 to 120, or null; came "old" in row 500',
        "data.sex": 'expected one of "female", "male"; came null in row 7, and others in rows 900; '
        "2 of 1000 values do not fit",
    }
    answer = trained.call("POST", "Trained", {"x": [[3, "male"]]})
    assert errors(answer) == {"x": "has rows of 2 values; a row has 4: class, sex, age, embarked"}
    answer = trained.call("POST", "Trained", {"x": [{"sex": "male"}, {"sex": "female"}]})
    assert list(errors(answer)) == ["x.class"]


def test_an_artefact_without_names_gets_those_of_the_schema(service: Service) -> None:
    """A pickle that was fitted with an array takes columns by name, in the schema's order."""
    by_name = service.post("Artefact", {"right": "1", "left": 9})
    assert by_name.json()["prediction"] == 1
    assert service.post("Artefact", {"x": [9, 1]}).json() == by_name.json()
    assert service.get("/models/Artefact/predict?left=9&right=1").json() == by_name.json()
    assert service.post("Artefact", {"left": 9}).status_code == 200
    assert list(errors(service.post("Artefact", {"left": 11}))) == ["left"]
    body = {"data": [{"right": 1, "left": 9}, {"left": 1, "right": 5}]}
    url = f"{service.base}/Artefact/predict"
    answer = requests.post(url, json=body, timeout=patient(60))
    assert answer.json() == {"predictions": [1, 0]}


# --- descriptions ---------------------------------------------------------------------------------


def test_openapi_has_the_types_of_the_schema(service: Service) -> None:
    """Of the variables, and of the parameters of a query."""
    document = service.get("/models/openapi.json").json()
    body = document["components"]["schemas"]["Passenger"]["properties"]["variables"]
    assert body["required"] == ["class", "sex"]
    assert body["properties"] == {
        "class": {"type": "integer", "minimum": 1, "maximum": 3,
                  "description": "first, second or third"},
        "sex": {"type": "string", "enum": ["female", "male"]},
        "age": {"type": ["number", "null"], "minimum": 0, "maximum": 120,
                "description": "Default: `0.0`."},
        "embarked": {"type": ["string", "null"], "enum": ["C", "Q", "S", None]},
    }  # fmt: skip
    query = document["paths"]["/models/Passenger/predict"]["get"]
    parameters = {one["name"]: one for one in query["parameters"]}
    assert list(parameters) == ["class", "sex", "age", "embarked"]
    assert [name for name, one in parameters.items() if one["required"]] == ["class", "sex"]
    assert parameters["sex"]["schema"] == body["properties"]["sex"]
    assert "/models/Free/predict" not in document["paths"]
    keys = [
        one["name"] for one in document["paths"]["/models/Trained/predict"]["get"]["parameters"]
    ]
    assert keys == ["class", "sex", "age", "embarked", "key"]


def test_the_sample_of_a_model_is_taken_by_it(service: Service) -> None:
    """Of the usage text and of OpenAPI: a value of each column that fits."""
    document = service.get("/models/openapi.json").json()
    media = document["paths"]["/models/Visit"]["post"]["requestBody"]["content"]
    sample = media["application/json"]["example"]["variables"]
    assert sample["day"] == "31.01.2026"
    assert service.post("Visit", sample).status_code == 200
    parameters = document["paths"]["/models/Visit/predict"]["get"]["parameters"]
    query = {one["name"]: one["example"] for one in parameters}
    answer = service.get("/models/Visit/predict", params=query)
    assert answer.json()["got"]["day"] == "2026-01-31"


def test_usage_shows_the_query_of_a_model(service: Service) -> None:
    """A line to paste, which is answered."""
    lines = [shlex.split(line) for line in service.get("/models/usage").text.splitlines()]
    urls = [words[2] for words in lines if words[:2] == ["curl", "-s"]]
    [url] = [url for url in urls if "/Visit/predict?" in url]
    answer = requests.get(url, timeout=patient(60))
    assert answer.json()["got"]["day"] == "2026-01-31"
    assert not any("/Free/predict" in url for url in urls)

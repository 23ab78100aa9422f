"""Classes that use `modelsync.compiled`, over HTTP: in workers, runners and an own thread."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient

pytestmark = pytest.mark.long

PEOPLE = pd.DataFrame({"city": ["Bern", "Genf", "Chur"] * 20, "age": range(60)})
COLUMNS = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["city"]), (StandardScaler(), ["age"])
)
LEFT = make_pipeline(COLUMNS, LogisticRegression()).fit(PEOPLE, np.where(PEOPLE.age > 30, 1, 0))
PRICE = LinearRegression().fit(PEOPLE[["age"]].to_numpy(), PEOPLE.age * 2.5)

CLASS = """
import pickle
{imports}
import modelsync
import pandas as pd

class {name}:
    def __init__(self, path):
        {first}
        with open(path + "model.pkl", "rb") as file:
            self.model = modelsync.compiled(pickle.load(file))

    {kind} transform_predict(self, city: str, age: float):
        x = {rows}
        return {{
            "answer": self.model.{method}(x)[0],
            "state": self.model.compilation.state,
            "answered by the estimator": getattr(self.model._answering, "fallbacks", None),
        }}
"""

PLAIN = {
    "imports": "",
    "first": "pass",
    "kind": "def",
    "rows": "[[age]]",
    "method": "predict",
}

PLACES: dict[str, dict[str, str]] = {
    "Frames": {
        "rows": "pd.DataFrame([{'city': city, 'age': age}])",
        "method": "predict_proba",
    },
    "Async": {"kind": "async def"},
    "Held": {"imports": "import sqlite3", "first": "self.db = sqlite3.connect(':memory:')"},
    "Wild": {"imports": "import os", "first": "os.environ['HOME'] = path"},
}
"""Classes that run in a worker's loop, as a coroutine, in an own thread, in a runner."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("classes")
    for name, parts in PLACES.items():
        code = CLASS.format(name=name, **PLAIN | parts)
        folder = write_model(root / "models", name, code)
        estimator = LEFT if name == "Frames" else PRICE
        (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
        write_example(folder, {"city": "Chur", "age": 3})
    settings = {
        "MODELSYNC_COMPILE": "auto",
        "MODELSYNC_COMPILE_TIMEOUT": f"{patient(200):g}s",
        "MODELSYNC_SYNC_TIMEOUT": f"{patient(400):g}s",
        "MODELSYNC_ISOLATION": "auto",
    }
    with serving(root, root / "models", env=settings) as service:
        yield service


@pytest.mark.parametrize("name", PLACES)
def test_a_class_answers_by_its_compiled_estimators(service: Service, name: str) -> None:
    """The same as by scikit-learn; what the form was not proven for, that answers itself."""
    status = service.get(f"/models/{name}").json()["compiled"]
    assert status["state"] == "compiled", status
    assert status["backend"]
    for city, age in (("Bern", 20), ("Genf", 30.5), ("Atlantis", -1e6)):
        row = pd.DataFrame([{"city": city, "age": float(age)}])
        expected = LEFT.predict_proba(row)[0] if name == "Frames" else PRICE.predict([[age]])[0]
        found = service.post(name, {"city": city, "age": age}).json()
        assert found["answer"] == pytest.approx(expected, rel=1e-9)
        assert (found["state"], found["answered by the estimator"]) == ("compiled", 0)
    assert service.post(name, {"city": "Bern"}).status_code == 422


def test_the_release_tells_of_all_of_them(service: Service) -> None:
    for entry in service.release()["models"].values():
        compilation: dict[str, Any] = entry["compilation"]
        assert compilation["speedup"] > 1
        assert compilation["rows"] >= 2000
        assert compilation["size"] > 0
        assert compilation["estimator_size"] > 0

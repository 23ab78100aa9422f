"""Classes that use `modelsync.compiled`, over HTTP: in workers, runners and an own thread."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
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

def load(path, name):
    with open(path + name, "rb") as file:
        return modelsync.compiled(pickle.load(file))

class {name}:
    def __init__(self, path):
        {first}
        self.left, self.price = load(path, "left.pkl"), load(path, "price.pkl")

    {kind} transform_predict(self, city: str, age: float):
        found = self.left.predict_proba(pd.DataFrame([{{"city": city, "age": age}}]))
        return {{
            "left": found[0, 1],
            "price": self.price.predict([[age]])[0],
            "states": [self.left.compilation.state, self.price.compilation.state],
            "answered by estimators": self.left._answering.fallbacks,
        }}
"""

PLACES = {
    "Plain": {},
    "Async": {"kind": "async def"},
    "Held": {"imports": "import sqlite3", "first": "self.db = sqlite3.connect(':memory:')"},
    "Wild": {"imports": "import os", "first": "os.environ['HOME'] = path"},
}
"""Classes that run in a worker's loop, as a coroutine, in an own thread, in a runner."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("classes")
    for name, parts in PLACES.items():
        values = {"imports": "", "first": "pass", "kind": "def", "name": name} | parts
        folder = write_model(root / "models", name, CLASS.format(**values))
        (folder / "left.pkl").write_bytes(pickle.dumps(LEFT))
        (folder / "price.pkl").write_bytes(pickle.dumps(PRICE))
        write_example(folder, {"city": "Chur", "age": 3})
    settings = {
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
    for city, age in (("Bern", 20), ("Genf", 30.5), ("Atlantis", -1e9)):
        found = service.post(name, {"city": city, "age": age}).json()
        row = pd.DataFrame([{"city": city, "age": float(age)}])
        assert found["left"] == pytest.approx(LEFT.predict_proba(row)[0, 1], rel=1e-9)
        assert found["price"] == pytest.approx(PRICE.predict([[age]])[0], rel=1e-9)
        assert found["states"] == ["compiled", "compiled"]
        assert found["answered by estimators"] == 0
    assert service.post(name, {"city": "Bern"}).status_code == 422


def test_the_release_tells_of_all_of_them(service: Service) -> None:
    for entry in service.release()["models"].values():
        compilation: dict[str, Any] = entry["compilation"]
        assert compilation["speedup"] > 1
        assert compilation["rows"] >= 4000  # of two estimators
        assert compilation["size"] > 0
        assert compilation["estimator_size"] > 0

"""One service with trained models for all tests here; each test takes names of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.service import Service, serving, write_model
from tests.trained.client import TRAIN, Client

MEAN = """
import time

class Mean:
    \"\"\"Predicts the mean of what it was fitted with.\"\"\"

    def fit(self, x: list, y: list, seconds: float = 0.0, wrong: str = "", **params):
        print("fitting", len(x), "rows", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)
        if wrong:
            raise ValueError(wrong)
        return {"sum": sum(y), "count": len(y), **params}

    def update(self, x: list, y: list):
        return {"sum": self.model["sum"] + sum(y), "count": self.model["count"] + len(y)}

    def predict(self, x: list):
        return [self.model["sum"] / self.model["count"] for _ in x]
"""

FOREST = """
from sklearn.ensemble import RandomForestClassifier

class Forest:
    def fit(self, x, y, **params):
        return RandomForestClassifier(**params).fit(x, y)
"""

FETCHER = """
class Fetcher:
    def train(self):
        return {"answer": 42}

    def predict(self, x: list):
        return [self.model["answer"] for _ in x]
"""

PRICED = """
class Priced:
    source = "prices.csv"
    target = "price"

    def fit(self, x: list, y: list):
        return sum(y) / len(y)

    def predict(self, x: list):
        return [self.model for _ in x]
"""

PRICED_FILES = {
    "prices.csv": "rooms,price\n1,10\n2,20\n-3,30\n",
    "schema.yml": "rooms: {type: int, min: 1}\nprice: {type: float, target: true}\n",
}

PLAIN = "class Plain:\n    def transform_predict(self, a: int = 1):\n        return {'a': a}\n"

MODELS = {
    "Mean": MEAN,
    "Forest": FOREST,
    "Fetcher": FETCHER,
    "Told": MEAN.replace("class Mean", "class Told"),
    "Plain": PLAIN,
}

ALIASES = (
    "/train_it=Fetcher:train,/serve_it=Fetcher:predict,/state=Mean:status,/gone=Nobody:predict"
)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("trained")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
    write_model(folder / "models", "Priced", PRICED, **PRICED_FILES)
    with serving(
        folder,
        folder / "models",
        MODELSYNC_TRAIN_TOKENS=TRAIN,
        MODELSYNC_JOB_CONCURRENCY="2",
        MODELSYNC_MAX_BODY="256KiB",
        MODELSYNC_ALIASES=ALIASES,
    ) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service)

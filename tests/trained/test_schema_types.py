"""A model with `schema.yml` sees the same types when it is fitted and when it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.fixtures.service import serving, write_model
from tests.trained.client import TRAIN, Client

pytestmark = pytest.mark.training

SCHEMA = """
day: {type: date}
seen: {type: datetime, nullable: true}
at: {type: time, nullable: true}
kind: {type: category, allowed: [red, green], na_value: green}
code: {type: str, na_value: none}
count: {type: int, na_value: 0}
rate: {type: float, nullable: true}
member: {type: bool}
cost: {type: float, target: true}
"""

SEES = """
import pandas as pd

class Sees:
    def fit(self, x: pd.DataFrame, y):
        return self.of(x)

    def of(self, x):
        kinds = [sorted({type(value).__name__ for value in x[name].dropna()}) for name in x]
        return {"columns": list(x.columns), "dtypes": list(map(str, x.dtypes)), "kinds": kinds}

    def predict(self, x: pd.DataFrame):
        return [{"fitted": self.model, "predicts": self.of(x)}] * len(x)
"""

FORMS: dict[str, list[Any]] = {
    "day": ["2026-01-31", 1769817600000, "2026-02-01T00:00:00Z"],
    "seen": ["2026-01-31T12:30:00+02:00", None, 1769817600000],
    "at": ["08:30", None, "08:30:15"],
    "kind": ["red", None, ""],
    "code": ["a", None, ""],
    "count": [3, "4", None],
    "rate": [1, "2.5", None],
    "member": [True, 0, "yes"],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("types")
    write_model(folder / "models", "Sees", SEES, schema__yml=SCHEMA)
    with serving(
        folder,
        folder / "models",
        MODELSYNC_TRAIN_TOKENS=TRAIN,
        MODELSYNC_WORKERS="1",
        MODELSYNC_DATA=str(folder / "data"),
    ) as running:
        yield Client(running)


def test_training_and_serving_have_the_same_types(client: Client) -> None:
    """Whatever form the values have in the body of the fit, and in a request."""
    client.fit("Sees", x={**FORMS, "more": [1, 2, 3]}, y=[1, 2, 3])
    same_types(client)


def test_rows_of_a_file_have_the_types_of_a_request(client: Client) -> None:
    """Data that is read as Arrow, and rows that come as JSON."""
    table = pa.table({name: [as_text(one) for one in FORMS[name]] for name in FORMS})
    file = client.service.home.parent / "data" / "rows.parquet"
    file.parent.mkdir()
    parquet.write_table(table.append_column("cost", pa.array([1, 2, 3])), file)
    client.fit("Sees", x=None, y=None, source=file.name)
    same_types(client)


def as_text(value: Any) -> str | None:
    return None if value is None else str(value)


def same_types(client: Client) -> None:
    """What `predict` sees is what `fit` has seen, in every form of rows."""
    answer = client.call("POST", "Sees", {"x": {**FORMS, "more": [1, 2, 3]}}).json()
    assert answer["y"][0]["predicts"] == answer["y"][0]["fitted"]
    assert answer["y"][0]["fitted"]["columns"] == list(FORMS)
    rows = [dict(zip(FORMS, row, strict=True)) for row in zip(*FORMS.values(), strict=True)]
    assert client.call("POST", "Sees", {"data": rows}).json()["predictions"] == answer["y"]

"""Folders without code in a real service: what it serves, refuses and passes over."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.fixtures.service import Service, serving

PEOPLE = pd.DataFrame({"city": ["Bern", "Genf", "Genf", None] * 9, "age": range(36)})
OLD = np.where(PEOPLE.age > 17, "yes", "no")
CODE = "class Price:\n    def transform_predict(self, x: float):\n        return {'y': x}\n"
SINGLE = """
import numpy as np
class Single:
    def transform_predict(self, x: float):
        return {"fast": np.float32(x), "slow": {1: np.float32(x)}}
"""
EXAMPLE = """
{"variables": {"x": 0.1}, "response": {"fast": 0.10000000149011612, "slow": {"1": 0.1}}}
"""


def fitted() -> Any:
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    columns = make_column_transformer((texts, ["city"]), (StandardScaler(), ["age"]))
    return make_pipeline(columns, LogisticRegression()).fit(PEOPLE, OLD)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models as people have them."""
    root = tmp_path_factory.mktemp("people")
    model = pickle.dumps(fitted())
    booster = xgboost.XGBClassifier(n_estimators=3).fit(PEOPLE[["age"]], OLD == "yes")
    files = {
        "models/Churn/churn_model.sav": model,
        "models/Three/model.pkl": model,
        "models/Three/scaler.pkl": pickle.dumps(StandardScaler().fit([[1.0]])),
        "models/Three/features.pkl": pickle.dumps(["city", "age"]),
        "models/Boosted/model.json": bytes(booster.get_booster().save_raw("json")),
        "models/Risk/model.pkl.dvc": b"outs:",
        "models/team/Price/etls.py": CODE.encode(),
        "models/Single/etls.py": SINGLE.encode(),
        "models/Single/examples/a.json": EXAMPLE.encode(),
    }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with serving(folder, folder / "models", MODELSYNC_WORKERS="1") as running:
        yield running


def test_a_null_means_the_same_alone_and_in_a_table(service: Service) -> None:
    """And what it means in pandas with NaN."""
    model = fitted()
    row = {"city": None, "age": 20}
    alone = service.post("Churn", row).json()["probabilities"]["yes"]
    body = {"data": {"city": ["Bern", None, "Genf"], "age": [1, 20, 30]}}
    table = requests.post(f"{service.base}/Churn", json=body, timeout=60).json()
    frame = pd.DataFrame({"city": ["Bern", np.nan, "Genf"], "age": [1, 20, 30]})
    wanted = model.predict_proba(frame)[1][1]
    assert alone == pytest.approx(wanted)
    assert table["predict_proba"][1][1] == pytest.approx(wanted)
    assert service.post("Churn", {"city": 3, "age": 20}).status_code == 422


def test_a_file_of_a_booster_is_a_model(service: Service) -> None:
    """With a null where XGBoost takes one."""
    answer = service.post("Boosted", {"age": None})
    assert answer.status_code == 200
    assert answer.json()["prediction"] in (0, 1)


def test_several_artefacts_are_refused_by_name(service: Service) -> None:
    """A client reads which, too."""
    answer = service.post("Three", {"city": "Bern", "age": 20})
    assert answer.status_code == 503
    assert "features.pkl, model.pkl, scaler.pkl" in answer.text


def test_numbers_of_32_bits_have_one_form(service: Service) -> None:
    """An example may hold either form of one."""
    assert service.post("Single", {"x": 0.1}).json() == {"fast": 0.1, "slow": {"1": 0.1}}


def test_what_is_passed_over_is_in_the_release(service: Service) -> None:
    """With its path and the reason."""
    found = {one["path"]: one["reason"] for one in service.release()["passed_over"]}
    assert found.keys() == {"Risk", "team/Price"}
    assert "DVC" in found["Risk"]


def test_the_check_has_a_line_for_each(folder: Path) -> None:
    """The same as in a sync; they do not make it fail."""
    for path in ("models/Three/scaler.pkl", "models/Three/features.pkl"):
        assert (folder / path).is_file()
    done = subprocess.run(
        [sys.executable, "-m", "modelsync", "check", "models"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert any(line.startswith("Risk: passed over: model.pkl.dvc points to") for line in lines)
    assert any(line.startswith("team/Price: passed over: is a folder inside") for line in lines)
    assert "several artefacts and no etls.py: features.pkl, model.pkl, scaler.pkl" in done.stderr
    assert done.returncode == 1

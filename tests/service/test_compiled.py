"""Compiled models over HTTP: what they answer is what the estimators answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.fixtures.compilers import GATE, TABLE, Converter, network, write_ready
from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, serving, write_example
from tests.waiting import patient, until

pytestmark = pytest.mark.long

PEOPLE = pd.DataFrame({"city": ["Bern", "Genf", "Chur"] * 20, "age": range(60)})
OLD = np.where(PEOPLE.age > 30, "yes", "no")
AUTO = {"MODELSYNC_COMPILE": "auto"}
MODELS = ("Churn", "Forest", "Net", "Price", "Sum")

BODIES: list[tuple[str, Any]] = [
    ("Churn", {"variables": {"city": "Bern", "age": 20}}),
    ("Churn", {"variables": {"city": "Atlantis", "age": 1e12}}),
    ("Churn", {"data": {"city": ["Genf", "Chur", "?"], "age": [1, 30.5, -7]}}),
    ("Churn", {"variables": {"city": "Bern"}}),
    ("Churn", {"variables": {"city": 5, "age": "old"}}),
    ("Churn", {"data": {"city": ["Genf"], "age": [None]}}),
    ("Forest", {"variables": {"a": 0.1, "b": -0.2}}),
    ("Forest", {"data": [{"a": 1, "b": 2}, {"a": 3.5, "b": -4}]}),
    ("Forest", {"variables": {"a": 1e300, "b": 0}}),
    ("Net", {"variables": {"a": 0, "b": 0}}),
    ("Price", {"variables": {"a": 2, "b": 3.25}}),
    ("Price", {"variables": {"a": True, "b": None}}),
    ("Price", {"data": {"a": [1, 2], "b": [3]}}),
    ("Sum", {"variables": {"x": [1.5, 2]}}),
    ("Sum", {"x": [[1, 2], [3, 4]]}),
    ("Sum", {"variables": {"x": [1, 2, 3]}}),
    ("all", {"variables": {"a": 1, "b": 2, "city": "Bern", "age": 3, "x": [1, 2]}}),
]
"""Requests to a model: those that it answers, and those that it refuses."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ready models."""
    root = tmp_path_factory.mktemp("compiled")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), (StandardScaler(), ["age"])
    )
    labels = np.where(TABLE.a > TABLE.b, 1, 0)
    models = {
        "Churn": make_pipeline(columns, LogisticRegression()).fit(PEOPLE, OLD),
        "Forest": RandomForestClassifier(5, random_state=0).fit(TABLE, labels),
        "Net": network(),
        "Price": make_pipeline(StandardScaler(), LinearRegression()).fit(TABLE, TABLE.a * 2),
        "Sum": make_pipeline(StandardScaler(), Ridge()).fit(TABLE.to_numpy(), TABLE.a + TABLE.b),
    }
    for name, model in models.items():
        write_example(write_ready(root / "models", name, model), {"a": 1, "b": 2})
    write_example(root / "models/Churn", {"city": "Chur", "age": 3})
    write_example(root / "models/Sum", {"x": [1, 2]})
    return root


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Iterator[Service]:
    settings = {
        **AUTO,
        "MODELSYNC_GIT_CACHE": str(folder / "cache"),
        "MODELSYNC_COMPILE_TIMEOUT": f"{patient(100):g}s",
        "MODELSYNC_SYNC_TIMEOUT": f"{patient(300):g}s",
    }
    with serving(folder, folder / "models", env=settings) as service:
        yield service


@pytest.fixture(scope="module")
def estimators(folder: Path) -> Iterator[Service]:
    """The same models, uncompiled."""
    (folder / "off").mkdir()
    with serving(folder / "off", folder / "models", MODELSYNC_COMPILE="off") as service:
        yield service


def test_all_of_them_are_compiled(compiled: Service, estimators: Service) -> None:
    states = {name: one["compilation"] for name, one in compiled.release()["models"].items()}
    assert {name: one["state"] for name, one in states.items()} == dict.fromkeys(
        MODELS, "compiled"
    ), states
    assert all(compiled.get(f"/models/{name}").json()["compiled"]["backend"] for name in MODELS)
    off = estimators.release()["models"].values()
    assert {one["compilation"]["state"] for one in off} == {"off"}
    assert not (estimators.home / "compiled").exists()


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_the_answers_are_the_same(
    compiled: Service, estimators: Service, path: str, body: Any
) -> None:
    """To one row, to a table, to every model, to what is refused."""
    ours, theirs = (_asked(service, path, body) for service in (compiled, estimators))
    assert ours.status_code == theirs.status_code
    assert _same(ours.json(), theirs.json()), (ours.text, theirs.text)


def test_no_compiled_form_has_failed(compiled: Service) -> None:
    """Else the estimators would have given the answers above."""
    assert not compiled.lines(event="compiled_fallback")


def test_a_model_in_a_process_of_its_own_is_compiled_too(folder: Path, compiled: Service) -> None:
    """Its form comes from the cache, although its compiler hangs."""
    place = folder / "runners"
    place.mkdir()
    gate = Converter(place / "gate", GATE)
    cache = str(folder / "cache")
    settings = {
        **AUTO,
        "MODELSYNC_ISOLATION": "model",
        "MODELSYNC_GIT_CACHE": cache,
        **gate.settings,
    }
    with serving(place, folder / "models", env=settings) as service:
        for path, body in BODIES[:2]:
            ours, theirs = (_asked(one, path, body) for one in (service, compiled))
            assert _same(ours.json(), theirs.json())
        assert not service.lines(event="compiled_fallback")
        assert service.get("/models/Churn").json()["compiled"]["backend"]


def test_a_compiler_that_is_late_comes_later(tmp_path: Path) -> None:
    """The model serves at once, uncompiled; once it is compiled, another generation serves that,
    though the commit is the same.
    """
    write_example(write_ready(tmp_path / "models", "Net", network()), {"a": 1, "b": 2})
    gate = Converter(tmp_path / "gate", GATE)
    settings = {**AUTO, "MODELSYNC_COMPILE_TIMEOUT": f"{patient(5):g}s", **gate.settings}
    with serving(tmp_path, tmp_path / "models", env=settings) as service:
        first = service.release()
        assert first["models"]["Net"]["compilation"]["state"] == "late"
        before = service.post("Net", {"a": 1, "b": 2}).json()
        until(lambda: marked("modelsync.sync.late_compiling"), message="it compiles late")
        gate.open()
        until(lambda: service.get("/models/Net").json()["compiled"].get("backend"), 60)
        service.swapped()
        assert service.release()["commit"] == first["commit"]
        assert service.release()["models"]["Net"]["compiled"] == "compiled/Net"
        assert _same(service.post("Net", {"a": 1, "b": 2}).json(), before)
        assert not marked("modelsync.sync.late_compiling")
        [line] = service.lines(event="compiled", tried=1)
        assert line["message"] == "compiled later: 1 of 1 estimators"


def test_a_service_ends_while_something_compiles(tmp_path: Path) -> None:
    """In time, and with all processes of the compiler."""
    write_example(write_ready(tmp_path / "models", "Net", network()), {"a": 1, "b": 2})
    gate = Converter(tmp_path / "gate", GATE)
    settings = {**AUTO, "MODELSYNC_COMPILE_TIMEOUT": "1s", **gate.settings}
    with serving(tmp_path, tmp_path / "models", env=settings) as service:
        until(lambda: marked("modelsync.sync.late_compiling"), message="it compiles late")
        assert service.stop() == 0
        gone(tmp_path / "gate")


def _asked(service: Service, path: str, body: Any) -> requests.Response:
    return requests.post(f"{service.base}/{path}", json=body, timeout=patient(60))


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two answers are equal, but for the last digits of numbers, and ids."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = ours.keys() | theirs.keys()
        return all(
            _same(ours.get(one), theirs.get(one)) for one in names - {"instance", "request_id"}
        )
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return all(map(_same, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, float):
        return bool(ours == pytest.approx(theirs, rel=1e-6, abs=1e-12))
    return bool(ours == theirs) and type(ours) is type(theirs)

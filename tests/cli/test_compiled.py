"""What people read of compiled models: in the check, in a service's lists, metrics and log."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.command import modelsync
from tests.fixtures.service import Service, answers, serving, write_model
from tests.models.fitted import FRAME, LABELS
from tests.waiting import setting

FAST = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, LABELS)
SLOW = make_pipeline(FunctionTransformer(np.arctan), LogisticRegression()).fit(FRAME, LABELS)
PATIENT = {
    "MODELSYNC_COMPILE": "auto",
    "MODELSYNC_COMPILE_TIMEOUT": setting(60),
    "MODELSYNC_SYNC_TIMEOUT": setting(240),
}


def write(folder: Path) -> Path:
    """An estimator that compiles, one with a function of its author, and a model that is code."""
    for name, estimator in (("Fast", FAST), ("Slow", SLOW)):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.pkl").write_bytes(pickle.dumps(estimator))
    write_model(folder, "Code", answers(1, "Code"))
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("compiled")
    write(folder / "models_serve")
    with serving(folder, env={"MODELSYNC_WORKERS": "1", **PATIENT}) as running:
        yield running


def test_the_check_has_a_column_and_says_why_not(tmp_path: Path) -> None:
    """The reason names the step; a model that is not compiled is as good as any other."""
    models = write(tmp_path / "models")
    done = modelsync("check", "--strict", str(models), cwd=tmp_path, **PATIENT)
    header, *rows = done.stdout.splitlines()[:4]
    assert header.split()[-1] == "compiled"
    cells = {row.split()[0]: row.split()[6:] for row in rows}
    assert cells["Slow"] == ["no"]
    assert (cells["Code"], cells["Fast"][1]) == (["-"], "x")
    assert float(cells["Fast"][0].replace(",", "")) > 1
    [line] = [line for line in done.stdout.splitlines() if " not compiled" in line]
    assert line.startswith("Slow is not compiled: ")
    assert "FunctionTransformer" in line
    done = modelsync("check", "--format", "json", str(models), cwd=tmp_path, **PATIENT)
    found = {one["name"]: one["compiled"] for one in json.loads(done.stdout)["models"]}
    assert found["Code"] is None
    assert (found["Fast"]["state"], found["Slow"]["state"]) == ("compiled", "refused")
    assert found["Fast"]["rows"] >= 2000


def test_the_check_is_quiet_where_nothing_is_compiled(tmp_path: Path) -> None:
    """Neither a column nor a line: with code alone, and where it is switched off."""
    models = write(tmp_path / "models")
    for path, given in ((models / "Code", PATIENT), (models, {"MODELSYNC_COMPILE": "off"})):
        done = modelsync("check", str(path), cwd=tmp_path, **given)
        assert done.returncode == 0
        assert "compiled" not in done.stdout + done.stderr


def test_a_running_service_lists_what_is_compiled(service: Service, tmp_path: Path) -> None:
    def ask(verb: str) -> list[list[str]]:
        done = modelsync(verb, "--url", f"{service.url}/models/", cwd=tmp_path)
        return [line.split() for line in done.stdout.splitlines()]

    header, code, fast, slow = ask("list")
    assert header[-1] == "compiled"
    assert code[4] == "-"
    assert fast[5] == "x"
    assert slow[4] == "no"
    assert ["compiled:", "1", "of", "2", "estimators,", "not", "Slow"] in ask("status")


def test_the_metrics_and_the_log_tell_it(service: Service) -> None:
    """One line of the log for the whole release."""
    told = service.get("/models/Fast").json()["compiled"]
    assert told["state"] == "compiled"
    metrics = service.get("/metrics").text
    assert f'modelsync_model_compiled{{backend="{told["backend"]}",model="Fast"}} 1.0' in metrics
    assert 'modelsync_model_compiled{backend="",model="Slow"} 0.0' in metrics
    [line] = service.lines(event="compiled")
    assert line["message"] == "compiled: 1 of 2 estimators"
    assert line["compiled"].keys() == {"Fast"}
    assert "FunctionTransformer" in line["not_compiled"]["Slow"]


def test_rows_that_the_estimator_answers_are_counted(service: Service) -> None:
    """A row that overflows is the estimator's to refuse, as without a compiled form."""
    told = service.post("Fast", {"a": 1.7e308, "b": 1.7e308, "c d": 1.7e308})
    assert told.status_code == 422
    assert "infinity" in told.text
    assert service.post("Fast", {"a": 0.5, "b": 0.5, "c d": 0.5}).status_code == 200
    metrics = service.get("/metrics").text
    assert 'modelsync_model_compiled_fallbacks_total{model="Fast"} 1.0' in metrics

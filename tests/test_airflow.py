"""What the DAGs do without Airflow: which models have one, how a step is run; and the image."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelsync.models.discovery.folders import discover
from modelsync.training.plan import why_not
from scripts import airflow
from tests.waiting import patient, until

ROOT = Path(__file__).parents[1]

Ended = tuple[Any, list[str]]
"""How a step has ended, and what was logged."""

METHOD = "def transform_predict(self, age): ..."

TRAINED = {
    "train": "class Model:\n    def train(self): ...",
    "train_params": "class Model:\n    def train(self, *, depth=3, **params): ...",
    "train_data": "class Model:\n    source = 'table'\n    def train(self, data): ...",
    "source": "class Model:\n    source = 'table'\n    def fit(self, x, y): ...",
    "typed": "class Model:\n    source: str = 'table'\n    def fit(self, x, y): ...",
    "fill": "class Model:\n    def fill(self, date): ...\n    def fit(self, x, y): ...",
    "incoming": "class Model:\n    incoming = '{date}.csv'\n    def fit(self, x, y): ...",
    "base": "class Base:\n    def fit(self, x, y): ...\nclass base(Base):\n    source = 'table'",
    "imported": f"from part import Base\nclass Model(Base):\n    source = 'table'\n    {METHOD}",
    "relative": f"from .part import Base\nclass Model(Base):\n    source = 'table'\n    {METHOD}",
    "escape": "class Model:\n    '\\d'\n    def train(self): ...",
    "mark": "\ufeffclass Model:\n    def train(self): ...",
    "broken": "class Model:\n    def train(self): ...\n    def fit(self x): ...",
}

NOT_TRAINED = {
    "plain": "class Model:\n    def transform_predict(self, age): return age",
    "asked": "class Model:\n    def fit(self, x, y): ...",
    "argument": "class Model:\n    def train(self, epochs): ...",
    "empty": "",
    "part": "source = 'table'\nclass Model:\n    def transform_predict(self, age): return age",
    "null": "\0",
    "unfinished": "class Model:\n    def transform_predict(self",
}


def load(name: str) -> ModuleType:
    """Import a file of the DAGs' folder, which is on Airflow's path and not on ours."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "airflow" / "dags" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models() -> ModuleType:
    return load("modelsync_models")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ended]:
    """Run a step whose command is a shell script, which gets the arguments of `modelsync`."""

    def run(script: str) -> Ended:
        file = tmp_path / "modelsync"
        file.write_text(script)
        monkeypatch.setenv("MODELSYNC_AIRFLOW_COMMAND", f"sh {file}")
        monkeypatch.setenv("MODELSYNC_AIRFLOW_FOLDER", str(tmp_path))
        command = load("modelsync_command").TrainCommand("Shop", "2026-11-01", "check")
        lines: list[str] = []
        return command.run(lines.append), lines

    return run


def write(root: Path, sources: dict[str, str]) -> None:
    for name, code in sources.items():
        (root / name).mkdir()
        (root / name / "etls.py").write_text(code, "utf-8")
        (root / name / "part.py").write_text("class Base:\n    def fit(self, x, y): ...\n")


def test_models_that_train_themselves_have_a_dag(tmp_path: Path, models: ModuleType) -> None:
    """A model has a DAG if it fetches its data itself, or its class says where that comes from."""
    write(tmp_path, TRAINED | NOT_TRAINED)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "directory" / "etls.py").mkdir(parents=True)
    assert [one.name for one in models.find(tmp_path)] == sorted(TRAINED)


def test_a_folder_that_cannot_be_read_costs_no_other(
    tmp_path: Path, models: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no DAG and a warning; one that seems to train has a DAG, which says what is wrong."""
    write(tmp_path, {name: (TRAINED | NOT_TRAINED)[name] for name in ("broken", "null", "train")})
    (tmp_path / "looping").mkdir()
    (tmp_path / "looping" / "etls.py").symlink_to("etls.py")
    deep = "class Model:\n    source = " + "(" * 5000
    write(tmp_path, {"deep": deep})
    with caplog.at_level(logging.WARNING):
        found = {one.name: one.doc for one in models.find(tmp_path)}
    assert list(found) == ["broken", "deep", "train"]
    assert "etls.py, line 3" in found["broken"] or "line 3" in found["broken"]
    assert "broken/etls.py is broken" in caplog.text
    assert "null/etls.py is broken" in caplog.text


def test_no_folder_is_a_warning(
    tmp_path: Path, models: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    """A path that is wrong is told, and is no error of the other DAGs of that Airflow."""
    with caplog.at_level(logging.WARNING):
        assert list(models.find(tmp_path / "nowhere")) == []
    assert f"{tmp_path / 'nowhere'} is no folder" in caplog.text


def test_the_dags_agree_with_the_service(tmp_path: Path, models: ModuleType) -> None:
    """Those have a DAG that `modelsync train` trains, of the examples and of all that is above."""
    sources = TRAINED | NOT_TRAINED
    sources.pop("broken")
    write(tmp_path, sources)
    for folder in (ROOT / "models_serve", tmp_path):
        known = {spec.name for spec in discover(folder) if not why_not(spec)}
        assert {one.name for one in models.find(folder)} == known


# --- the process of a step ------------------------------------------------------------------------


def test_a_step_is_one_command(run: Callable[[str], Ended]) -> None:
    """It gets model, day and step; each line is logged, an object of JSON by its message."""
    stood = {
        "state": "done",
        "outcome": "kept",
        "comparison": {"verdict": "worse", "new": {"a": 1}},
    }
    told = {"step": "check", "message": "3 rows"}
    ended, lines = run(
        f'echo "$@" >&2; echo {shlex.quote(json.dumps(told))}; '
        f"echo {shlex.quote(json.dumps(stood))}"
    )
    asked = "train Shop --date 2026-11-01 --step check --trigger airflow --json"
    assert lines == [asked, "3 rows"]
    assert (ended.code, ended.outcome, ended.verdict) == (0, "kept", "worse")
    assert ended.metrics == {"a": 1}


@pytest.mark.parametrize(
    ("script", "said", "final"),
    [
        ("echo log; echo 'modelsync: Shop: the store is away' >&2; exit 1",
         "Shop: the store is away", False),
        ("exit 1", "the command ended with code 1", False),
        ("kill -9 $$", "the command was ended by SIGKILL", False),
        ("echo 'modelsync: no such setting' >&2; exit 2", "no such setting", True),
        ("""echo '{"state": "failed", "error": {"message": "check: age"}}'; exit 1""",
         "age", False),
        ("""echo '{"state": "failed", "error": {"message": "a", "report": {"rows": 1}}}'; exit 1""",
         "a", True),
        ("echo '{\"state\": '; exit 1", '{"state":', False),
        ("printf '\\377\\n'; exit 1", "\ufffd", False),
    ],
)  # fmt: skip
def test_the_last_line_is_the_cause(
    run: Callable[[str], Ended], script: str, said: str, final: bool
) -> None:
    """So the task's exception says why; only what will not pass by itself is not tried again."""
    ended, _ = run(script)
    assert ended.code != 0
    assert (ended.said, ended.is_final) == (said, final)


def test_a_command_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it nor its folder being there is tried again."""
    monkeypatch.setenv("MODELSYNC_AIRFLOW_COMMAND", "no-such-command")
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setenv("MODELSYNC_AIRFLOW_FOLDER", str(folder))
        command = load("modelsync_command").TrainCommand("Shop", "2026-11-01", "check")
        ended = command.run(lambda _: None)
        assert ended.is_final
        assert "no-such-command" in ended.said or str(folder) in ended.said


def test_secrets_of_airflow_stay_there(
    run: Callable[[str], Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's code, which the command runs, sees modelsync's settings and not Airflow's."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "hunter2")
    monkeypatch.setenv("MODELSYNC_AIRFLOW_WEBHOOK", "https://hooks.example.org/hunter2")
    monkeypatch.setenv("MODELSYNC_DATA", "/data")
    _, lines = run("env")
    assert "MODELSYNC_DATA=/data" in lines
    assert not [line for line in lines if "hunter2" in line]


def test_a_step_ends_with_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopping it ends the command and the processes that this has started."""
    file = tmp_path / "modelsync"
    file.write_text("sleep 300 & echo started; wait")
    monkeypatch.setenv("MODELSYNC_AIRFLOW_COMMAND", f"sh {file}")
    monkeypatch.setenv("MODELSYNC_AIRFLOW_FOLDER", str(tmp_path))
    command = load("modelsync_command").TrainCommand("Shop", "2026-11-01", "train")
    lines, ended = list[str](), list[Any]()
    thread = threading.Thread(target=lambda: ended.append(command.run(lines.append)))
    thread.start()
    until(lambda: lines == ["started"], 20)
    command.stop()
    thread.join(patient(20))
    assert ended[0].said == "the command was ended by SIGTERM"


def test_a_wrong_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name, and what is expected; an empty one counts as unset."""
    command = load("modelsync_command")
    monkeypatch.setenv("MODELSYNC_AIRFLOW_RETRIES", "often")
    with pytest.raises(ValueError, match="MODELSYNC_AIRFLOW_RETRIES is a number, not 'often'"):
        command.setting_as(int, "MODELSYNC_AIRFLOW_RETRIES", "3", "a number")
    monkeypatch.setenv("MODELSYNC_AIRFLOW_RETRIES", "")
    assert command.setting_as(int, "MODELSYNC_AIRFLOW_RETRIES", "3", "a number") == 3


# --- the image ------------------------------------------------------------------------------------


def test_the_image_is_of_the_version_that_is_tested() -> None:
    """airflow/Dockerfile and airflow/requirements.txt name one version of Airflow."""
    text = (ROOT / "airflow" / "Dockerfile").read_text("utf-8")
    assert f"apache/airflow:{airflow.version()}-python3" in text


def test_the_image_copies_what_is_there() -> None:
    """Each file that airflow/Dockerfile copies exists, and .dockerignore lets it through."""
    text = (ROOT / "airflow" / "Dockerfile").read_text("utf-8")
    sources = [name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
               for name in line.split() if "[" not in name]  # fmt: skip
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines()
               if line.startswith("!")]  # fmt: skip
    assert len(sources) > 8
    assert [name for name in sources if not (ROOT / name).exists()] == []
    within = [name for name in sources if any(f"{name}/".startswith(f"{one}/") for one in allowed)]
    assert within == sources

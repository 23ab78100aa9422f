"""Which models have a DAG, read without Airflow: airflow/dags/modelsync_models.py."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from types import ModuleType

import pytest

from modelsync.models.discovery.folders import discover
from modelsync.training.plan import why_not

ROOT = Path(__file__).parents[1]

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


@pytest.fixture(scope="module")
def models() -> ModuleType:
    file = ROOT / "airflow" / "dags" / "modelsync_models.py"
    spec = importlib.util.spec_from_file_location("modelsync_models", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

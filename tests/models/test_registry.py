"""The registry of artefact formats."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelsync.models.artefacts import estimators, registry
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact
from tests.models.conftest import Find, Write


class Constant:
    """An estimator that answers the same for every row."""

    def __init__(self, value: int) -> None:
        self.value = value

    def predict(self, rows: list[Any]) -> list[Any]:
        return [self.value for _ in rows]


def load(path: Path) -> LoadedArtefact:
    return estimators.adapt(Constant(int(path.read_text())), path.name)


def test_a_format_is_one_line_of_the_registry(
    serve: Any, find: Find, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discovery and loading take a new format from the registry: nothing else knows formats."""
    write("Answer", None, {"model.constant": "42"})
    with pytest.raises(StopIteration):
        find("Answer")
    constant = ArtefactFormat("constant", re.compile(r"model\.constant"), load)
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, constant))
    assert find("Answer").artefact == "model.constant"
    assert serve(None, {"model.constant": "42"}).call({"x": 1}) == {"prediction": 42}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("pipeline.pkl", "pickle"),
        ("churn_model.sav", "pickle"),
        ("any.joblib", "pickle"),
        ("any.PICKLE", "pickle"),
        ("any.pkl.gz", "pickle"),
        ("any.skops", "skops"),
        ("any.onnx", "onnx"),
        ("model.pkl.md", None),
        ("model.pkl.dvc", None),
        ("model.json", None),
    ],
)
def test_the_name_of_a_file_tells_its_format(file: Any, name: str) -> None:
    """A name that tells nothing leaves it to what the file begins with."""
    found = registry.by_name(file)
    assert (found.name if found else None) == name


def test_what_a_file_begins_with_tells_its_format(tmp_path: Path) -> None:
    """A pickle is one without a suffix too, and a text beside it is none."""
    (tmp_path / "churn").write_bytes(pickle.dumps([1]))
    (tmp_path / "notes.txt").write_text("tree of decisions")
    (tmp_path / "folder.pkl").mkdir()
    found = {path.name: registry.find(path) for path in tmp_path.iterdir()}
    assert {file: one.name for file, one in found.items() if one} == {"churn": "pickle"}


def test_discovery_imports_no_library_of_a_format() -> None:
    """A sync that only lists folders does not pay for pydantic, numpy or scikit-learn."""
    code = (
        "import sys, modelsync.models.discovery.folders; "
        "print({'pydantic', 'numpy', 'joblib', 'skops', 'onnxruntime'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"

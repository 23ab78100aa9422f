"""The registry of artefact formats."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelsync.models.artefacts import estimators, registry
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact
from tests.models.conftest import Find, Load, Write


class Constant:
    """An estimator that answers the same for every row."""

    def __init__(self, value: int) -> None:
        self.value = value

    def predict(self, rows: list[Any]) -> list[Any]:
        return [self.value for _ in rows]


def load(path: Path) -> LoadedArtefact:
    return estimators.adapt(Constant(int(path.read_text())), path.name)


def test_a_format_is_one_line_of_the_registry(
    serve: Load, find: Find, write: Write, monkeypatch: pytest.MonkeyPatch
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
        ("model.pkl", "pickle"),
        ("any.joblib", "pickle"),
        ("any.skops", "skops"),
        ("model.onnx", "onnx"),
        ("other.pkl", None),
        ("other.onnx", None),
        ("model.pkl.md", None),
    ],
)
def test_the_name_of_a_file_tells_its_format(file: str, name: str | None) -> None:
    """Pickles and graphs need a telling name: a folder may hold others that are no model."""
    found = registry.find(file)
    assert (found.name if found else None) == name


def test_discovery_imports_no_library_of_a_format() -> None:
    """A sync that only lists folders does not pay for pydantic, numpy or scikit-learn."""
    code = (
        "import sys, modelsync.models.discovery.folders; "
        "print({'pydantic', 'numpy', 'joblib', 'skops', 'onnxruntime'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"

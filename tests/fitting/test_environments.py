"""Jobs with the Python of a model's environment, which has none of the service's libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelsync.data.sources import examine
from modelsync.settings import load
from tests.fitting.running import fit, write_folder

OWN = """
import json, sys
class Model:
    def fit(self, x, y, **params):
        assert not {"orjson", "pydantic", "numpy", "pyarrow", "cloudpickle"} & set(sys.modules)
        return {"mean": sum(y) / len(y)}
    def update(self, x, y):
        return self.model
    def predict(self, x):
        return [self.model["mean"]] * len(x)
    def dump(self, file):
        file.write(json.dumps(self.model).encode())
    def load(self, file):
        return json.loads(file.read())
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment without any library."""
    folder = tmp_path_factory.mktemp("environment") / "bare"
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(made, check=True)
    return folder / "bin" / "python"


def test_the_standard_library_is_enough(tmp_path: Path, python: Path) -> None:
    spec = write_folder(tmp_path / "models", "Model", OWN)
    made = fit(spec, tmp_path / "out", python=python).made
    assert made.serializer == "own"
    assert set(made.libraries) == {"Python"}
    assert made.inputs is not None


def test_what_a_format_needs_is_named(tmp_path: Path, python: Path) -> None:
    """A class of the folder needs cloudpickle; plain objects do not."""
    code = OWN[: OWN.index("    def dump")] + "\nclass Mean(dict): pass\n"
    code = code.replace('return {"mean": sum(y) / len(y)}', "return Mean(mean=sum(y) / len(y))")
    spec = write_folder(tmp_path / "models", "Model", code)
    error = fit(spec, tmp_path / "out", python=python).error
    assert error.stage == "serialise"
    assert "cloudpickle" in error.message
    assert "requirements.txt" in error.message


def test_a_source_needs_pyarrow_and_says_so(tmp_path: Path, python: Path) -> None:
    spec = write_folder(tmp_path / "models", "Model", OWN)
    (tmp_path / "a.csv").write_text("n,y\n1,2\n3,4\n")
    source = examine("a.csv", "y", folder=tmp_path, settings=load({}))
    error = fit(spec, tmp_path / "out", source=source, python=python).error
    assert error.stage == "data"
    assert "add the line pyarrow to its requirements.txt" in error.message

"""`modelsync check` of a repository with shared code: it works on a copy, as a sync does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import modelsync
from tests.fixtures.service import write_example, write_model

CODE = """\
from pathlib import Path

from utils import label
from models.near import FACTOR


class Model:
    def __init__(self):
        (Path(__file__).parent / "written").write_text("x")
        Path("relative").write_text("x")

    def transform_predict(self):
        return {"value": label() * FACTOR}
"""


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git work tree: two models in `models/`, shared code beside and above them."""
    top = tmp_path_factory.mktemp("work")
    folder = write_model(top / "models", "Model", CODE, model__pkl="an artefact", notes__log="")
    write_example(folder, {}, {"value": 6})
    write_model(top / "models", "Bad", "import utils\nutils.label(\n")
    (top / "models" / "near.py").write_text("FACTOR = 2\n")
    (top / "utils.py").write_text("def label():\n    return 3\n")
    (top / ".gitignore").write_text("*.pkl\nnear.py\n__pycache__/\n")
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    return top


def files_of(top: Path) -> dict[str, int]:
    return {str(one): one.stat().st_mtime_ns for one in top.rglob("*")}


def test_nothing_is_written_into_the_checked_tree(top: Path) -> None:
    """Neither by the check nor by a model; paths in the report are those of the tree."""
    before = files_of(top)
    done = modelsync("check", "models", cwd=top)
    assert files_of(top) == before
    assert done.returncode == 1
    assert "models/Bad/etls.py:2" in done.stderr
    assert "modelsync-check-" not in done.stdout + done.stderr


@pytest.mark.parametrize(("where", "path"), [(".", "models/Model"), ("models/Model", ".")])
def test_one_folder_has_its_shared_code(top: Path, where: str, path: str) -> None:
    """From anywhere in the work tree. What git ignores of its files is told, with the rule."""
    done = modelsync("check", path, "--format", "json", cwd=top / where)
    [model] = json.loads(done.stdout)["models"]
    assert model["ok"], model
    assert model["examples"] == 1
    assert Path(model["folder"]) == top / "models" / "Model"
    [warning] = [one for one in model["warnings"] if one["kind"] == "ignored-by-git"]
    assert "model.pkl, models/near.py are here and not in the repository" in warning["message"]
    assert ".gitignore:1: *.pkl" in warning["message"]


def test_a_folder_that_is_no_work_tree(tmp_path: Path) -> None:
    """A repository without git: PATH is its top."""
    write_model(tmp_path / "models_serve", "Model", CODE.replace("models.near", "near"))
    (tmp_path / "models_serve" / "near.py").write_text("FACTOR = 2\n")
    (tmp_path / "utils.py").write_text("def label():\n    return 3\n")
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_generate_shows_the_versions_with_shared_code(top: Path) -> None:
    """`serve_models.py` names a version that changes with the shared code, and no copy of it."""
    shown = []
    for value in (3, 4):
        (top / "utils.py").write_text(f"def label():\n    return {value}\n")
        modelsync("generate", "models", "--output", str(top / "out.py"), cwd=top)
        shown.append((top / "out.py").read_text())
    (top / "out.py").unlink()
    assert shown[0] != shown[1]
    assert 'shared="."' in shown[0]


@pytest.mark.parametrize("git", [True, False])
def test_a_folder_beside_the_models_is_there_as_in_a_sync(tmp_path: Path, git: bool) -> None:
    """Its files that git ignores are not: no sync would have them."""
    code = "from pathlib import Path\ntext = Path('../data/{}').read_text()\n\n\n"
    code += "def transform_predict(x: int):\n    return {{'value': text}}\n"
    write_model(tmp_path, "Kept", code.format("codes.csv"))
    write_model(tmp_path, "Lost", code.format("lost.log"))
    (tmp_path / "data").mkdir()
    for name in ("codes.csv", "lost.log"):
        (tmp_path / "data" / name).write_text("a")
    if git:
        (tmp_path / ".gitignore").write_text("*.log\n")
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == int(git)
    assert ("Lost/etls.py:2: FileNotFoundError" in done.stderr) == git
    assert "Kept/" not in done.stderr

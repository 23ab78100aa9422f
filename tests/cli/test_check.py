"""`modelsync check`: what it tells of models before they are pushed."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

from tests.cli.conftest import BAD
from tests.command import modelsync
from tests.fixtures.service import answers, write_model

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", [".", "models_serve"])
def test_check_tells_file_line_and_reason(models: Path, path: str) -> None:
    """A repository or a models folder with broken models ends with 1, and says of each where, why
    and what to do.
    """
    done = modelsync("check", path, cwd=models.parent)
    assert done.returncode == 1
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line]
    assert rows[1:4] == [["Bad", "broken"], ["Good", "ok"], ["Ugly", "broken"]]
    assert "3 models, 2 broken" in done.stdout
    assert "models_serve/Bad/etls.py:2: " in done.stderr
    assert "no_such_library" in done.stderr
    assert "requirements.txt" in done.stderr
    assert "models_serve/Ugly/etls.py:2: " in done.stderr
    assert "Traceback" not in done.stderr


def test_check_of_one_good_folder(models: Path) -> None:
    """One model folder is checked alone, and its path may be `.`; nothing broken ends with 0."""
    for path, cwd in (("models_serve/Good", models.parent), (".", models / "Good")):
        done = modelsync("check", path, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Good" in done.stdout
        assert "1 models, all good" not in done.stdout
        assert "1 model, all good" in done.stdout


def test_check_of_one_folder_without_code(tmp_path: Path) -> None:
    """Its path may be `.` as well. What lies beside it is not checked."""
    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 2.0])
    (tmp_path / "Price").mkdir()
    (tmp_path / "Price/model.pkl").write_bytes(pickle.dumps(model))
    write_model(tmp_path, "Other", answers(1, "Other"))
    env = {"MODELSYNC_COMPILE": "off"}
    for path, cwd in (("Price", tmp_path), (".", tmp_path / "Price")):
        done = modelsync("check", "--format", "json", path, cwd=cwd, **env)
        assert (done.returncode, done.stderr) == (0, "")
        [found] = json.loads(done.stdout)["models"]
        assert found["name"] == "Price"
        assert found["ok"]
        assert found["warnings"] == []


def test_check_as_json(models: Path) -> None:
    """For a program the results are JSON: state, fault with file and line, times."""
    done = modelsync("check", "--format", "json", cwd=models.parent)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    by_name = {model["name"]: model for model in found["models"]}
    assert found["broken"] == 2
    assert by_name["Good"]["ok"]
    assert by_name["Good"]["load_seconds"] > 0
    fault = by_name["Bad"]["fault"]
    assert (fault["stage"], fault["file"], fault["line"]) == ("load", "etls.py", 2)


def test_shared_code_is_not_taken_for_a_library(models: Path) -> None:
    """What lies beside the model folders or at the top is named as that, by the check and by a
    sync.
    """
    top = models.parent
    (top / "common").mkdir()
    for file in ("common/features.py", "shared.py"):
        (top / file).touch()
    (top / "src" / "mylib").mkdir(parents=True)
    (top / "src" / "mylib" / "__init__.py").touch()
    (models / "Deep").mkdir()
    for name, module in (("Ugly", "common"), ("Bad", "shared"), ("Deep", "mylib")):
        (models / name / "etls.py").write_text(BAD.replace("no_such_library", module))
    git = ("git", "-c", "user.name=You", "-c", "user.email=you@example.org")
    for arguments in (["init"], ["add", "."], ["commit", "-m", "models"]):
        subprocess.run([*git, *arguments], cwd=top, check=True, capture_output=True)
    (top / "elsewhere").mkdir()
    followed = {
        "gitPath": top.as_uri(),
        "MODELSYNC_GIT_PROTOCOLS": "file",
        "MODELSYNC_GIT_SUBDIR": "models_serve",
    }
    for done in (
        modelsync("check", cwd=top),
        modelsync("sync", cwd=top),
        modelsync("sync", cwd=top / "elsewhere", **followed),
    ):
        told = done.stdout + done.stderr
        assert "common/ is a folder of this repository" in told
        assert "src/mylib/ is code of this repository: write src.mylib, or add src to" in told
        assert "shared.py" not in told  # it is shared code, as Python would find it
        assert "add the line" not in told


def test_check_of_nothing(tmp_path: Path) -> None:
    """A folder without any model is an error, not a success."""
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "a model is a folder with a file etls.py" in done.stderr
    for name in ("A", "B"):
        (tmp_path / "ml" / name).mkdir(parents=True)
        (tmp_path / "ml" / name / "etls.py").touch()
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "ml holds 2 model folders (A, B)" in done.stderr
    assert "set MODELSYNC_GIT_SUBDIR=ml" in done.stderr


def test_check_hides_the_secrets(tmp_path: Path) -> None:
    """A model that is checked does not see the service's secrets; it sees all other variables."""
    code = (
        "import os\n\n"
        "raise RuntimeError(os.environ['MY_OWN'] + str(os.environ.get('gitpassword')))\n"
    )
    (tmp_path / "M").mkdir()
    (tmp_path / "M" / "etls.py").write_text(
        f"{code}\nclass M:\n    def transform_predict(self):\n        return {{}}\n"
    )
    done = modelsync("check", "M", cwd=tmp_path, gitpassword="hidden-pw", MY_OWN="visible-")
    assert done.returncode == 1
    assert "visible-None" in done.stderr
    assert "hidden-pw" not in done.stdout + done.stderr


def test_check_of_a_model_that_is_not_fitted(models: Path) -> None:
    """Its examples cannot be run yet, which is said: it is not called good."""
    folder = models / "Good"
    code = (
        "class Good:\n    def fit(self, x): return 1\n"
        "    def transform_predict(self): return {'a': self.model.a}\n"
    )
    (folder / "etls.py").write_text(code)
    (folder / "examples").mkdir()
    (folder / "examples" / "one.json").write_text('{"variables": {}}')
    done = modelsync("check", "models_serve/Good", cwd=models.parent)
    assert done.returncode == 0
    assert "not fitted yet" in done.stdout
    assert "none broken; not called, because nothing is fitted yet: Good" in done.stdout
    assert "all good" not in done.stdout


def test_check_of_examples_by_the_schema(models: Path) -> None:
    """Examples are typed and refused as requests are; `schema.yml` itself is checked too."""
    folder = models / "Good"
    (folder / "examples").mkdir()
    (folder / "etls.py").write_text(TYPED)
    (folder / "schema.yml").write_text("day: {type: date}\nclass: {type: int, min: 1, max: 3}\n")
    example = {"variables": {"day": "2026-01-31", "class": "3"}, "response": {"sum": 34}}
    (folder / "examples" / "third.json").write_text(json.dumps(example))
    done = modelsync("check", str(folder), cwd=models.parent)
    assert done.returncode == 0, done.stderr
    example["variables"] = {"day": "31.1.2026", "class": 4}
    (folder / "examples" / "wrong.json").write_text(json.dumps(example))
    done = modelsync("check", str(folder), cwd=models.parent)
    assert done.returncode == 1
    assert "wrong.json" in done.stderr
    assert "class: expected a whole number from 1 to 3; came 4" in done.stderr
    assert 'day: expected a date such as 2026-01-31; came "31.1.2026"' in done.stderr


TYPED = """
class Good:
    def transform_predict(self, day, class_):
        return {"sum": day.day + class_}
"""


def test_check_warns_of_a_plan_that_cannot_be_read(models: Path) -> None:
    """An attribute that is computed trains nothing by itself: the check says so, and passes."""
    (models / "Good" / "etls.py").write_text(
        "import os\n\nclass Good:\n    source = os.environ.get('A', 'b.csv')\n"
        "    def fit(self, x): return 1\n"
    )
    done = modelsync("check", "Good", cwd=models)
    assert done.returncode == 0
    assert "Good: etls.py:4: source is not used: it is computed when the class is" in done.stdout


def test_a_warning_of_several_models_is_told_once(tmp_path: Path) -> None:
    """A dozen models without examples are one line, not a screen."""
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "etls.py").write_text("def transform_predict(variables): return {}\n")
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("never called") == 1
    assert "warning: A, B: never called" in done.stdout


def test_a_repository_is_no_model(tmp_path: Path) -> None:
    """A file at its top is passed over, as by a sync, which takes folders."""
    folder = tmp_path / "Wine"
    shutil.copytree(ROOT / "models_serve" / "Wine", folder)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    done = modelsync("check", "Wine", cwd=tmp_path, MODELSYNC_COMPILE="off")
    assert done.returncode == 1
    assert "model.joblib lies beside the model folders" in done.stderr

"""`modelsync environments` and `modelsync check`, as their users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fixtures.index import PackageIndex
from tests.fixtures.service import write_example, write_model
from tests.waiting import patient

CODE = """
import lemon

class Model:
    def transform_predict(self):
        return {"version": lemon.VERSION}
"""


def modelsync(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with a cache of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELSYNC_")}
    return subprocess.run(
        [sys.executable, "-m", "modelsync", *arguments],
        cwd=folder, env={**clean, "XDG_CACHE_HOME": str(folder / "cache"), **more},
        capture_output=True, text=True, check=False, timeout=patient(120),
    )  # fmt: skip


def test_a_check_has_the_libraries_of_the_folder(tmp_path: Path, index: PackageIndex) -> None:
    """In a clone of the repository it leaves nothing behind; it says what cannot be built."""
    clone = tmp_path / "clone"
    write_example(write_model(clone, "Shared", CODE), {}, {"version": "1.0"})
    own = write_model(clone, "Own", CODE, requirements__txt="lemon>1\n")
    write_example(own, {}, {"version": "2.0"})
    (clone / "requirements.txt").write_text("lemon==1.0\n")
    done = modelsync(tmp_path, "check", "clone", "--format", "json")
    models = json.loads(done.stdout)["models"]
    assert [(model["name"], model["ok"]) for model in models] == [("Own", True), ("Shared", True)]
    assert sorted(path.name for path in clone.iterdir()) == ["Own", "Shared", "requirements.txt"]
    (own / "requirements.txt").write_text("lemon==9\n")
    done = modelsync(tmp_path, "check", "clone")
    assert done.returncode == 1
    assert "clone/Own/requirements.txt:1: Because there is no version of lemon==9" in done.stderr


def test_environments_are_built_listed_and_removed(tmp_path: Path, index: PackageIndex) -> None:
    """Of a folder, or of what the settings name; into an image, or the state directory."""
    models = tmp_path / "models_serve"
    write_model(models, "Model", CODE, requirements__txt="basket==1.0\n")
    image = {"MODELSYNC_ENVIRONMENTS": str(tmp_path / "image")}
    assert modelsync(tmp_path, "environments", "build", "models_serve", **image).returncode == 0
    [made] = [path.name for path in (tmp_path / "image").iterdir() if path.name[0] != "."]
    assert not (tmp_path / "image" / ".cache").exists()
    assert made in modelsync(tmp_path, "environments", "list", **image).stdout
    assert made in modelsync(tmp_path, "environments", "build").stdout
    assert made in modelsync(tmp_path, "environments", "list").stdout
    assert "removed 1 environment and" in modelsync(tmp_path, "environments", "clean").stdout
    assert made not in modelsync(tmp_path, "environments", "list").stdout
    write_model(models, "Bad", CODE, requirements__txt="-e .\n")
    done = modelsync(tmp_path, "environments", "build")
    assert done.returncode == 1
    assert "Bad/requirements.txt:1: an editable package is not installed" in done.stderr

"""`modelsync check` and `generate` with MODELSYNC_GIT_MODELS: those models alone, as a sync."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import modelsync


def test_the_check_leaves_the_others_out(models: Path) -> None:
    """Neither broken models that are not named count, nor a folder that was named on the command
    line.
    """
    done = modelsync("check", ".", cwd=models.parent, MODELSYNC_GIT_MODELS="Good")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Bad" not in done.stdout + done.stderr
    done = modelsync("check", ".", cwd=models.parent, MODELSYNC_GIT_MODELS="-Bad,-Ugly")
    assert done.returncode == 0, done.stdout + done.stderr
    done = modelsync("check", "models_serve/Bad", cwd=models.parent, MODELSYNC_GIT_MODELS="Good")
    assert "models_serve/Bad/etls.py:2" in done.stderr


def test_the_check_names_what_is_missing(models: Path) -> None:
    """As a broken model; with none of those that are named there is nothing to check."""
    options = ("check", ".", "--format", "json")
    done = modelsync(*options, cwd=models.parent, MODELSYNC_GIT_MODELS="Good,Goode")
    assert done.returncode == 1, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["models"]}
    assert found["Good"]["ok"]
    assert found["Goode"]["fault"]["message"] == (
        "the model Goode is named in MODELSYNC_GIT_MODELS, and the repository has no folder of it"
    )
    assert found["Goode"]["fault"]["hint"] == "did you mean Good? it has Bad, Good, Ugly"
    done = modelsync("check", ".", cwd=models.parent, MODELSYNC_GIT_MODELS="Other")
    assert done.returncode == 1
    assert "MODELSYNC_GIT_MODELS=Other leaves no model: the repository has Bad, Good" in done.stderr


def test_generate_writes_the_selected_routes(models: Path) -> None:
    done = modelsync("generate", cwd=models.parent, MODELSYNC_GIT_MODELS="-Ugly,-Bad")
    assert done.returncode == 0, done.stderr
    assert "1 routes, 0 folders refused" in done.stdout
    assert "Bad" not in (models.parent / "serve_models.py").read_text()

"""The examples in models_serve/ load, answer as their examples say, and can be made again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import build_examples
from tests.waiting import patient

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "models_serve"
NAMES = ["Churn", "DummyExample", "Exchange", "Iris", "Linear", "Pipeline", "Titanic", "Wine"]
UNFITTED = {"Linear", "Titanic"}
"""The examples that have to be fitted first, so that no answer of theirs is known."""


def checked(folder: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "modelsync", "check", str(folder), "--format", "json"],
        cwd=folder.parent, capture_output=True, text=True, timeout=patient(100),
    )  # fmt: skip
    assert done.stdout, done.stderr
    return {model["name"]: model for model in json.loads(done.stdout)["models"]}


def test_examples_pass_their_own_examples() -> None:
    """Every example model passes the check with all of its examples, and each has at least two with
    a response, unless it has to be fitted first.
    """
    models = checked(EXAMPLES)
    assert sorted(models) == NAMES
    for name, model in models.items():
        assert model["fault"] is None
        files = list((EXAMPLES / name / "examples").glob("*.json"))
        if name not in UNFITTED:
            contents = [json.loads(file.read_text()) for file in files]
            answered = [one for one in contents if "status" not in one]
            assert model["examples"] == len(answered) >= 2
            assert all(one["response"] for one in answered)


def test_artefacts_can_be_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make examples` gives models that answer as the committed ones do."""
    models = tmp_path / "models_serve"
    shutil.copytree(
        EXAMPLES, models, ignore=shutil.ignore_patterns("*.pkl", "*.joblib", "__pycache__")
    )
    build_examples.main(models)
    assert {name: model["fault"] for name, model in checked(models).items()} == dict.fromkeys(NAMES)
    assert capsys.readouterr().out.count("built ") == 5

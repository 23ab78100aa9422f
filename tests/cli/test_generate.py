"""`modelsync generate`: the list of routes for a folder of models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.command import modelsync

ROOT = Path(__file__).parents[2]


def test_generate_lists_every_route(models: Path) -> None:
    """`generate` writes serve_models.py beside the models, prints the routes, and names the folders
    it refused.
    """
    done = modelsync("generate", cwd=models.parent, baseUrl="api/v1")
    assert done.returncode == 0, done.stderr
    assert "POST /api/v1/Good" in done.stdout
    assert "models_serve/Ugly/etls.py:2" in done.stderr
    written = (models.parent / "serve_models.py").read_text()
    compile(written, "serve_models.py", "exec")
    assert "Good" in written


def test_generate_takes_a_folder_and_a_file(models: Path) -> None:
    """Folder and output may be given; create_serve_models.py is the same command."""
    done = modelsync("generate", "models_serve", "--output", "elsewhere.py", cwd=models.parent)
    assert done.returncode == 0, done.stderr
    thin = subprocess.run(
        [sys.executable, str(ROOT / "create_serve_models.py")],
        cwd=models.parent,
        capture_output=True,
        text=True,
    )
    assert thin.returncode == 0, thin.stderr
    assert (models.parent / "serve_models.py").read_bytes() == (
        models.parent / "elsewhere.py"
    ).read_bytes()

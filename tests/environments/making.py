"""Folders with requirements, and the Python of an environment at work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from modelsync.environments.builder import Builder
from modelsync.environments.requirements import Requirements, below, find
from modelsync.models.types import Fault


def requirements(folder: Path, **files: str) -> Requirements:
    """The requirements of a folder with these files; `requirements__txt` is requirements.txt."""
    found = found_in(folder, **files)
    assert isinstance(found, Requirements), found
    return found


def found_in(folder: Path, **files: str) -> Requirements | Fault | None:
    """What is found in a folder with these files."""
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return find(below(folder))


def asked(builder: Builder, environment: str, code: str) -> str:
    """What the Python of an environment prints when it runs a line of code."""
    python = builder.environments.folder / environment / "bin" / "python"
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

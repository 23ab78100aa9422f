"""Folders with requirements, and the Python of an environment at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

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


def other_python() -> tuple[str, Path]:
    """Another minor version of Python that this machine has, and the folder with its program.

    Skips the test without one.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in ("3.12", "3.13", "3.14", "3.11"):
        installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
        found = [which(f"python{version}"), *map(str, installed)]
        for program in filter(None, found):
            command = [program, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            if version != own and done.stdout.strip() == version:
                return version, Path(program).parent
    pytest.skip("no other Python is installed")


def asked(builder: Builder, environment: str, code: str) -> str:
    """What the Python of an environment prints when it runs a line of code."""
    python = builder.environments.folder / environment / "bin" / "python"
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

"""What runs with the Python of an environment needs none of the service's libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import modelsync

ROOT = Path(modelsync.__file__).parent.parent


@pytest.mark.parametrize("module", ["modelsync.runner.program", "modelsync.fitting.program"])
def test_the_programs_of_an_environment_import_without_any_library(module: str) -> None:
    """Without site-packages, as in an environment that has only what its models ask for."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

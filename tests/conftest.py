"""What tests and their models leave in the folder for temporary files goes with the run."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Give the run such a folder, for all its processes; `tmp_path` stays where it was."""
    if hasattr(config, "workerinput"):  # it inherits that of the process that has started it
        return
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="modelsync-tests-"))
    folder.chmod(0o711)  # a database server that runs as another user finds its own in there
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))

"""What is remembered of versions that end the process that loads them."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from modelsync.errors import ModelBroken
from modelsync.inference.load_attempts import MAX_DEATHS, LoadAttempts
from modelsync.models.versions import FittedVersion

GOOD = FittedVersion("Model", 1, "k1", "joblib", "a" * 64, 1, Path("none"))
BAD = FittedVersion("Model", 2, "k2", "joblib", "b" * 64, 1, Path("none"))


def end_while_loading(folder: Path) -> None:
    with LoadAttempts(folder).attempt(BAD):
        os._exit(11)


def end_some(folder: Path, count: int) -> None:
    for _ in range(count):
        process = get_context("fork").Process(target=end_while_loading, args=(folder,))
        process.start()
        process.join()
        assert process.exitcode == 11


def test_a_version_that_has_ended_too_many_processes_is_refused(tmp_path: Path) -> None:
    """And no other version of the model with it."""
    end_some(tmp_path, MAX_DEATHS - 1)
    with LoadAttempts(tmp_path).attempt(BAD):
        pass
    end_some(tmp_path, 1)
    refused = pytest.raises(ModelBroken, match="loading version 2 has ended its process")
    with refused, LoadAttempts(tmp_path).attempt(BAD):
        pytest.fail("it is loaded")
    with LoadAttempts(tmp_path).attempt(GOOD):
        pass


def test_a_process_that_others_depend_on_takes_no_risk(tmp_path: Path) -> None:
    """One death is enough for it."""
    end_some(tmp_path, 1)
    with pytest.raises(ModelBroken), LoadAttempts(tmp_path, max_deaths=1).attempt(BAD):
        pytest.fail("it is loaded")


def test_a_load_that_fails_is_no_death(tmp_path: Path) -> None:
    """However often: its process goes on."""
    attempts = LoadAttempts(tmp_path, max_deaths=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), attempts.attempt(BAD):
            raise ValueError("no")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"proved": 1, "tried": [[1]]}'])
def test_a_damaged_record_is_no_record(tmp_path: Path, content: bytes) -> None:
    """Its writer was killed."""
    (tmp_path / "Model").write_bytes(content)
    with LoadAttempts(tmp_path, max_deaths=1).attempt(BAD):
        pass

"""Which error of the machine is told as what."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from modelsync import locks
from modelsync.deadline import Deadline
from modelsync.errors import ResourcesExhausted, StorageFailed, SyncError
from modelsync.files import storage
from modelsync.releases.store import Releases
from modelsync.resources import starting


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StorageFailed, "No space left"),
        (errno.EROFS, StorageFailed, "Read-only"),
        (errno.ENOLCK, StorageFailed, "No locks available"),
        (errno.EMFILE, ResourcesExhausted, "Too many open files"),
        (errno.ENOMEM, ResourcesExhausted, "Cannot allocate memory"),
    ],
)
def test_a_disk_is_blamed_only_for_what_is_its_fault(
    number: int, kind: type[SyncError], words: str
) -> None:
    """Too many open files are no fault of the state directory."""
    with pytest.raises(kind, match=words), storage():
        raise OSError(number, "x")


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(11, "x")])
def test_what_cannot_be_started_is_named(error: Exception) -> None:
    """A thread or a process, for want of resources."""
    with pytest.raises(ResourcesExhausted, match="git cannot be started"), starting("git"):
        raise error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), FileNotFoundError(2, "x")])
def test_other_errors_pass(error: Exception) -> None:
    """They are bugs, or another's matter."""
    with pytest.raises(type(error)), starting("git"):
        raise error


def test_a_volume_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """flock fails on some network volumes: the sync says so instead of dying."""

    def unsupported(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "try_lock", unsupported)
    with (
        pytest.raises(StorageFailed, match="No locks available"),
        Releases(tmp_path).lock(Deadline(5)),
    ):
        pass

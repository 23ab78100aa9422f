"""Locks between processes: who waits, who is refused, and that the kernel releases them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.errors import SyncTimeout
from modelsync.locks import is_locked, lock, open_for_lock, try_lock


@pytest.fixture(params=["file", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is locked: a file that does not exist yet, or a folder."""
    return tmp_path / "lock" if request.param == "file" else tmp_path


def test_an_exclusive_lock_excludes_all_others(path: Path) -> None:
    """Whoever tries is refused; whoever waits is told at the deadline."""
    first, second = open_for_lock(path), open_for_lock(path)
    lock(first)
    assert not try_lock(second)
    assert not try_lock(second, shared=True)
    with pytest.raises(SyncTimeout):
        lock(second, deadline=Deadline(0.1))
    assert is_locked(path)
    assert is_locked(path, exclusively=True)
    os.close(first)
    assert try_lock(second)
    os.close(second)
    assert not is_locked(path)


def test_shared_locks_are_held_at_once(path: Path) -> None:
    """They exclude an exclusive one only, and are no exclusive lock."""
    first, second = open_for_lock(path), open_for_lock(path)
    lock(first, shared=True)
    lock(second, shared=True)
    assert is_locked(path)
    assert not is_locked(path, exclusively=True)
    os.close(first)
    os.close(second)


def test_the_lock_of_a_killed_process_is_released(path: Path) -> None:
    """The kernel releases it, so no crash leaves one behind."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        lock(open_for_lock(path))
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    assert is_locked(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_locked(path)
    for number in (reading, writing):
        os.close(number)

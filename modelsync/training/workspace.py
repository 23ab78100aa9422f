"""The folder of one job while it runs. Its process holds the kernel's lock on it, so whoever asks
knows whether the job still runs; a crash leaves the folder, and no lock.

    home/jobs/<id>/              locked by the job's process
    home/jobs/<id>/owner         as whom it has claimed its row
    home/jobs/<id>/output/       what the process that fits has made
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from modelsync import locks
from modelsync.files import remove_tree, storage, write_atomically
from modelsync.fitting.messages import RESULT, FitResult
from modelsync.models.serialization import from_json


class Workspace:
    """The folder of one job. Only `held` makes it."""

    def __init__(self, home: Path, job: str) -> None:
        self.path = home.absolute() / "jobs" / job
        self.output = self.path / "output"
        self._owner = self.path / "owner"

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Make the folder if it is missing, and hold its lock; yields False if another process has
        it. Raises StorageFailed.
        """
        with storage():
            self.path.mkdir(parents=True, exist_ok=True)
            number = locks.open_for_lock(self.path)
        try:
            with storage():
                mine = locks.try_lock(number)
            yield mine
        finally:
            os.close(number)

    def begin(self, owner: str) -> None:
        """Empty the folder, and note as whom the job is claimed. Raises StorageFailed."""
        with storage():
            for left in self.path.iterdir():
                remove_tree(left)
            self.output.mkdir()
            write_atomically(self._owner, owner.encode())

    def finished(self) -> tuple[str, FitResult] | None:
        """Return what a process that has ended had fitted and could not store, and its owner.

        None if there is nothing, or a failure: the job can begin again.
        """
        with suppress(OSError, ValueError, TypeError, KeyError):
            owner = self._owner.read_text()
            result = from_json(FitResult, orjson.loads((self.output / RESULT).read_bytes()))
            if not result.error and (self.output / result.file).is_file():
                return owner, result
        return None

    def is_held(self) -> bool:
        """Whether the job's process lives."""
        with suppress(OSError):
            return locks.is_locked(self.path)
        return False

    def remove(self) -> None:
        """Remove the folder; what cannot be removed now is swept later."""
        with suppress(OSError):
            remove_tree(self.path)


def held(home: Path) -> set[str]:
    """Return the jobs whose processes live in this state directory."""
    return {job for job in _jobs(home) if Workspace(home, job).is_held()}


def unheld(home: Path) -> set[str]:
    """Return the jobs whose folders nobody holds: a crash has left them, or they just begin."""
    return _jobs(home) - held(home)


def _jobs(home: Path) -> set[str]:
    try:
        return {entry.name for entry in (home / "jobs").iterdir() if entry.is_dir()}
    except OSError:
        return set()

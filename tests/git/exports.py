"""Exports whose large files come from a Git LFS server that does what it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelsync.deadline import Deadline
from modelsync.git.lfs.large_files import LargeFiles
from modelsync.models.types import Fault
from modelsync.settings import Git
from modelsync.settings.secret import Secret
from tests.fixtures.lfs import pointer
from tests.fixtures.lfs_faults import FaultyLfs, Reply
from tests.waiting import patient

DATA, OTHER = b"model " * 50_000, b"other " * 1000
SECRET = "s3cret-of-the-tests"


class Export:
    """An export of two models with a large file each, and the state directory beside it."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.home, self.out = folder / "home", folder / "out"
        for name, text in (files or {"Churn": pointer(DATA), "Iris": pointer(OTHER)}).items():
            (self.out / name).mkdir(parents=True, exist_ok=True)
            (self.out / name / "model.pkl").write_text(text)

    def file(self, name: str) -> bytes:
        return (self.out / name / "model.pkl").read_bytes()

    def fetch(
        self, server: FaultyLfs, seconds: float = 30, **settings: Any
    ) -> Mapping[str, tuple[Fault, ...]]:
        git = Git(
            **{
                "path": f"{server.origin}/team/models.git",
                "protocols": frozenset({"http"}),
                "user": "user",
                "password": Secret(SECRET),
                "lfs_url": server.url,
                **settings,
            }
        )
        files = LargeFiles(self.home, git, mirror=self.home / "repo.git")
        return files.put_in_place("1" * 40, self.out, Deadline(patient(seconds)))


def fault_of(faults: Mapping[str, tuple[Fault, ...]], name: str = "Churn") -> Fault:
    """The fault of this model, which is the only one that has any."""
    assert set(faults) == {name}
    [fault] = faults[name]
    assert fault.file == "model.pkl"
    assert fault.message.startswith("LFS pointer: ")
    assert SECRET not in fault.message
    return fault


def only(oid: str, reply: Callable[[], Reply]) -> Callable[[str, bytes], Reply]:
    """An answer to a download of one object; others get what they ask for."""

    def respond(_range: str, data: bytes) -> Reply:
        if hashlib.sha256(data).hexdigest() == oid:
            return reply()
        return Reply(200, {}, lambda: iter([data]), len(data))

    return respond

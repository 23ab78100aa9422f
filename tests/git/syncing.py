"""A sync of the mirror alone, and what must not be left of it."""

from __future__ import annotations

from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.git.mirror import Mirror
from modelsync.settings import Git
from tests.fixtures.git import GitServer
from tests.waiting import patient, until


def git_of(server: GitServer, **more: object) -> Git:
    return Git(path=server.url, protocols=frozenset({"http", "https", "ssh"}), **more)  # type: ignore[arg-type]


def sync(git: Git, folder: Path, seconds: float = 30) -> str:
    """Find the commit, get it, write it into folder/out."""
    mirror = Mirror(folder / "home", git)
    deadline = Deadline(patient(seconds))
    commit = mirror.resolve(deadline)
    mirror.fetch(commit, deadline)
    mirror.export(commit, folder / "out", deadline)
    return commit


def processes_of(folder: Path) -> list[str]:
    """The processes that were started for the state directory in `folder`: their HOME is inside of
    it.
    """
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOME={folder}/home/.git-".encode() in environ.read_bytes():
                found.append(
                    (environ.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
        except OSError:
            continue
    return found


def assert_clean(folder: Path) -> None:
    """No process and no temporary folder is left."""
    until(lambda: not processes_of(folder), 5, "all children are gone")
    assert [item.name for item in (folder / "home").iterdir() if item.name != "repo.git"] == []

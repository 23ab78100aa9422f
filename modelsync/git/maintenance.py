"""Maintenance of the mirror on disk: create it, clean up after killed gits, keep it small."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from modelsync.errors import SyncError
from modelsync.files import remove_tree
from modelsync.git.process import GitRunner

PACKS = 50
"""Each fetch adds a pack. Over this many, they become one without what no kept commit needs."""

KEPT = 10
"""Commits that are kept then, those fetched last."""

_LEFT_BY_KILLED = (
    "**/*.lock",
    "objects/pack/tmp_*",
    "objects/pack/*.keep",
    "objects/??/tmp_*",
    "objects/incoming-*",
)


def create(run: GitRunner, path: Path) -> None:
    """Make an empty bare repository, unless there is one. It appears by one rename, as a whole.

    Raises OSError, SyncError.
    """
    if path.is_dir():
        return
    remove_tree(path)
    new = run.private / "new.git"
    run("init", "-q", "--bare", "--template=", str(new), local=True, repository=False)
    new.rename(path)


def clear_up(path: Path) -> None:
    """Remove the files that a killed git left. Raises OSError.

    Its locks would stop the next git, its temporary packs fill the disk. The caller holds the lock
    of the repository, so no git runs on it.
    """
    for pattern in _LEFT_BY_KILLED:
        for left in path.glob(pattern):
            remove_tree(left)


def repack(run: GitRunner, path: Path, commit: str) -> None:
    """Keep the repository from growing for ever: over `PACKS` packs, keep `KEPT` commits.

    `commit` is one of them. A failure is ignored: the next fetch tries again.
    """
    if len(list(path.glob("objects/pack/*.pack"))) <= PACKS:
        return
    with suppress(SyncError, OSError):
        kept = sorted((path / "refs/kept").iterdir(), key=lambda file: file.stat().st_mtime)
        spared = {f"refs/kept/{file.name}" for file in kept[-KEPT:]} | {f"refs/kept/{commit}"}
        for name in run("for-each-ref", "--format=%(refname)", local=True).splitlines():
            if name not in spared:
                run("update-ref", "-d", name, local=True)
        run("repack", "-a", "-d", "-q", local=True)

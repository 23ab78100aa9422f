"""The files of a commit, read from the objects of a repository one by one, as they are asked for.

A tree is an object too, so that only the folders that are looked into cost anything: a repository
of a hundred thousand files is read as fast as one of a hundred.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modelsync.git.process import GitRunner
from modelsync.git.tree import content
from modelsync.models.discovery.repository_files import Kind, is_content, joined

T = TypeVar("T")

LONGEST_CHAIN = 40
"""Links that lead to links, as the kernel follows them."""

TREE, LINK, SUBMODULE, EXECUTABLE = "40000", "120000", "160000", "100755"

KINDS: dict[str, Kind] = {TREE: "folder", SUBMODULE: "submodule"}
LINKS: dict[str, Kind] = {TREE: "linked folder", SUBMODULE: "link"}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What a tree has under a name: a mode, without leading zeros, and the hash of an object."""

    mode: str
    sha: str


class CommitFiles:
    """The files below a tree; links that stay in the repository are what they lead to.

    `batch`: a `git cat-file --batch`. Each object is compared with its hash. Raises MirrorCorrupt.
    """

    def __init__(self, batch: subprocess.Popen[bytes], tree: str) -> None:
        self._batch = batch
        self._top = ObjectName(TREE, tree)
        self._trees: dict[str, dict[str, ObjectName]] = {}

    def names(self, folder: str) -> Mapping[str, Kind]:
        """Read the tree of the folder once."""
        entry = self._find(folder)
        if entry is None or entry.mode != TREE:
            return {}
        found: dict[str, Kind] = {}
        for name, inner in self._tree(entry.sha).items():
            if is_content(name):
                found[name] = KINDS.get(inner.mode, "file")
                if inner.mode == LINK:
                    end = self._find(joined(folder, name))
                    found[name] = LINKS.get(end.mode, "file") if end else "link"
        return found

    def chunks(self, path: str) -> Iterator[bytes]:
        """Read the blob."""
        yield from content(self._batch, self._existing(path).sha)

    def digest(self, path: str) -> str:
        """Git's own."""
        return self._existing(path).sha

    def write(self, path: str, target: Path) -> None:
        """Write the blob."""
        mode = 0o755 if self._existing(path).mode == EXECUTABLE else 0o644
        number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(number, "wb") as file:
            file.writelines(self.chunks(path))

    # --- trees ------------------------------------------------------------------------------------

    def _existing(self, path: str) -> ObjectName:
        if (found := self._find(path)) is None:
            raise FileNotFoundError(path)
        return found

    def _find(self, path: str) -> ObjectName | None:
        """Return what a path leads to; None if that is not in the repository."""
        for _ in range(LONGEST_CHAIN):
            found = self._walk(path)
            if not isinstance(found, str):
                return found
            path = found
        return None

    def _walk(self, path: str) -> ObjectName | str | None:
        """Return the entry at a path; another path, if there is a link on the way."""
        entry, parts = self._top, path.split("/") if path else []
        for place, part in enumerate(parts):
            if entry.mode != TREE or (inner := self._tree(entry.sha).get(part)) is None:
                return None
            entry = inner
            if entry.mode == LINK:
                text = os.fsdecode(b"".join(content(self._batch, entry.sha)))
                aim = posixpath.normpath("/".join([*parts[:place], text, *parts[place + 1 :]]))
                is_outside = text.startswith("/") or aim == ".." or aim.startswith("../")
                return None if is_outside or "\0" in text else "" if aim == "." else aim
        return entry

    def _tree(self, sha: str) -> dict[str, ObjectName]:
        """Return the entries of a tree object: `<mode> <name>NUL<20 bytes>` each."""
        if sha not in self._trees:
            data = b"".join(content(self._batch, sha, b"tree"))
            found: dict[str, ObjectName] = {}
            start = 0
            while start < len(data):
                end = data.index(b"\0", start)
                mode, _, name = data[start:end].partition(b" ")
                text = os.fsdecode(name)
                if text not in ("", ".", "..") and "/" not in text:
                    found[text] = ObjectName(
                        mode.decode().lstrip("0"), data[end + 1 : end + 21].hex()
                    )
                start = end + 21
            self._trees[sha] = found
        return self._trees[sha]


def inspect(run: GitRunner, commit: str, action: Callable[[CommitFiles], T]) -> T:
    """Call `action` with the files of a commit. Raises SyncError, and what `action` raises."""
    tree = run("rev-parse", "--verify", "-q", f"{commit}^{{tree}}", local=True).strip()
    with run.process("cat-file", "--batch", stdin=subprocess.PIPE) as batch:
        return action(CommitFiles(batch, tree))

"""Checkout: writes the files of a commit below one folder, safely.

Trees come from outside and may be made by hand: a path may climb out of the folder, one name may be
both a link and a folder, a link may lead anywhere. What cannot be written safely is left out and
reported as a fault of the one model that holds it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modelsync.files import ignored
from modelsync.models.types import Fault

_LINK = "put the file itself there; a module beside the folders needs no link: it can be imported"
_NAME_MAX = 255  # bytes, on every file system in use
_FAULTS_OF_THE_ENTRY = {
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
}


def shown(name: str) -> str:
    """A name as reports show it: bytes that are not UTF-8 are escaped, as JSON has no others."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def followed(folder: str) -> bool:
    """Whether a folder may hold a model. Names that start with a dot belong to tools."""
    return not folder.startswith(".") and not ignored(folder)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A line of `git ls-tree -r`. `path` is relative to the folder that holds the models."""

    mode: str
    sha: str
    path: str

    @classmethod
    def parse(cls, line: str) -> TreeEntry:
        """Parse `<mode> <type> <hash>TAB<path>`."""
        about, _, path = line.partition("\t")
        mode, _, sha = about.split()
        return cls(mode, sha, path)

    @property
    def folder(self) -> str:
        """The model's folder."""
        return self.path.split("/", 1)[0]


class TreeWriter:
    """Writes entries below `target`: for each `accepts`, then `write`; at the end `finish`.

    Links come last. Until then every folder on every path is a real folder that was made here, so
    nothing can be written through a link. `problems` has the faults by model folder.
    """

    def __init__(self, target: Path) -> None:
        self.folders: set[str] = set()
        self.problems: dict[str, list[Fault]] = {}
        self._target = target
        self._links: list[tuple[TreeEntry, str]] = []

    def accepts(self, entry: TreeEntry) -> bool:
        """Whether the entry is to be written. A refused entry of a model becomes its fault."""
        parts = entry.path.split("/")
        if not followed(parts[0]) and parts[0] not in {".", ".."}:
            return False
        if entry.mode == "160000":
            reason = "is a git submodule, and submodules are not fetched"
        elif len(parts) == 1 and entry.mode == "120000":
            reason = "is a link, and a model is a folder"
        elif len(parts) == 1:
            return False
        elif any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
            reason = "is a path that could lead out of the model's folder"
        elif any(len(os.fsencode(part)) > _NAME_MAX for part in parts):
            reason = f"has a name of more than {_NAME_MAX} bytes"
        elif shown(parts[0]) != parts[0]:
            reason = "is in a folder whose name is not UTF-8"
        elif entry.mode not in {"100644", "100664", "100755", "120000"}:
            reason = f"is not a file, folder or link (mode {entry.mode})"
        else:
            self.folders.add(parts[0])
            return True
        self._refuse(entry, reason)
        return False

    def write(self, entry: TreeEntry, content: Iterable[bytes]) -> None:
        """Write one file; a link is kept for the end. Raises OSError if the storage fails."""
        if entry.mode == "120000":
            self._links.append((entry, os.fsdecode(b"".join(content))))
            return
        path = self._target / entry.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o755 if entry.mode == "100755" else 0o644
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        except OSError as error:
            self._refuse_or_raise(entry, error)
            return
        with os.fdopen(number, "wb") as file:
            file.writelines(content)

    def finish(self) -> None:
        """Make the links that stay within their model's folder.

        Raises OSError if the storage fails.
        """
        made = [(entry, path) for entry, text in self._links if (path := self._link(entry, text))]
        # A link that looks harmless may climb out through another one, so where each really ends is
        # looked up; taking one away can change where others end.
        while out := [(entry, path) for entry, path in made if not self._stays(entry, path)]:
            for entry, path in out:
                path.unlink()
                self._refuse(entry, "is a link that leads out of the model's folder", _LINK)
            made = [item for item in made if item not in out]

    def _link(self, entry: TreeEntry, text: str) -> Path | None:
        path = self._target / entry.path
        aim = os.path.normpath(Path(entry.path).parent / text)
        if text.startswith("/") or "\0" in text or not text or aim.split("/", 1)[0] != entry.folder:
            self._refuse(entry, "is a link that leads out of the model's folder", _LINK)
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(text)
        except OSError as error:
            self._refuse_or_raise(entry, error)
            return None
        return path

    def _stays(self, entry: TreeEntry, path: Path) -> bool:
        # os.path: Path.resolve raises for links that go round in circles, which are merely useless.
        return Path(os.path.realpath(path)).is_relative_to(
            os.path.realpath(self._target / entry.folder)
        )

    def _refuse_or_raise(self, entry: TreeEntry, error: OSError) -> None:
        if error.errno not in _FAULTS_OF_THE_ENTRY:
            raise error
        self._refuse(entry, f"cannot be written: {os.strerror(error.errno)}")

    def _refuse(self, entry: TreeEntry, reason: str, hint: str | None = None) -> None:
        inner = shown(entry.path.partition("/")[2] or entry.path)
        self.problems.setdefault(shown(entry.folder), []).append(
            Fault("static", f"{inner!r} {reason}", file=inner, hint=hint)
        )

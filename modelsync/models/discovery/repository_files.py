"""The files of a whole repository, beside the model folders too: those of a local folder here,
those of a commit in `git.commit_files`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

from modelsync.files import blob_hash, ignored

Kind = Literal["file", "folder", "linked folder", "link", "submodule"]
"""What a name stands for. A link to a file in the repository is that file; one to a folder there
may lead round in circles, so nothing is listed through it; `link` is one that leads out.
"""

CHUNK = 1 << 20


class Listing(Protocol):
    """Files that can be found and read, by their paths from the top (empty: the top itself).

    Names that start with a dot, byte code and the like are left out (`is_content`).
    """

    def names(self, folder: str) -> Mapping[str, Kind]:
        """Return the names in a folder, and what they are; none if there is no such folder."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file; it must be read to its end."""


class RepositoryFiles(Listing, Protocol):
    """The files of a repository."""

    def digest(self, path: str) -> str:
        """Return git's hash of a file's content, 40 hex digits."""

    def write(self, path: str, target: Path) -> None:
        """Write a file to a new place. Raises OSError."""


def is_content(name: str) -> bool:
    """Return whether a name may be part of shared code: those with a dot belong to tools."""
    return not name.startswith(".") and not ignored(name)


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder."""
    return f"{folder}/{name}" if folder else name


def read(files: Listing, path: str) -> bytes:
    """Return the content of a file."""
    return b"".join(files.chunks(path))


class FolderFiles:
    """The files below a local folder, as they are now; of source, as they were when first read.

    `only`: the one name at the top that counts, if the folder is not the repository.
    """

    def __init__(self, root: Path, only: str = "") -> None:
        self._root = os.path.realpath(root)
        self._only = only
        self._names: dict[str, dict[str, Kind]] = {}
        self._sources: dict[str, bytes] = {}

    def names(self, folder: str) -> Mapping[str, Kind]:
        """Look into the folder once; what cannot be read has no names."""
        if folder not in self._names:
            found = self._listed(folder)
            if not folder and self._only:
                found = {name: kind for name, kind in found.items() if name == self._only}
            self._names[folder] = found
        return self._names[folder]

    def _listed(self, folder: str) -> dict[str, Kind]:
        found: dict[str, Kind] = {}
        try:
            with os.scandir(self._place(folder)) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    if is_content(entry.name) and (kind := self._kind(entry)):
                        found[entry.name] = kind
        except OSError:
            return {}
        return found

    def _kind(self, entry: os.DirEntry[str]) -> Kind | None:
        if entry.is_symlink():
            end = os.path.realpath(entry.path)
            if not Path(end).is_relative_to(self._root) or os.path.islink(end):  # noqa: PTH114
                return "link"  # out of the repository, or round in circles
            return "linked folder" if entry.is_dir() else "file" if entry.is_file() else None
        return "folder" if entry.is_dir() else "file" if entry.is_file() else None

    def chunks(self, path: str) -> Iterator[bytes]:
        """Read the file; of source, what was read first, so that its hash and its copy agree."""
        if path.endswith(".py"):
            if path not in self._sources:
                self._sources[path] = Path(self._place(path)).read_bytes()
            yield self._sources[path]
            return
        with open(self._place(path), "rb", buffering=0) as file:  # noqa: PTH123 - of each file of 500 folders
            while chunk := file.read(CHUNK):
                yield chunk

    def digest(self, path: str) -> str:
        """Compute the hash."""
        if path.endswith(".py"):
            content = read(self, path)
            head = b"blob %d\0" % len(content)
            return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
        return blob_hash(self._place(path))

    def write(self, path: str, target: Path) -> None:
        """Copy the file."""
        if path.endswith(".py"):
            target.write_bytes(read(self, path))
        else:
            shutil.copy2(self._place(path), target)

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

"""Gives models their shared files: `shared/<id>` in a release, laid out as in the repository.

Models that use the same files share such a folder. Like all of a release it is never modified.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

from modelsync.files import remove_tree, storage
from modelsync.models.discovery.repository_files import FolderFiles, RepositoryFiles
from modelsync.models.discovery.shared_code import SharedCode, SharedFiles
from modelsync.models.lfs_pointer import pointers_below
from modelsync.models.types import Fault, ModelSpec

REFUSED: dict[str, str] = {
    "link": "a link that leads out of the repository",
    "submodule": "a git submodule, and submodules are not fetched",
}

REQUIRING = ("requirements.txt", "pyproject.toml")
"""Files that may give a model a library that is not installed here."""

ID = 16
"""Hex digits of an id that name a folder."""


class SharedFolders:
    """The shared files of all models of a repository, whose folders lie in `subdir`.

    They are copied into a folder of `place` for each set of them, which begins anew. Without
    `copies`, for an analysis alone, `place` is the repository itself.
    """

    def __init__(
        self, files: RepositoryFiles, subdir: str, place: Path, *, copies: bool = True
    ) -> None:
        self._code = SharedCode(files, subdir)
        self._place = place
        self._copies = copies
        if copies:
            with storage():
                remove_tree(place)

    def give(self, spec: ModelSpec) -> ModelSpec:
        """Return the model with its shared files and with the version that these are part of.

        Raises OSError if its folder cannot be read, StorageFailed, and what the files raise.
        """
        found = self._code.of(spec.name, FolderFiles(spec.path))
        if fault := _refusal(found, spec):
            return replace(spec, fault=fault)
        if not found.digests:
            return spec
        folder = self._place / found.id[:ID] if self._copies else self._place
        if self._copies and not folder.exists():
            with storage():
                self._write(found.digests, folder)
        return replace(spec, version=found.version(spec.version), shared=folder)

    def _write(self, paths: Iterable[str], folder: Path) -> None:
        for path in paths:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._code.files.write(path, target)


def _refusal(found: SharedFiles, spec: ModelSpec) -> Fault | None:
    """Return the fault of a model that imports what is no file of the repository, unless it may
    mean a library.
    """
    if any((spec.path / name).exists() for name in REQUIRING):
        return None
    for path, kind in found.refused.items():
        top = path.rpartition("/")[2].removesuffix(".py")
        if PathFinder.find_spec(top) is None:
            return Fault("static", f"it imports {path}, which is {REFUSED[kind]}")
    return None


def pointer_faults(place: Path) -> dict[str, tuple[Fault, ...]]:
    """Return the faults of shared files that are pointers of Git LFS, by the names of the folders
    that they lie in. Raises OSError.
    """
    found: dict[str, tuple[Fault, ...]] = {}
    for path, _ in pointers_below(place) if place.is_dir() else ():
        name, _, file = path.partition("/")
        found.setdefault(name, (_pointer_fault(file),))
    return found


def _pointer_fault(file: str) -> Fault:
    return Fault(
        "static",
        f"LFS pointer: the shared file {file} holds a reference to Git LFS in place of the file",
        hint="in a clone, run `git lfs pull`",
    )

"""Lays out the shared files of models: `shared/<id>` in a release, as in the repository.

Models that use the same files share such a folder. Like all of a release it is never modified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from modelsync.files import copy_tree, remove_tree
from modelsync.models.discovery.repository_files import FolderFiles, RepositoryFiles
from modelsync.models.discovery.shared_code import SharedCode
from modelsync.models.types import ModelEntry, ModelSpec

FOLDER = "shared"
"""The name of the folder in a release."""

ID = 16
"""Hex digits of an id that name a folder."""


def share(specs: Sequence[ModelSpec], files: RepositoryFiles, place: Path) -> list[ModelSpec]:
    """Return the models with their shared files, which are written below the folder `place`, and
    with the version that these are part of.

    A second call begins anew. Raises OSError, and what `files` raises.
    """
    remove_tree(place)
    subdir = specs[0].subdir if specs else ""
    code = SharedCode(files, subdir)
    return [spec if spec.fault else _shared(spec, code, place) for spec in specs]


def _shared(spec: ModelSpec, code: SharedCode, place: Path) -> ModelSpec:
    found = code.of(spec.name, FolderFiles(spec.path))
    if not found.digests:
        return spec
    folder = place / found.id[:ID]
    if not folder.exists():
        _write(found.digests, code.files, folder)
    return replace(spec, version=found.version(spec.version), shared=folder)


def _write(paths: Iterable[str], files: RepositoryFiles, folder: Path) -> None:
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, target)


def keep(entry: ModelEntry, release: Path, place: Path) -> None:
    """Copy the shared files of a stale model from the release that serves. Raises OSError."""
    shared = entry.spec.shared
    if shared and not (target := place / shared.name).exists():
        place.mkdir(exist_ok=True)
        copy_tree(release / shared, target)


def remove_unused(entries: Iterable[ModelEntry], place: Path) -> None:
    """Remove what no model of a release uses, since an earlier version serves. Raises OSError."""
    used = {entry.spec.shared.name for entry in entries if entry.spec.shared}
    for folder in place.iterdir() if place.is_dir() else ():
        if folder.name not in used:
            remove_tree(folder)

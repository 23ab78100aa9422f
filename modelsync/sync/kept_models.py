"""The files of a model whose earlier version goes on to serve, in the new release.

A release holds all that it serves, so that older ones can be removed as soon as no process runs
them.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelsync.files import copy_tree, remove_tree
from modelsync.models.types import ModelEntry
from modelsync.releases.store import Release, Staging


def keep(entry: ModelEntry, current: Release, staging: Staging) -> None:
    """Put the files of an entry of the current release in the place of a broken version's.

    Raises OSError.
    """
    folder = staging.models_serve / entry.name
    remove_tree(folder)
    copy_tree(current.path / entry.folder, folder)
    shared = entry.spec.shared
    if shared and not (target := staging.shared / shared.name).exists():
        staging.shared.mkdir(exist_ok=True)
        copy_tree(current.path / shared, target)
    if compiled := entry.spec.compiled:
        staging.compiled.mkdir(exist_ok=True)
        copy_tree(current.path / compiled, staging.compiled / compiled.name)


def remove_unused(entries: Iterable[ModelEntry], staging: Staging) -> None:
    """Remove the shared files that no model of a new release uses. Raises OSError."""
    used = {entry.spec.shared.name for entry in entries if entry.spec.shared}
    for folder in staging.shared.iterdir() if staging.shared.is_dir() else ():
        if folder.name not in used:
            remove_tree(folder)

"""The model folders of a path, and what they require, as a sync would find them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelsync.environments.requirements import Found
    from modelsync.models.types import ModelSpec
    from modelsync.settings import Settings

SOURCE = "etls.py"


def find(path: Path, settings: Settings) -> list[ModelSpec]:
    """The model folders of PATH. Raises ClickException if there are none."""
    path = path.resolve()
    if (path / SOURCE).is_file():
        return [folder for folder in _discover(path.parent) if folder.path.name == path.name]
    # First as a sync sees a repository, then as a standalone service sees its folder.
    inside = [path / settings.git.subdir] if settings.git.subdir else [path, path / "models_serve"]
    for root in inside:
        if folders := _discover(root, path):
            return folders
    raise click.ClickException(f"no model in {inside[0]}: a model is a folder with a file {SOURCE}")


def _discover(root: Path, top: Path | None = None) -> list[ModelSpec]:
    from modelsync.models.discovery.folders import discover
    from modelsync.models.discovery.work_tree import LocalRepository

    return discover(root, subdir=LocalRepository.of(root, top).subdir)


def copied(path: Path, folders: list[ModelSpec], scratch: Path) -> list[ModelSpec]:
    """The folders as a sync would make them, in the folder `scratch`: with the shared files that
    they use, and without anything else beside them. What they write stays there.
    """
    from modelsync.files import copy_tree
    from modelsync.models.discovery.work_tree import LocalRepository
    from modelsync.sync.shared_folders import FOLDER, share

    found = []
    (root := scratch / folders[0].path.parent.name).mkdir()
    for folder in folders:
        if folder.fault is None:
            copy_tree(folder.path, root / folder.name)
            folder = dataclasses.replace(folder, path=root / folder.name)
        found.append(folder)
    repository = LocalRepository.of(folders[0].path.parent, path.resolve())
    return share(found, repository.files(), scratch / FOLDER)


def shared_requirements(path: Path, folders: list[ModelSpec], settings: Settings) -> Found:
    """The requirements beside the folders, else those at the top of the repository at `path`."""
    from modelsync.environments.requirements import below, find

    beside = folders[0].path.parent
    top = path.resolve()
    is_repository = settings.git.subdir and beside == top / settings.git.subdir
    for folder in (beside, top) if is_repository else (beside,):
        if found := find(below(folder)):
            return found
    return None


def environments_folder(settings: Settings) -> Path:
    """The folder of the environments: in the state directory, or without one in the user's cache.

    A check in a repository leaves nothing there.
    """
    from modelsync.environments.store import folder_of
    from modelsync.settings import user_cache

    if settings.state.home.is_dir():
        return folder_of(settings.state.home)
    return user_cache() / "environments"

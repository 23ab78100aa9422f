"""The model folders of a path, and what they require, as a sync would find them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from modelsync.environments.requirements import Found
    from modelsync.models.model_warnings import PassedOver
    from modelsync.models.types import ModelSpec
    from modelsync.settings import Settings

SOURCE = "etls.py"

MAX_SHOWN = 5
"""Folders that look like models which an error names."""


def find(path: Path, settings: Settings) -> list[ModelSpec]:
    """The model folders of PATH. Raises ClickException if there are none."""
    path = path.resolve()
    if (path / SOURCE).is_file():
        return _of_one(path)
    # First as a sync sees a repository, then as a standalone service sees its folder.
    inside = [path / settings.git.subdir] if settings.git.subdir else [path, path / "models_serve"]
    for root in inside:
        if folders := _discover(root, path):
            return folders
    if _is_without_code(path) and (folders := _of_one(path)):
        return folders
    seen = "; ".join(_not_taken(inside[0], settings.git.subdir))
    reason = seen or f"a model is a folder with a file {SOURCE}"
    raise click.ClickException(f"no model in {inside[0]}: {reason}")


def _of_one(path: Path) -> list[ModelSpec]:
    """The one model whose folder this is, among those beside it."""
    return [folder for folder in _discover(path.parent) if folder.path.name == path.name]


def _is_without_code(path: Path) -> bool:
    """Return whether a folder is itself a model, a file that is served as it is.

    A repository is not: a sync takes no file at its top.
    """
    from modelsync.models.discovery import artefact_files

    if (path / ".git").exists():
        return False
    return bool(artefact_files.models(path, sorted(item.name for item in path.iterdir())))


def _not_taken(root: Path, subdir: str) -> list[str]:
    """Return what looks like a model in a folder without any, such as the folder that has them."""
    from modelsync.models.discovery import passed_over

    found = passed_over.passed_over(root, (), subdir=subdir)
    return [f"{one.path} {one.reason} ({one.hint})" for one in found[:MAX_SHOWN]]


def _discover(root: Path, top: Path | None = None) -> list[ModelSpec]:
    from modelsync.models.discovery.folders import discover
    from modelsync.models.discovery.work_tree import LocalRepository

    repository = LocalRepository.of(root, top)
    return discover(root, subdir=repository.subdir, shared=repository.in_place())


def passed_over(path: Path, folders: list[ModelSpec]) -> list[PassedOver]:
    """What looks like a model beside the folders and is not taken; nothing for a single model."""
    from modelsync.models.discovery import passed_over

    root, path = folders[0].path.parent, path.resolve()
    if path == folders[0].path:
        return []
    found = passed_over.passed_over(root, folders, subdir=folders[0].subdir)
    # At the top of a repository it is what a standalone service serves.
    return [one for one in found if one.path.split("/")[0] != "models_serve"]


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

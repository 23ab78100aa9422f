"""The model folders of a path, and what they require, as a sync would find them."""

from __future__ import annotations

from collections.abc import Callable
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
    """The model folders of PATH, of a repository those that MODELSYNC_GIT_MODELS selects.

    Raises ClickException if there are none.
    """
    path = path.resolve()
    if (path / SOURCE).is_file():
        return _of_one(path)
    # First as a sync sees a repository, then as a standalone service sees its folder.
    inside = [path / settings.git.subdir] if settings.git.subdir else [path, path / "models_serve"]
    for root in inside:
        if folders := selected(root, settings, path):
            return folders
    if _is_without_code(path) and (folders := _of_one(path)):
        return folders
    if settings.git.models and (others := [name for one in inside for name in _names(one, path)]):
        from modelsync.sync.selected import nothing_selected

        raise click.ClickException(str(nothing_selected(settings.git.models, others)))
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


def selected(root: Path, settings: Settings, top: Path | None = None) -> list[ModelSpec]:
    """The models of a folder that MODELSYNC_GIT_MODELS selects, a broken one for each that it names
    and that is missing; none if no model is there. The repository is that of git, else `top`.
    """
    from modelsync.sync.selected import missing

    selection = settings.git.models
    if not (found := _discover(root, top, selection.takes)):
        return []
    return [*found, *missing(selection, found, root, _names(root, top), found[0].subdir)]


def _discover(
    root: Path, top: Path | None = None, takes: Callable[[str], bool] = lambda name: True
) -> list[ModelSpec]:
    from modelsync.models.discovery.folders import discover
    from modelsync.models.discovery.work_tree import LocalRepository

    repository = LocalRepository.of(root, top)
    shared = repository.in_place()
    return discover(root, subdir=repository.subdir, shared=shared, takes=takes)


def _names(root: Path, top: Path | None) -> list[str]:
    """The names of all models of a folder, selected or not."""
    from modelsync.models.discovery.work_tree import LocalRepository
    from modelsync.sync.selected import model_folders

    repository = LocalRepository.of(root, top)
    return model_folders(repository.files(), repository.subdir)


def passed_over(path: Path, folders: list[ModelSpec], settings: Settings) -> list[PassedOver]:
    """What looks like a model beside the folders and is not taken; nothing for a single model."""
    from modelsync.sync.selected import not_taken

    root, path = folders[0].path.parent, path.resolve()
    if path == folders[0].path:
        return []
    found = not_taken(settings.git.models, folders, root, folders[0].subdir)
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

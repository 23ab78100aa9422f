"""The models that a check loads: copies, as a sync would make them, so that nothing is written into
the checked tree; and which of their files the repository has not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelsync.models.discovery.work_tree import LocalRepository
    from modelsync.models.model_warnings import ModelWarning
    from modelsync.models.types import ModelName, ModelSpec
    from modelsync.settings import Settings

_UPWARDS = re.compile(r"\.\.|parent|dirname")
"""What code has in it that opens a file outside of its folder."""

_NAME = re.compile(r"[\w-]+")

SHOWN = 3
"""Files that a warning names."""


def copied(
    path: Path, folders: Sequence[ModelSpec], scratch: Path, settings: Settings
) -> list[ModelSpec]:
    """Copy the models of PATH into the folder `scratch`, with the shared files that they use, and
    the folders beside theirs that their code names, but those of models that are not selected. What
    they write stays there.
    """
    from modelsync.files import copy_tree
    from modelsync.models.discovery.folders import discover
    from modelsync.models.discovery.shared_folders import pointer_faults
    from modelsync.models.discovery.work_tree import LocalRepository
    from modelsync.sync.plan import without_shared
    from modelsync.sync.selected import left_out

    repository = LocalRepository.of(folders[0].path.parent, path.resolve())
    root, shared = scratch / "models_serve", scratch / "shared"
    root.mkdir()
    for folder in folders:
        if folder.fault is None:
            copy_tree(folder.path, root / folder.path.name)
    others = left_out(repository.files(), repository.subdir, settings.git.models)
    for name in _named(folders) - others:
        _copy_kept(repository, name, root)
    found = discover(root, subdir=repository.subdir, shared=repository.copied(shared))
    copies = {one.name: one for one in without_shared(found, pointer_faults(shared))}
    return [copies.get(folder.name, folder) for folder in folders]


def _named(folders: Sequence[ModelSpec]) -> set[str]:
    """Return the folders beside those of the models that the models may open a file of, as
    `../data/codes.csv`: a sync has them.
    """
    from modelsync.files import listed

    beside = {name[:-1] for name in listed(folders[0].path.parent) if name.endswith("/")}
    sources = [
        source.read_text("utf-8", "replace")
        for folder in folders
        for source in folder.path.glob("*.py")
        if source.is_file()
    ]
    words = {word for text in sources if _UPWARDS.search(text) for word in _NAME.findall(text)}
    return {name for name in beside & words if _is_kept(name)} - {one.path.name for one in folders}


def _copy_kept(repository: LocalRepository, name: str, root: Path) -> None:
    """Copy what the repository has of a folder beside those of the models."""
    from modelsync.files import copy_tree
    from modelsync.git.work_tree import kept_files

    folder = repository.folder / name
    if not (repository.top / ".git").exists():
        copy_tree(folder, root / name)
        return
    for file in kept_files(repository.top, folder.relative_to(repository.top).as_posix()):
        source = repository.top / file
        target = root / source.relative_to(repository.folder)
        if source.is_file() and not source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def ignored(
    path: Path, folders: Sequence[ModelSpec], copies: Sequence[ModelSpec]
) -> dict[ModelName, ModelWarning]:
    """Return warnings of files that the models have here and that git ignores, by model."""
    from modelsync.git.work_tree import ignored_files
    from modelsync.models.discovery.work_tree import LocalRepository

    repository = LocalRepository.of(folders[0].path.parent, path.resolve())
    if not (repository.top / ".git").exists():
        return {}
    own = {spec.name: folder.path.relative_to(repository.top).as_posix()
           for spec, folder in zip(copies, folders, strict=True)}  # fmt: skip
    shared = {spec.name: _below(spec.shared) for spec in copies if spec.shared}
    paths = {*own.values(), *(file for files in shared.values() for file in files)}
    rules = {one.path: one.rule for one in ignored_files(repository.top, sorted(paths))}
    found = {}
    for spec in copies:
        below = f"{own[spec.name]}/"
        has = {file for file in rules if file.startswith(below) and _is_kept(file)}
        if lost := sorted(has | rules.keys() & shared.get(spec.name, set())):
            found[spec.name] = _warning([file.removeprefix(below) for file in lost], rules[lost[0]])
    return found


def _below(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}


def _is_kept(file: str) -> bool:
    """Return whether a file may be part of a model: caches and what belongs to tools is not."""
    from modelsync.files import ignored as is_ignored

    return not any(part.startswith(".") or is_ignored(part) for part in file.split("/"))


def _warning(files: Sequence[str], rule: str) -> ModelWarning:
    from modelsync.models.model_warnings import ModelWarning

    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    verb = "is" if len(files) == 1 else "are"
    return ModelWarning(
        "ignored-by-git",
        f"{', '.join(files[:SHOWN])}{more} {verb} here and not in the repository: git ignores "
        f"{'it' if len(files) == 1 else 'them'} ({rule})",
        files[0],
        hint=f"`git add --force {files[0]}` adds it; large files belong into Git LFS",
    )

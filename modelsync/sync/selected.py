"""The models that MODELSYNC_GIT_MODELS selects among the folders of a repository, and those that it
names and that are not there.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from modelsync.errors import NoModels
from modelsync.models.convention import FILE
from modelsync.models.discovery.folder_names import is_meant_as_model, shown
from modelsync.models.discovery.passed_over import passed_over
from modelsync.models.discovery.repository_files import Listing, joined
from modelsync.models.model_warnings import PassedOver
from modelsync.models.types import Fault, ModelName, ModelSpec, TreeHash
from modelsync.settings import ModelSelection

SETTING = "MODELSYNC_GIT_MODELS"

SHOWN = 20
"""Folders that a message names."""


def model_folders(files: Listing, subdir: str) -> list[str]:
    """Return the folders that are models, or are meant to be, by the names of their files."""
    return sorted(
        shown(name)
        for name, kind in files.names(subdir).items()
        if kind == "folder" and is_meant_as_model(files.names(joined(subdir, name)))
    )


def left_out(files: Listing, subdir: str, selection: ModelSelection) -> frozenset[str]:
    """Return the folders of models that are not selected."""
    if not selection:
        return frozenset()
    return frozenset(name for name in model_folders(files, subdir) if not selection.takes(name))


def missing(
    selection: ModelSelection,
    specs: Sequence[ModelSpec],
    root: Path,
    folders: Sequence[str],
    subdir: str = "",
) -> list[ModelSpec]:
    """Return a broken model for each one that is named and not among the models found in `root`.

    `folders`: the model folders that there are, selected or not. `subdir`: where `root` lies in the
    repository.
    """
    names = sorted(selection.named - {spec.name for spec in specs})
    looks_like_one = passed_over(root, specs, subdir=subdir) if names else ()

    def fault(name: str) -> Fault:
        if (root / name).is_dir():
            return _no_model(name, looks_like_one)
        return _no_folder(name, folders)

    return [ModelSpec(ModelName(one), root / one, TreeHash(""), fault=fault(one)) for one in names]


def not_taken(
    selection: ModelSelection, specs: Sequence[ModelSpec], root: Path, subdir: str
) -> tuple[PassedOver, ...]:
    """Return what looks like a model in `root` and is none; nothing where models are named, because
    then all others are meant to be none.
    """
    if selection.named:
        return ()
    found = passed_over(root, specs, subdir=subdir)
    return tuple(one for one in found if selection.takes(one.path.partition("/")[0]))


def nothing_selected(selection: ModelSelection, folders: Collection[str]) -> NoModels:
    """Return the error for a commit none of whose models is selected."""
    return NoModels(
        f"{SETTING}={selection} leaves no model: the repository has {_listed(sorted(folders))}"
    )


def _no_folder(name: str, folders: Sequence[str]) -> Fault:
    by_case = {folder.lower(): folder for folder in folders}
    near = difflib.get_close_matches(name.lower(), by_case, n=1)
    hint = f"it has {_listed(folders)}" if folders else None
    if near:
        hint = f"did you mean {by_case[near[0]]}? {hint}"
    message = f"the model {name} is named in {SETTING}, and the repository has no folder of it"
    return Fault("static", message, hint=hint)


def _no_model(name: str, looks_like_one: Sequence[PassedOver]) -> Fault:
    """Return the fault of a folder that is there, and is no model."""
    why = next((one for one in looks_like_one if one.path.partition("/")[0] == name), None)
    reason = f": {why.reason}" if why else ""
    message = f"the folder {name}, which is named in {SETTING}, holds no model{reason}"
    return Fault("static", message, hint=why.hint if why else f"a model has a file {FILE}")


def _listed(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - SHOWN} more" if len(folders) > SHOWN else ""
    return ", ".join(folders[:SHOWN]) + more

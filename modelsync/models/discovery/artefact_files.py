"""Finds the artefact of a folder without code: the one file that is a model by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from modelsync.models.artefacts import pickle_content, pickles, registry
from modelsync.models.artefacts.pickle_content import PickleContent
from modelsync.models.convention import FILE
from modelsync.models.discovery.folder_names import is_telling, shown
from modelsync.models.types import Fault, ModelSpec

OTHERS = re.compile(
    r"\..*|.+\.(py|pyc|md|rst|csv|tsv|ipynb|ya?ml|toml|cfg|ini|html?|css|js|sh|sql|r|lock|parquet"
    r"|feather|arrow|npy|npz|png|jpe?g|gif|svg|pdf|xlsx?|dvc|log|zip|gz|tar)",
    re.IGNORECASE,
)
"""Names of files that are surely no artefacts; of all others the first bytes are read."""

MOST_FILES = 200
"""Files of a folder that are looked into; with more of unknown names it is no model."""

LFS_MARK = b"version https://git-lfs.github.com/spec/"


def artefacts(folder: Path, files: Sequence[str]) -> list[str]:
    """Return the files of a folder that are artefacts by name or content. Raises OSError."""
    found = []
    unknown = 0
    for file in files:
        if registry.by_name(file) and not file.startswith("."):
            found.append(file)
        elif not OTHERS.fullmatch(file) and (unknown := unknown + 1) <= MOST_FILES:
            path = folder / file
            if path.is_file() and not path.is_symlink() and registry.find(path):
                found.append(file)
    return found


def models(folder: Path, files: Sequence[str]) -> list[str]:
    """Return the artefacts of a folder if one of them may be a model, else none.

    A pickle of any name is one unless it is surely data. In a Python package, which is code that
    models share, only the name tells. Raises OSError.
    """
    found = artefacts(folder, files)
    if any(map(is_telling, found)):
        return found
    if "__init__.py" in files:
        return []
    return found if any(no_model(folder / file) is None for file in found) else []


def no_model(path: Path) -> PickleContent | None:
    """Return what a pickle holds if that is no model; None of models and of other formats."""
    if path.is_symlink() or registry.find(path) is not pickles.FORMAT or _is_pointer(path):
        return None
    content = pickle_content.look(path)
    return None if content.holds == "model" else content


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(LFS_MARK)) == LFS_MARK


def describe(spec: ModelSpec, found: Sequence[str]) -> ModelSpec:
    """Return the spec of a folder without code, whose one artefact is the model, or its fault."""
    if len(found) > 1:
        message = f"several artefacts and no {FILE}: {', '.join(map(shown, found))}"
        hint = (
            f"add an {FILE} that loads them; or save all steps as one Pipeline; or, if only one of "
            "them is the model, keep the others in a folder inside"
        )
        return replace(spec, fault=Fault("static", message, hint=hint))
    [artefact] = found
    if artefact != shown(artefact) or not (spec.path / artefact).is_file():
        message = f"{shown(artefact)} is a folder, or its name is no text"
        return replace(spec, fault=Fault("static", message, shown(artefact)))
    return replace(spec, artefact=artefact)

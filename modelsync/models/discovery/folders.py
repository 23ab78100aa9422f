"""Finds the model folders and says which can be loaded. Static: files are read, nothing of a model
is run.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelsync.files import tree_hash
from modelsync.models.discovery import source_analysis
from modelsync.models.types import RESERVED, Fault, ModelName, ModelSpec, TreeHash

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

# Ways to miss the one name that makes a folder a model, on any file system.
MISSPELT = re.compile(r"(etls?|elts?|etl_s)\.py", re.IGNORECASE)
# What can be a model by itself, without code beside it.
ARTEFACT = re.compile(r"(pipeline|model)\.pkl|model\.onnx|.+\.joblib|.+\.skops")

LFS_MARK = b"version https://git-lfs.github.com/spec/"
LFS_LARGEST = 1024  # bytes; the LFS specification: a pointer is smaller than this

Links = list[tuple[str, str]]


def discover(root: Path, versions: Mapping[str, str] | None = None) -> list[ModelSpec]:
    """List the model folders directly below `root`, sorted by name; a `root` that does not exist
    holds none.

    `versions` has the git tree hashes that are known by folder name; the others are computed from
    the files. A folder that cannot be served is in the list with its `fault`; one that holds
    neither `etls.py` nor a model's artefact is no model and is left out, as are hidden folders and
    `__pycache__`.
    """
    known = versions or {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in a model's strings are its author's affair
        found = [folder for entry in _folders(root) if (folder := _examine(entry, known))]
    return sorted(_refuse_twins(found), key=lambda folder: folder.name)


def name_fault(name: str) -> Fault | None:
    """Why a folder of that name cannot be a route, or None."""
    if not NAME.fullmatch(name):
        return Fault(
            "name",
            f"{_shown(name)!r} cannot be a model's name",
            hint="a name is part of a URL: letters of A-Z and a-z, digits, - and _, and a letter first",
        )
    if name.lower() in RESERVED:
        return Fault("name", f"{name!r} is a route of the service itself", hint="rename the folder")
    return None


def _shown(name: str) -> str:
    """A file's name as text that JSON can hold: bytes that are no UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _folders(root: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.name.startswith(".") and entry.name != "__pycache__" and entry.is_dir():
            yield entry


def _examine(entry: os.DirEntry[str], versions: Mapping[str, str]) -> ModelSpec | None:
    path, name = Path(entry.path), ModelName(_shown(entry.name))
    version = TreeHash(versions.get(entry.name, ""))
    try:
        files = sorted(item.name for item in path.iterdir())
        if not (source_analysis.FILE in files or _meant_as_model(files)):
            return None
        fault = name_fault(entry.name) or _content_fault(path, files, linked=entry.is_symlink())
        if not entry.is_symlink():
            version = version or TreeHash(tree_hash(path))
        if fault:
            return ModelSpec(name, path, version, fault=fault)
        if source_analysis.FILE not in files:
            return _ready(name, path, version, files)
        found = source_analysis.read((path / source_analysis.FILE).read_bytes(), entry.name)
    except OSError as error:
        unreadable = Fault(
            "static", f"cannot be read: {error.strerror}", _inside(error.filename, path)
        )
        return ModelSpec(name, path, version, fault=unreadable)
    if isinstance(found, Fault):
        return ModelSpec(name, path, version, fault=found)
    return ModelSpec(name, path, version, found.name, found.writes_self, found.is_async)


def _inside(file: object, folder: Path) -> str | None:
    path = Path(str(file))
    return (
        _shown(str(path.relative_to(folder)))
        if path.is_relative_to(folder) and path != folder
        else None
    )


def _meant_as_model(files: list[str]) -> bool:
    return any(MISSPELT.fullmatch(name) or ARTEFACT.fullmatch(name) for name in files)


def _ready(name: ModelName, path: Path, version: TreeHash, files: list[str]) -> ModelSpec:
    """A folder without code: its one artefact is the model."""
    for file in files:
        if MISSPELT.fullmatch(file):
            fault = Fault(
                "static",
                f"no {source_analysis.FILE}, but {_shown(file)}",
                hint=f"rename it to {source_analysis.FILE}",
            )
            return ModelSpec(name, path, version, fault=fault)
    artefact, *others = [file for file in files if ARTEFACT.fullmatch(file)]
    if others:
        fault = Fault(
            "static",
            f"several artefacts and no {source_analysis.FILE}: {', '.join(map(_shown, (artefact, *others)))}",
            hint=f"keep the one that is the model, or add an {source_analysis.FILE} that loads them",
        )
        return ModelSpec(name, path, version, fault=fault)
    if artefact != _shown(artefact) or not (path / artefact).is_file():
        fault = Fault(
            "static", f"{_shown(artefact)} is a folder, or its name is no text", _shown(artefact)
        )
        return ModelSpec(name, path, version, fault=fault)
    return ModelSpec(name, path, version, artefact=artefact)


# --- what is in the folder ------------------------------------------------------------------------


def _content_fault(folder: Path, files: list[str], *, linked: bool) -> Fault | None:
    if linked:
        return Fault(
            "static", "the folder is a symbolic link", hint="put the folder itself in its place"
        )
    # Links first: a file that lies outside the folder is not even opened.
    links: Links = []
    pointers: list[str] = []
    _walk(str(folder), "", links, pointers)
    for name, target in links:
        if _leaves(folder, name):
            return Fault(
                "static",
                f"symbolic link out of the folder: {_shown(name)} -> {_shown(target)}",
                _shown(name),
                hint="the folder is the model's version, so all that it needs must be in it",
            )
    if pointers:
        return Fault(
            "static",
            f"LFS pointer: {_shown(pointers[0])} holds a reference to Git LFS in place of the file",
            _shown(pointers[0]),
            hint="commit the file itself, or have the model download it",
        )
    return None


def _walk(folder: str, prefix: str, links: Links, pointers: list[str]) -> None:
    """Collect the links and the LFS pointers below a folder, in order of their names; links are not
    followed.
    """
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            links.append((name, str(Path(entry.path).readlink())))
        elif entry.is_dir():
            if entry.name not in {".git", "__pycache__"}:
                _walk(entry.path, f"{name}/", links, pointers)
        elif entry.is_file() and entry.stat().st_size < LFS_LARGEST and _is_pointer(entry.path):
            pointers.append(name)


def _is_pointer(path: str) -> bool:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - called for every small file of 500 folders
        return file.read(len(LFS_MARK)) == LFS_MARK


def _leaves(folder: Path, name: str) -> bool:
    """Whether a link leads out of its model's folder; an absolute one does: folders are exported."""
    link = folder / name
    return link.readlink().is_absolute() or not Path(os.path.realpath(link)).is_relative_to(
        os.path.realpath(folder)
    )


# --- what is beside it ----------------------------------------------------------------------------


def _refuse_twins(folders: list[ModelSpec]) -> Iterator[ModelSpec]:
    """Refuse all of several folders whose names differ in case only: many a client and proxy cannot
    tell them apart.
    """
    by_name: dict[str, list[ModelSpec]] = {}
    for folder in folders:
        by_name.setdefault(folder.name.lower(), []).append(folder)
    for folder in folders:
        others = [twin.name for twin in by_name[folder.name.lower()] if twin.name != folder.name]
        if not others:
            yield folder
            continue
        fault = Fault(
            "name",
            f"differs from {', '.join(others)} only in case",
            hint="rename or remove one of them",
        )
        yield ModelSpec(folder.name, folder.path, folder.version, fault=fault)

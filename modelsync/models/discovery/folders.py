"""Finds the model folders, and the faults that can be seen without running any of their code."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelsync.files import tree_hash
from modelsync.models.artefacts import registry
from modelsync.models.convention import FILE, RESERVED, SCHEMA
from modelsync.models.discovery import artefact_files, source_analysis
from modelsync.models.discovery.folder_names import misspelt, shown
from modelsync.models.discovery.shared_folders import SharedFolders
from modelsync.models.lfs_pointer import read_pointer
from modelsync.models.types import Fault, ModelName, ModelSpec, TreeHash

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

Links = list[tuple[str, str]]


def discover(
    root: Path,
    versions: Mapping[str, str] | None = None,
    *,
    subdir: str = "",
    shared: SharedFolders | None = None,
    takes: Callable[[str], bool] = lambda name: True,
) -> list[ModelSpec]:
    """List the model folders directly below `root`, sorted by name; empty if it does not exist.

    `versions`: known git tree hashes, by name of folder; others are computed from the files.
    `subdir`: where `root` lies in the repository (`ModelSpec.subdir`); `shared` gives models the
    files beside their folders that they use. `takes`: which of the folders are looked at, by their
    names. One that cannot be served is in the list with its `fault`. One without `etls.py` and
    without an artefact is no model and is left out, as are hidden folders and `__pycache__`.
    """
    known = versions or {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes in a model's strings: for its author
        examine = _Examination(known, subdir, shared).examine
        entries = (entry for entry in _folders(root) if takes(entry.name))
        found = [folder for entry in entries if (folder := examine(entry))]
    return sorted(_refuse_twins(found), key=lambda folder: folder.name)


def name_fault(name: str) -> Fault | None:
    """Return why a folder of that name cannot be a route; None if it can."""
    if not NAME.fullmatch(name):
        hint = (
            "a name is part of a URL: letters of A-Z and a-z, digits, - and _, and a letter first"
        )
        return Fault("name", f"{shown(name)!r} cannot be a model's name", hint=hint)
    if name.lower() in RESERVED:
        return Fault("name", f"{name!r} is a route of the service itself", hint="rename the folder")
    return None


def _folders(root: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if not entry.name.startswith(".") and entry.name != "__pycache__" and entry.is_dir():
            yield entry


@dataclass(frozen=True, slots=True)
class _Examination:
    """How the folders are looked at; as the arguments of `discover`."""

    versions: Mapping[str, str]
    subdir: str
    shared: SharedFolders | None

    def examine(self, entry: os.DirEntry[str]) -> ModelSpec | None:
        """Return the spec of a folder, None if it is not meant as a model."""
        path = Path(entry.path)
        version = TreeHash(self.versions.get(entry.name, ""))
        spec = ModelSpec(ModelName(shown(entry.name)), path, version=version, subdir=self.subdir)
        try:
            files = sorted(item.name for item in path.iterdir())
            artefacts = _artefacts(entry, files)
            if not (FILE in files or misspelt(files) or artefacts):
                return None
            fault = name_fault(entry.name) or _content_fault(path, files, linked=entry.is_symlink())
            if not version and not entry.is_symlink():
                spec = replace(spec, version=TreeHash(tree_hash(path)))
            return replace(spec, fault=fault) if fault else self._described(spec, files, artefacts)
        except OSError as error:
            unreadable = f"cannot be read: {error.strerror}"
            return replace(spec, fault=Fault("static", unreadable, _inside(error.filename, path)))

    def _described(self, spec: ModelSpec, files: list[str], artefacts: list[str]) -> ModelSpec:
        """Return the spec with what its files say, the shared ones too."""
        if self.shared and (spec := self.shared.give(spec)).fault:
            return spec
        if wrong := misspelt(files):
            fault = Fault("static", f"no {FILE}, but {shown(wrong)}", hint=f"rename it to {FILE}")
            return replace(spec, fault=fault)
        if artefacts:
            return _with_schema(artefact_files.describe(spec, artefacts), files)
        spec = source_analysis.describe(spec, (spec.path / FILE).read_bytes())
        return _with_schema(spec, files)


def _inside(file: object, folder: Path) -> str | None:
    path = Path(str(file))
    return (
        shown(str(path.relative_to(folder)))
        if path.is_relative_to(folder) and path != folder
        else None
    )


def _with_schema(spec: ModelSpec, files: list[str]) -> ModelSpec:
    """Return the spec with what the folder's `schema.yml` says, or with the fault in that."""
    if spec.fault or SCHEMA not in files:
        return spec
    from modelsync.models.schemas import reading  # it imports yaml

    found = reading.read((spec.path / SCHEMA).read_bytes())
    if isinstance(found, Fault):
        return replace(spec, fault=found)
    return replace(spec, schema=found)


def _artefacts(entry: os.DirEntry[str], files: list[str]) -> list[str]:
    """Return the artefacts of a folder that has no code."""
    if FILE in files or misspelt(files):
        return []
    if entry.is_symlink():  # nothing outside is opened
        return [file for file in files if registry.by_name(file)]
    return artefact_files.models(Path(entry.path), files)


# --- content of a folder --------------------------------------------------------------------------


def _content_fault(folder: Path, files: list[str], *, linked: bool) -> Fault | None:
    """Return the fault of a folder with unsafe links or Git LFS pointers, None if it has none."""
    if linked:
        return Fault(
            "static", "the folder is a symbolic link", hint="put the folder itself in its place"
        )
    # Links first, so that no file outside the folder is opened.
    links: Links = []
    pointers: list[str] = []
    _walk(str(folder), "", links, pointers)
    for name, target in links:
        if _leaves(folder, name):
            return Fault(
                "static",
                f"symbolic link out of the folder: {shown(name)} -> {shown(target)}",
                shown(name),
                hint="put the file itself there; a module beside the folders needs no link: it can "
                "be imported",
            )
    if pointers:
        return Fault(
            "static",
            f"LFS pointer: {shown(pointers[0])} holds a reference to Git LFS in place of the file",
            shown(pointers[0]),
            hint="in a clone `git lfs pull` fetches it; the service does where it follows the "
            "repository, unless MODELSYNC_GIT_LFS is off",
        )
    return None


def _walk(folder: str, prefix: str, links: Links, pointers: list[str]) -> None:
    """Collect the links and the LFS pointers below a folder, sorted by name. Follows no link."""
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            links.append((name, str(Path(entry.path).readlink())))
        elif entry.is_dir():
            if entry.name not in {".git", "__pycache__"}:
                _walk(entry.path, f"{name}/", links, pointers)
        elif entry.is_file() and read_pointer(entry):
            pointers.append(name)


def _leaves(folder: Path, name: str) -> bool:
    """Return whether a link leads out of its folder, as absolute ones do in an exported copy."""
    link = folder / name
    return link.readlink().is_absolute() or not Path(os.path.realpath(link)).is_relative_to(
        os.path.realpath(folder)
    )


# --- names of all folders -------------------------------------------------------------------------


def _refuse_twins(folders: list[ModelSpec]) -> Iterator[ModelSpec]:
    """Refuse all folders whose names differ only in case: many clients and proxies ignore case."""
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
        yield replace(folder, fault=fault)

"""The code of a whole repository, as far as it is the same for all models: the roots of imports,
the imports of each file, the data in packages, and all that may be shared.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import PurePosixPath

from modelsync.models.discovery.folder_names import is_meant_as_model
from modelsync.models.discovery.pickled_names import modules_in
from modelsync.models.discovery.repository_files import (
    Kind,
    Listing,
    RepositoryFiles,
    joined,
    read,
)
from modelsync.models.discovery.shared_imports import ANYTHING, Import, imports_of

OURS = "modelsync"
"""The one name that no repository may take."""

TOOLS = frozenset({"node_modules", "site-packages"})
"""Folders whose files are installed, and none of the repository's."""


class RepositoryCode:
    """The code of one state of a repository, whose model folders lie in `subdir`."""

    def __init__(self, files: RepositoryFiles, subdir: str) -> None:
        self.files = files
        self.subdir = subdir
        self.roots = [subdir, *map(path_of, PurePosixPath(subdir).parents)]
        self.folders = {
            joined(subdir, name)
            for name, kind in files.names(subdir).items()
            if kind == "folder" and is_meant_as_model(files.names(joined(subdir, name)))
        }
        self._imports: dict[str, tuple[Import, ...]] = {}
        self._pickled: dict[str, tuple[Import, ...]] = {}
        self._data: dict[str, list[str]] = {}
        self._has_python: dict[str, bool] = {}
        self._everything: list[str] | None = None
        names = (name.partition(".")[0] for root in self.roots for name in files.names(root))
        self.tops = frozenset(names) - sys.stdlib_module_names - {OURS}
        """The names at the roots: what begins with no such name is not shared."""

    def imports(self, path: str) -> tuple[Import, ...]:
        """Return the imports of a shared module."""
        if path not in self._imports:
            self._imports[path] = imports_of(read(self.files, path))
        return self._imports[path]

    def other_folders(self) -> list[str]:
        """Return the folders with shared code, such as `src`, those at the roots first."""
        found = {path_of(PurePosixPath(file).parent) for file in self.everything()}
        return sorted(found.difference(self.roots), key=lambda path: (path.count("/"), path))

    def pickled(self, path: str) -> tuple[Import, ...]:
        """Return what unpickling a shared file imports."""
        if path not in self._pickled:
            self._pickled[path] = tuple(self.pickled_in(self.files.chunks(path)))
        return self._pickled[path]

    def pickled_in(self, chunks: Iterator[bytes]) -> Iterator[Import]:
        """Yield what unpickling a file imports."""
        found = modules_in(chunks, self.tops)
        yield from [ANYTHING] if found is None else map(Import, sorted(found))

    def everything(self) -> list[str]:
        """Return all shared code: the modules and packages at the roots that are no model."""
        if self._everything is None:
            self._everything = [
                file
                for root in self.roots
                for name, kind in self.files.names(root).items()
                if (path := joined(root, name)) not in self.folders and name != OURS
                if path not in self.roots
                for file in python_below(self.files, path, kind)
            ]
        return self._everything

    def model_of(self, path: str) -> list[str]:
        """Return the model folder that a file lies in; none if it lies in no other one."""
        start = len(self.subdir) + 1 if self.subdir else 0
        folder = path[: path.find("/", start)] if path.startswith(self.subdir) else ""
        return [folder] if folder in self.folders else []

    def packages(self, used: Collection[str]) -> set[str]:
        """Return the folders that hold modules; roots and the folders of models are none."""
        found = {path_of(PurePosixPath(path).parent) for path in used}
        return found.difference(self.roots, self.folders)

    def data(self, folder: str) -> list[str]:
        """Return the files in a package that are no source, also those in folders without Python.

        A module may be among them that is compiled: it may also be a library for `ctypes`.
        """
        if folder not in self._data:
            found: list[str] = []
            names = {} if is_of_tools(self.files, folder) else self.files.names(folder)
            for name, kind in names.items():
                path = joined(folder, name)
                if kind == "file" and not name.endswith(".py"):
                    found.append(path)
                elif kind == "folder" and not self.has_python(path):
                    found.extend(self.data(path))
            self._data[folder] = found
        return self._data[folder]

    def has_python(self, folder: str) -> bool:
        """Return whether there is Python anywhere below a folder, or what belongs to tools."""
        if folder not in self._has_python:
            self._has_python[folder] = is_of_tools(self.files, folder) or any(
                is_python(name) if kind == "file" else self.has_python(joined(folder, name))
                for name, kind in self.files.names(folder).items()
                if kind in ("file", "folder")
            )
        return self._has_python[folder]


def modules_out_of_reach(files: RepositoryFiles, subdir: str) -> frozenset[str]:
    """Return the modules and packages in the folders at the roots, such as those in a folder src,
    which no import finds by their plain names. Those of packages end with a slash.
    """
    code = RepositoryCode(files, subdir)
    folders = (
        joined(root, name)
        for root in code.roots
        for name, kind in files.names(root).items()
        if kind == "folder"
    )
    return frozenset(
        f"{joined(folder, name)}/" if kind == "folder" else joined(folder, name)
        for folder in folders
        if folder not in {*code.folders, *code.roots} and not is_of_tools(files, folder)
        for name, kind in files.names(folder).items()
        if is_python(name) or (kind == "folder" and code.has_python(joined(folder, name)))
    )


# --- names ----------------------------------------------------------------------------------------


def is_python(name: str) -> bool:
    """Return whether a file is a module, in source or compiled for one version of Python."""
    return name.endswith((".py", ".so"))


def modules_named(name: str, folder: str, names: Mapping[str, Kind]) -> list[str]:
    """Return the files of a folder that are the module of that name."""
    files = (f"{name}{suffix}" for suffix in (".py", *EXTENSION_SUFFIXES))
    return [joined(folder, file) for file in files if names.get(file) == "file"]


def is_of_tools(files: Listing, folder: str) -> bool:
    """Return whether a folder is an environment, or holds packages that are installed."""
    return PurePosixPath(folder).name in TOOLS or "pyvenv.cfg" in files.names(folder)


def python_below(files: Listing, path: str, kind: Kind) -> Iterator[str]:
    """Yield the modules below a path, or the path itself if it is a module."""
    if kind == "file" and is_python(path):
        yield path
    elif kind == "folder" and not is_of_tools(files, path):
        for name, inner in files.names(path).items():
            yield from python_below(files, joined(path, name), inner)


def files_below(files: Listing, folder: str) -> Iterator[str]:
    """Yield all files below a folder."""
    for name, kind in files.names(folder).items():
        path = joined(folder, name)
        if kind == "file":
            yield path
        elif kind == "folder":
            yield from files_below(files, path)


def path_of(path: PurePosixPath) -> str:
    """Return a path as a text, empty for the top."""
    return "" if path == PurePosixPath() else str(path)

"""Finds the files beside a model's folder that the model uses: modules that it imports, directly
and through others, and what lies in the packages that these are in. Nothing runs.

A name is looked up as at run time: in the model's own folder, in the folder that holds the model
folders, in each folder above up to the top of the repository.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelsync.models.convention import FILE
from modelsync.models.discovery.folder_names import is_meant_as_model
from modelsync.models.discovery.pickled_names import modules_in
from modelsync.models.discovery.repository_files import (
    Kind,
    Listing,
    RepositoryFiles,
    joined,
    read,
)
from modelsync.models.discovery.shared_imports import ANYTHING, BY_NAME, Import, imports_of
from modelsync.models.types import TreeHash

INIT = "__init__.py"

OURS = "modelsync"
"""The one name that no repository may take."""

TOOLS = frozenset({"node_modules", "site-packages"})
"""Folders whose files are installed, and none of the repository's."""

_WORD = re.compile(rb"[A-Za-z_]\w*|\.\.")

_ALWAYS_READ = frozenset({b"..", b"exec", *(name.encode() for name in BY_NAME)})
"""Words of a source that may import what it does not name."""


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The shared files that a model uses: git's hash of each, by path from the repository's top."""

    digests: Mapping[str, str]

    @property
    def id(self) -> str:
        """What models that use the same files have in common."""
        return _digest("\n".join(self._lines()))

    def version(self, tree: str) -> TreeHash:
        """Return the version of a model with these files: its folder's tree hash without any."""
        if not self.digests or not tree:
            return TreeHash(tree)
        return TreeHash(_digest("\n".join([tree, *self._lines()])))

    def _lines(self) -> Iterator[str]:
        return (f"{self.digests[path]} {path}" for path in sorted(self.digests))


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


class SharedCode:
    """The shared code of one state of a repository, whose model folders lie in `subdir`."""

    def __init__(self, files: RepositoryFiles, subdir: str) -> None:
        self.files = files
        self.subdir = subdir
        self.roots = [subdir, *map(_path, PurePosixPath(subdir).parents)]
        self.folders = {
            joined(subdir, name)
            for name, kind in files.names(subdir).items()
            if kind == "folder" and is_meant_as_model(files.names(joined(subdir, name)))
        }
        self._imports: dict[str, tuple[Import, ...]] = {}
        self._data: dict[str, list[str]] = {}
        self._has_python: dict[str, bool] = {}
        self._everything: list[str] | None = None
        names = (name.partition(".")[0] for root in self.roots for name in files.names(root))
        self.tops = frozenset(names) - sys.stdlib_module_names
        """The names at the roots: what begins with no such name is not shared."""

    def of(self, name: str, own: RepositoryFiles | None = None) -> SharedFiles:
        """Return the shared files of a model.

        `own`: its folder, where that is not read from the repository. Raises OSError.
        """
        used = _Search(self, name, own).run()
        data = {file for folder in self._packages(used) for file in self.data(folder)}
        return SharedFiles({path: self.files.digest(path) for path in sorted(used | data)})

    # --- what is the same for all models ----------------------------------------------------------

    def imports(self, path: str) -> tuple[Import, ...]:
        """Return the imports of a shared module."""
        if path not in self._imports:
            self._imports[path] = imports_of(read(self.files, path))
        return self._imports[path]

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

    def _packages(self, used: Collection[str]) -> set[str]:
        """Return the folders that hold modules, up to the roots; those of models are none."""
        found: set[str] = set()
        for path in used:
            for parent in PurePosixPath(path).parents:
                if (folder := _path(parent)) in self.roots or folder in found:
                    break
                found.add(folder)
        return found - self.folders

    def data(self, folder: str) -> list[str]:
        """Return the files in a package that are no Python, also those in folders without any."""
        if folder not in self._data:
            found: list[str] = []
            for name, kind in self.files.names(folder).items():
                path = joined(folder, name)
                if kind == "file" and not is_python(name):
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


class _Search:
    """The search for the modules that one model uses."""

    def __init__(self, code: SharedCode, name: str, own: RepositoryFiles | None) -> None:
        self._code = code
        self._name = name
        self._home = joined(code.subdir, name)
        self._own = own
        self._used: set[str] = set()
        self._waiting: list[str] = []
        self._tops = code.tops - {name, OURS}
        self._known = {top.encode() for top in self._tops} | _ALWAYS_READ

    def run(self) -> set[str]:
        """Return the shared modules, by path."""
        below = list(python_below(self, self._home, "folder"))
        pickled = list(self._pickled())
        if pickled or any(self._may_share(read(self, path)) for path in below):
            start = joined(self._home, FILE)
            self._use(start)
            for one in pickled:
                self._follow(one, start)
            while self._waiting:
                path = self._waiting.pop()
                for one in self._imports(path):
                    self._follow(one, path)
        return {path for path in self._used if not self._is_own(path)}

    # --- files ------------------------------------------------------------------------------------

    def names(self, folder: str) -> Mapping[str, Kind]:
        """Return the names in a folder of the repository, which holds the model's own."""
        if self._own and self._is_own(folder):
            return self._own.names(folder[len(self._home) + 1 :])
        return self._code.files.names(folder)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the content of a file."""
        if self._own and self._is_own(path):
            return self._own.chunks(path[len(self._home) + 1 :])
        return self._code.files.chunks(path)

    def _is_own(self, path: str) -> bool:
        return path == self._home or path.startswith(f"{self._home}/")

    def _imports(self, path: str) -> tuple[Import, ...]:
        if not path.endswith(".py"):
            return ()
        return imports_of(read(self, path)) if self._is_own(path) else self._code.imports(path)

    def _may_share(self, source: bytes) -> bool:
        """Return whether a source has any word that could lead out of the folder."""
        words = set(_WORD.findall(source))
        return not words.isdisjoint(self._known)

    def _pickled(self) -> Iterator[Import]:
        """Yield what unpickling the files of the model's folder imports."""
        for path in files_below(self, self._home):
            if not is_python(path):
                found = modules_in(self.chunks(path), self._tops)
                yield from [ANYTHING] if found is None else map(Import, sorted(found))

    # --- imports ----------------------------------------------------------------------------------

    def _follow(self, one: Import, importer: str) -> None:
        """Add the modules that an import in the module `importer` loads."""
        if one == ANYTHING:
            self._used.update(self._code.everything())
            self._use(*python_below(self, self._home, "folder"))
            return
        folders = self._start(one, importer)
        used = [file for folder in folders if one.level for file in self._init(folder)]
        for part in filter(None, one.module.split(".")):
            if (found := self._find(folders, part)) is None:
                break
            files, folders = found
            # What lies above the model's own folder is not run for its own modules.
            used = [] if folders == [self._home] else [*used, *files]
        else:
            for name in one.names:
                used += self._named(folders, name)
            if one.below:
                used += self._below(folders)
        self._use(*used)

    def _named(self, folders: Sequence[str], name: str) -> Sequence[str]:
        """Return the modules that `from <folder> import name` loads, if that is no attribute."""
        if name != "*":
            found = self._find(folders, name)
            return found[0] if found else ()
        listing = [one for one in folders if self._lists_its_modules(one)]
        return list(self._below(listing))

    def _start(self, one: Import, importer: str) -> list[str]:
        """Return the folders in which the first name of an import is looked up."""
        if one.level:
            parents = [_path(parent) for parent in PurePosixPath(importer).parents]
            return parents[one.level - 1 : one.level]
        if (top := one.module.partition(".")[0]) == OURS:
            return []
        if top in sys.stdlib_module_names:
            return [self._home]
        # A module of another model's folder may import others of it as if it were its own.
        others = [folder for folder in self._code.folders if importer.startswith(f"{folder}/")]
        return list(dict.fromkeys([self._home, *self._code.roots, *others]))

    def _find(self, folders: Sequence[str], name: str) -> tuple[list[str], list[str]] | None:
        """Return the files of a module, in the first of the folders that has it, and the folders of
        the modules in it; None if there is none of that name.

        As everywhere in Python, a folder without `__init__.py` comes last.
        """
        plain = []
        for folder in folders:
            names = self.names(folder)
            inner = joined(folder, name)
            if names.get(name) == "folder":
                if init := self._init(inner):
                    return init, [inner]
                plain.append(inner)
            if files := [one for one in names if is_module(one, name) and names[one] == "file"]:
                return [joined(folder, one) for one in files], []
        return ([], plain) if plain else None

    def _init(self, folder: str) -> list[str]:
        return [joined(folder, INIT)] if INIT in self.names(folder) else []

    def _below(self, folders: Sequence[str]) -> Iterator[str]:
        for folder in folders:
            yield from python_below(self, folder, "folder")

    def _lists_its_modules(self, folder: str) -> bool:
        """Return whether `import *` from a package may load modules of it."""
        return INIT in self.names(folder) and b"__all__" in read(self, joined(folder, INIT))

    def _use(self, *paths: str) -> None:
        new = [path for path in paths if path not in self._used]
        self._used.update(new)
        self._waiting.extend(new)


# --- names ----------------------------------------------------------------------------------------


def is_python(name: str) -> bool:
    """Return whether a file is a module, in source or compiled for one version of Python."""
    return name.endswith((".py", ".so"))


def is_module(file: str, name: str) -> bool:
    """Return whether a file is the module of that name."""
    return file == f"{name}.py" or (file.startswith(f"{name}.") and file.endswith(".so"))


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


def _path(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath() else str(path)

"""Finds the files beside a model's folder that the model uses: modules that it imports, directly
and through others, and what lies in the packages that these are in. Nothing runs.

A name is looked up as at run time: in the model's own folder, in the folder that holds the model
folders, in each folder above up to the top of the repository.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from modelsync.models.convention import FILE
from modelsync.models.discovery.repository_code import (
    OURS,
    RepositoryCode,
    files_below,
    is_python,
    modules_named,
    path_of,
    python_below,
)
from modelsync.models.discovery.repository_files import (
    Kind,
    RepositoryFiles,
    joined,
    read,
)
from modelsync.models.discovery.shared_imports import ANYTHING, BY_NAME, LISTING, Import, imports_of
from modelsync.models.types import TreeHash

INIT = "__init__.py"

SYS_PATH = re.compile(
    rb"\bsys\.path\b|\baddsitedir\b|\bimport[ \t]+sys[ \t]+as\b"
    rb"|\bfrom[ \t]+sys[ \t]+import\b[^\n]*\bpath\b"
)
"""What a source that adds a folder of the repository to the search path has in it."""

_WORD = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff]*|\.\.")

_ALWAYS_READ = frozenset({b"..", b"exec", *(name.encode() for name in BY_NAME | LISTING)})
"""Words of a source that may import what it does not name."""


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """The shared files that a model uses: git's hash of each, by path from the repository's top.

    `refused`: what has the name of a module that it imports, and is none, by path: a submodule, or
    a link that leads out of the repository.
    """

    digests: Mapping[str, str]
    refused: Mapping[str, Kind] = field(default_factory=dict)

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
        self._code = RepositoryCode(files, subdir)
        self._words = _ALWAYS_READ.union(top.encode() for top in self._code.tops)

    def of(self, name: str, own: RepositoryFiles | None = None) -> SharedFiles:
        """Return the shared files of a model.

        `own`: its folder, where that is not read from the repository. Raises OSError.
        """
        search = _Search(self._code, self._words, name, own)
        used = search.run()
        digests = {path: self.files.digest(path) for path in sorted(used)}
        return SharedFiles(digests, search.refused)


class _Search:
    """The search for the modules that one model uses."""

    def __init__(
        self, code: RepositoryCode, words: frozenset[bytes], name: str, own: RepositoryFiles | None
    ) -> None:
        self._code = code
        self._words = words
        self._name = name
        self._home = joined(code.subdir, name)
        self._own = own
        self._used: set[str] = set()
        self._waiting: list[str] = []
        self._extends_path = False
        self.refused: dict[str, Kind] = {}

    def run(self) -> set[str]:
        """Return the shared modules, and the data in the packages that they are in, by path."""
        below = list(python_below(self, self._home, "folder"))
        pickled = list(self._pickled())
        if pickled or any(self._may_share(read(self, path)) for path in below):
            start = joined(self._home, FILE)
            if FILE in self.names(self._home):
                self._use(start)
            for one in pickled:
                self._follow(one, start)
            self._follow_all()
        return {path for path in self._used if not self._is_own(path)}

    def _follow_all(self) -> None:
        """Find what the modules import, and what the pickles in their packages do."""
        while True:
            while self._waiting:
                path = self._waiting.pop()
                for one in self._imports(path):
                    self._follow(one, path)
            packages = self._code.packages({one for one in self._used if not self._is_own(one)})
            data = {file for folder in packages for file in self._code.data(folder)} - self._used
            if not data:
                return
            self._used |= data
            for path in data:
                for one in self._code.pickled(path):
                    self._follow(one, path)

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
        if not self._extends_path and SYS_PATH.search(read(self, path)):
            self._extends_path = True
            self._waiting.extend(self._used)  # their imports may mean more now
        return imports_of(read(self, path)) if self._is_own(path) else self._code.imports(path)

    def _may_share(self, source: bytes) -> bool:
        """Return whether a source has any word that could lead out of the folder."""
        if SYS_PATH.search(source):
            return True
        words = set(_WORD.findall(source))
        return not (words & self._words).issubset({self._name.encode()})

    def _pickled(self) -> Iterator[Import]:
        """Yield what unpickling the files of the model's folder imports."""
        for path in files_below(self, self._home):
            if not is_python(path):
                yield from self._code.pickled_in(self.chunks(path))

    # --- imports ----------------------------------------------------------------------------------

    def _follow(self, one: Import, importer: str) -> None:
        """Add the modules that an import in the module `importer` loads."""
        if one == ANYTHING:
            self._used.update(self._code.everything())
            self._use(*python_below(self, self._home, "folder"))
            return
        folders = self._start(one, importer)
        used = [file for folder in folders if one.level for file in self._init(folder)]
        parts = list(filter(None, one.module.split(".")))
        for part, inner in zip(parts, [*parts[1:], ""], strict=False):
            if (found := self._find(folders, part, inner)) is None:
                self._note_refused(folders, part)
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

    def _note_refused(self, folders: Sequence[str], part: str) -> None:
        for folder in folders:
            for name in (part, f"{part}.py"):
                kind = self.names(folder).get(name)
                if kind in ("link", "submodule"):
                    self.refused[joined(folder, name)] = kind

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
            parents = [path_of(parent) for parent in PurePosixPath(importer).parents]
            return parents[one.level - 1 : one.level]
        if (top := one.module.partition(".")[0]) == OURS:
            return []
        if top in sys.stdlib_module_names:
            return [self._home]
        # A module of another model's folder may import others of it as if it were its own.
        others = self._code.model_of(importer)
        more = self._code.other_folders() if self._extends_path else []
        return [self._home, *self._code.roots, *others, *more]

    def _find(
        self, folders: Sequence[str], name: str, inner: str = ""
    ) -> tuple[list[str], list[str]] | None:
        """Return the files of a module, in the first of the folders that has it, and the folders of
        the modules in it; None if there is none of that name.

        As everywhere in Python, a folder without `__init__.py` comes last, unless a module `inner`
        of it is wanted, which a file has not.
        """
        plain: list[str] = []
        file: list[str] = []
        for folder in folders:
            names = self.names(folder)
            path = joined(folder, name)
            if names.get(name) in ("folder", "linked folder"):
                below = self.names(path)
                if INIT in below:
                    return [joined(path, INIT)], [path]
                if inner in below or f"{inner}.py" in below:
                    return [], [path]
                plain.append(path)
            if not file and (file := modules_named(name, folder, names)) and not inner:
                break
        return (file, []) if file else ([], plain) if plain else None

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

"""Where the modules lie that a model's code imports: its own folder, then the repository around it.

The roots of an import are, in this order: the model's folder; the folder that holds the model
folders; each of its parents, up to the top of the repository. Of these only the files that the
model uses are there, laid out as in the repository (`ModelSpec.shared`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path, PurePosixPath
from typing import Literal

from modelsync.models.convention import FILE
from modelsync.models.types import ModelSpec

REPOSITORY = "__repository__"
"""The package of the repository's top, in the package of a model."""

Kind = Literal["package", "module", "folder", ""]
"""What a folder holds under a name: a package with `__init__.py`, a module, a folder with modules
and no `__init__.py`, or nothing.
"""


@dataclass(frozen=True, slots=True)
class SearchRoots:
    """The roots of one model. `path`: its folder's path in the repository, by its parts."""

    folder: Path
    shared: Path | None
    path: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModelSpec) -> SearchRoots:
        """Return the roots of a model."""
        shared = spec.shared.absolute() if spec.shared else None
        parts = PurePosixPath(spec.subdir).parts
        return cls(spec.path.absolute(), shared, (*parts, str(spec.name)))

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of `path` as names of modules, in which no dots can be."""
        return tuple(part.replace(".", "_") for part in self.path)

    def place(self, names: tuple[str, ...]) -> Path | None:
        """Return where a module or folder of the repository lies, by its path there; None if the
        model has no shared files.
        """
        own = self.names
        if names[: len(own)] == own:
            return self.folder.joinpath(*names[len(own) :])
        same = next((at for at, pair in enumerate(zip(names, own, strict=False))
                     if pair[0] != pair[1]), min(len(names), len(own)))  # fmt: skip
        return self.shared and self.shared.joinpath(*self.path[:same], *names[same:])

    def find(self, name: str, is_library: Callable[[str], bool] = lambda top: False) -> str | None:
        """Return the name below the model's package of what `import name` means, None if that is
        no code of the repository.

        That of a module in the model's own folder is `name`, any other one's is its path from the
        top of the repository behind `REPOSITORY`. As everywhere in Python, a folder without
        `__init__.py` comes last, after the libraries that are installed. The standard library
        comes before shared code. `is_library` tells whether a top-level name is one of a library.
        """
        top, _, inner = name.partition(".")
        own = kind_of(self.folder, top)
        if own in ("package", "module") and self._means_own(own, top, inner):
            return name
        if top in sys.stdlib_module_names or top == "modelsync":
            return None
        for above, root in self._roots():
            if kind_of(root, top) in ("package", "module") and not (
                self._is_model(top) and is_library(top)
            ):
                return ".".join((REPOSITORY, *above, name))
        if is_library(top):
            return None
        return next(self._folders(own, name), None)

    def find_in(self, path: tuple[str, ...], name: str) -> str | None:
        """Return the name below the model's package of a module in a folder of the repository."""
        folder = self.place(path)
        if folder is None or not kind_of(folder, name.partition(".")[0]):
            return None
        own = len(self.names)
        is_own = path[:own] == self.names
        return ".".join((*path[own:], name) if is_own else (REPOSITORY, *path, name))

    def path_of_folder(self, place: str) -> tuple[str, ...] | None:
        """Return the path in the repository of a folder that is named on this machine, relative to
        the working directory; None if it lies outside, and of the top `()`.
        """
        for folder in (self.shared, self.shared.resolve()) if self.shared else ():
            names = PurePosixPath(os.path.relpath(place, folder)).parts
            if ".." not in names:
                return names
        for folder in (self.folder, self.folder.resolve()):
            relative = os.path.relpath(place, folder)
            names = PurePosixPath(os.path.normpath(PurePosixPath(*self.names, relative))).parts
            if ".." not in names:
                return names
        return None

    def hold(self, files: Iterable[str]) -> bool:
        """Return whether one of some files or folders lies in the model's or the shared folder."""
        roots = [str(root) for root in (self.folder, self.shared) if root]
        return any(file == root or file.startswith(f"{root}/") for file in files for root in roots)

    def path_of(self, name: str) -> tuple[str, ...] | None:
        """Return the path in the repository of what `import name` means; None as `find`."""
        if (found := self.find(name)) is None:
            return None
        names = tuple(found.split("."))
        return names[1:] if names[0] == REPOSITORY else (*self.names, *names)

    def shown(self, file: Path) -> str | None:
        """Return how people know a file: by its path in the model's folder, or of a shared one by
        that in the repository; None of any other file.
        """
        for root in filter(None, (self.folder, self.shared)):
            for place in (root, root.resolve()):
                if file.is_relative_to(place):
                    return str(file.relative_to(place))
        return None

    def _means_own(self, own: Kind, top: str, inner: str) -> bool:
        """Return whether a module of the own folder is meant, `Churn/Churn.py`, and not `inner` of
        the folder itself, whose name it has.
        """
        if not inner or top not in self.names:
            return True
        return own == "package" and _holds(self.folder / top, inner)

    def _is_model(self, top: str) -> bool:
        """Return whether a name is that of a model folder beside this one."""
        return (self.folder.parent / top / FILE).is_file()

    def _roots(self) -> Iterator[tuple[tuple[str, ...], Path]]:
        """Yield the roots but the own folder: each with its path from the top of the repository."""
        if self.shared:
            for end in range(len(self.path) - 1, -1, -1):
                yield self.names[:end], self.shared.joinpath(*self.path[:end])

    def _folders(self, own: Kind, name: str) -> Iterator[str]:
        """Yield what a name may mean that is one of folders without `__init__.py`, the best first:
        those that hold the module.
        """
        top, _, inner = name.partition(".")
        found = [(name, self.folder / top)] if own == "folder" else []
        if top == self.names[-1]:
            found.append((".".join((REPOSITORY, *self.names[:-1], name)), self.folder))
        for above, root in self._roots():
            if kind_of(root, top):
                found.append((".".join((REPOSITORY, *above, name)), root / top))
        yield from (full for full, place in found if inner and _holds(place, inner))
        yield from (full for full, _ in found)
        if top in self.names:  # of which no file but the model's own may be there
            above = self.names[: self.names.index(top)]
            yield ".".join((REPOSITORY, *above, name))


def kind_of(folder: Path, name: str) -> Kind:
    """Return what a folder holds under the name of a module, without dots."""
    inner = folder / name
    if (inner / "__init__.py").is_file():
        return "package"
    if any((folder / f"{name}{end}").is_file() for end in (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)):
        return "module"
    return "folder" if inner.is_dir() and any(inner.rglob("*.py")) else ""


def _holds(folder: Path, inner: str) -> bool:
    """Return whether a folder has the first module of a dotted name."""
    return kind_of(folder, inner.partition(".")[0]) != ""

"""Imports the modules of a model's folder under unique names, isolated from all other modules.

The folder of the model `Churn` is the package `modelsync_models.Churn_1f0c9ab2`, and `sys.modules`
holds only such names. The modules of a folder run with an `__import__` of their own, which looks
into the folder first. This holds for every `import` statement of their code, also inside a method
that runs much later, and for no other code: a helper named `json.py` is `json` for its own model
alone.
"""

from __future__ import annotations

import builtins
import dis
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from itertools import count
from pathlib import Path, PurePosixPath
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from modelsync.models.search_roots import REPOSITORY, SearchRoots

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # that module imports ten others, which a small runner does not need
    Loader = MetaPathFinder = object

ROOT = "modelsync_models"

_import = builtins.__import__


class Package:
    """The modules of one model: those of its folder, and the shared ones that it imports."""

    def __init__(self, roots: SearchRoots, name: str) -> None:
        self.roots = roots
        self.name = name
        self.builtins = {**vars(builtins), "__import__": self._resolve}
        self._path = [place for place in sys.path if place not in {"", "."}]
        self._full: dict[str, str | None] = {}

    def full_name(self, name: str) -> str | None:
        """Return the name in `sys.modules` of what the model's code means by a module's name; None
        if that is none of its modules.
        """
        try:
            return self._full[name]
        except KeyError:
            found = self.roots.find(name, self.is_library)
            full = self._full[name] = found and f"{self.name}.{found}"
            return full

    def is_library(self, top: str) -> bool:
        """Return whether the standard library or an installed package has a top-level name."""
        if top in sys.stdlib_module_names:
            return True
        spec = PathFinder.find_spec(top, self._path)
        return spec is not None and spec.origin is not None  # a folder somewhere is none

    def _resolve(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `__import__` in the model's modules."""
        if level:
            if level > 1 and (full := self._above(name, globals or {}, level)):
                return _import(full, globals, locals, fromlist, 0)
            return _import(name, globals, locals, fromlist or (), level)
        # C code, above all the unpickler, passes an empty list as fromlist and then takes the
        # module from sys.modules by its plain name, which `_PlainNames` provides.
        full = None if fromlist == [] else self.full_name(name)
        if full is None:
            found = _import(name, globals, locals, fromlist or (), 0)
            if then := _after_import.get(name.partition(".")[0]):
                then()
            return found
        leaf = _import(full, globals, locals, fromlist or (), 0)
        inner = len(name) - len(name.partition(".")[0])
        return leaf if fromlist else sys.modules[full[: len(full) - inner]]

    def _above(self, name: str, globals: Mapping[str, Any], level: int) -> str | None:
        """Return what a relative import means that leaves the model's folder; None if it does not.

        It goes by the folder's path in the repository. Raises ImportError above the top of that.
        """
        package = globals.get("__package__") or globals["__name__"].rpartition(".")[0]
        inner = package.split(".")[2:]
        here = inner[1:] if inner[:1] == [REPOSITORY] else [*self.roots.names, *inner]
        left = len(here) - level + 1
        if left < 0:
            raise ImportError("attempted relative import beyond the top of the repository")
        if left >= len(self.roots.names) and inner[:1] != [REPOSITORY]:
            return None
        return ".".join(filter(None, [self.name, REPOSITORY, *here[:left], name]))

    def load(self, module: str) -> ModuleType:
        """Import a module of the folder; raises whatever it raises."""
        return importlib.import_module(f"{self.name}.{module}")

    def find_spec(self, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find a module of this package; `path`: the folders of the package that it lies in."""
        names = tuple(fullname.split(".")[2:])
        if not names:
            return _package_spec(fullname, self.roots.folder)
        if names[0] == REPOSITORY:
            own = self.roots.names
            if names[1 : len(own) + 1] == own:
                return ModuleSpec(fullname, _Alias(".".join((self.name, *names[len(own) + 1 :]))))
            if own[: len(names) - 1] == names[1:]:
                return _package_spec(fullname, self.roots.place(names[1:]))
        return _search(fullname, path or ())

    def close(self) -> None:
        """Remove the modules and free what they hold, when the model has failed or is unloaded."""
        for name in [
            name for name in sys.modules if name == self.name or name.startswith(f"{self.name}.")
        ]:
            # Functions and their module refer to each other: emptied, a large global is freed now.
            vars(sys.modules.pop(name)).clear()
        _packages.pop(self.name, None)
        if (root := sys.modules.get(ROOT)) is not None:
            vars(root).pop(self.name.partition(".")[2], None)


_packages: dict[str, Package] = {}
_after_import: dict[str, Callable[[], None]] = {}
_numbers = count(2)


def install() -> None:
    """Add the package of all models, and the finder of the packages in it, to the import system."""
    if ROOT not in sys.modules:
        root = ModuleType(ROOT, "The models, each in a package of its own.")
        root.__path__ = []
        sys.modules[ROOT] = root
        sys.meta_path.insert(0, _Folders())


def open_package(
    folder: Path, label: str, shared: Path | None = None, subdir: str = "", name: str = ""
) -> Package:
    """Make the package of a model's folder. Tracebacks and pickles show its `label` (name and
    version).

    `shared`: the folder with the shared files that it imports. `subdir`: where in the repository
    the folder of the model folders lies; `name`: the model's, if its folder has another one.
    """
    install()
    package_name = f"{ROOT}.{label}"
    if package_name in _packages:  # the same version from another place
        package_name = f"{package_name}_{next(_numbers)}"
    path = (*PurePosixPath(subdir).parts, name or folder.name)
    package = _packages[package_name] = Package(SearchRoots(folder, shared, path), package_name)
    return package


def after_import(library: str, then: Callable[[], None]) -> None:
    """Call `then` each time that the code of a model has imported a library."""
    _after_import[library] = then


def folders() -> dict[str, str]:
    """Return the folders of the open packages, by their labels."""
    return {
        name.removeprefix(f"{ROOT}."): str(package.roots.folder.absolute())
        for name, package in _packages.items()
    }


def close_package(name: str) -> None:
    """Close a package by its name; do nothing if there is none."""
    if package := _packages.get(name):
        package.close()


# --- modules of a folder --------------------------------------------------------------------------


class _Source(SourceFileLoader):
    """Runs a module with its folder's `__import__`, and neither reads nor writes byte code.

    A release is never modified, and a `.pyc` in the repository would run instead of the source
    beside it.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        package = _packages[".".join(module.__name__.split(".")[:2])]
        module.__dict__["__builtins__"] = package.builtins
        super().exec_module(module)


class _Folders(MetaPathFinder):
    """Finds the packages `modelsync_models.<package>` and their modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{ROOT}."):
            return None
        package = _packages.get(".".join(fullname.split(".", 2)[:2]))
        return package.find_spec(fullname, path) if package else None


def _package_spec(name: str, folder: Path | None) -> ModuleSpec:
    """Return the spec of a package: a folder, with or without `__init__.py`, or of no files."""
    file = folder / "__init__.py" if folder else None
    loader = _Source(name, str(file)) if file and file.is_file() else None
    spec = ModuleSpec(name, loader, origin=str(file) if loader else None, is_package=True)
    spec.has_location = loader is not None
    spec.submodule_search_locations = [str(folder)] if folder else []
    return spec


def _search(fullname: str, path: Sequence[str]) -> ModuleSpec | None:
    """Find a module in folders; a folder without `__init__.py` comes last."""
    places: list[str] = []
    for place in path:
        finder = FileFinder(
            place, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Source, SOURCE_SUFFIXES)
        )
        if spec := finder.find_spec(fullname):
            if spec.loader:
                return spec
            places += spec.submodule_search_locations or ()
    if not places:
        return None
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = places
    return spec


# --- plain names, for pickles ---------------------------------------------------------------------


@contextmanager
def plain_names(package: Package) -> Iterator[None]:
    """Let pickles find `helpers.Scaler` under its plain name, while the model loads.

    Afterwards `sys.modules` holds none of these names, nor any module of the folder that the
    model's code imported through `sys.path.insert(0, path)`, so that the next model finds its own
    `helpers`.
    """
    before = set(sys.modules)
    finder = _PlainNames(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:  # a model may have emptied it
            sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if not name.startswith(f"{ROOT}.") and _lies_in(
                sys.modules[name], package.roots.folder
            ):
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if isinstance(file, str) else list(getattr(module, "__path__", ()))
    return any(place == str(folder) or place.startswith(f"{folder}/") for place in places)


class _PlainNames(MetaPathFinder):
    """Finds `modelsync_models.Churn_1f0c9ab2.helpers` under the name `helpers`.

    It finds no name of the standard library or of an installed package, and nothing for an `import`
    statement of a library: many try `import something` to see whether it is installed.
    """

    def __init__(self, package: Package) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if (
            top == ROOT
            or self.package.is_library(top)
            or (full := self.package.full_name(fullname)) is None
            or not _may_use_plain_names(sys._getframe(1))
        ):
            return None
        return ModuleSpec(fullname, _Alias(full))


class _Alias(Loader):
    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes the module from sys.modules then: the caller gets the original.
        sys.modules[module.__name__] = importlib.import_module(self.name)


_IMPORT_MODULE = importlib.import_module.__code__.co_filename
_MACHINERY = ("<frozen importlib", __file__, _IMPORT_MODULE)
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]


def _may_use_plain_names(frame: FrameType | None) -> bool:
    """Return whether the importing code is the model's own or an unpickler.

    The `import` statement of a library may not use plain names.
    """
    by_call = False
    while frame and (file := frame.f_code.co_filename).startswith(_MACHINERY):
        by_call = by_call or file == _IMPORT_MODULE
        frame = frame.f_back
    if frame is None:
        return False
    if str(frame.f_globals.get("__name__", "")).startswith(f"{ROOT}."):
        return True
    return not by_call and frame.f_code.co_code[frame.f_lasti] != _IMPORT_NAME

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
from collections.abc import Iterator, Mapping, Sequence
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
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # that module imports ten others, which a small runner does not need
    Loader = MetaPathFinder = object

ROOT = "modelsync_models"

_import = builtins.__import__


class Package:
    """The modules of one model's folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.builtins = {**vars(builtins), "__import__": self._resolve}
        self._held: dict[str, bool] = {}

    def holds(self, top: str) -> bool:
        """Return whether the folder has a module or package of that top-level name."""
        if (known := self._held.get(top)) is None:
            known = self._held[top] = self._look(top)
        return known

    def _look(self, top: str) -> bool:
        if any(
            (self.folder / f"{top}{suffix}").is_file()
            for suffix in (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
        ):
            return True
        inner = self.folder / top
        if (inner / "__init__.py").is_file():
            return True
        # As everywhere in Python, a folder without __init__.py comes last: a folder `data/` does
        # not hide a library `data`.
        return inner.is_dir() and not _is_known(top) and any(inner.rglob("*.py"))

    def _resolve(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `__import__` in the folder's modules."""
        top = name.partition(".")[0]
        # C code, above all the unpickler, passes an empty list as fromlist and then takes the
        # module from sys.modules by its plain name, which `_PlainNames` provides.
        if level or fromlist == [] or not self.holds(top):
            found = _import(name, globals, locals, fromlist or (), level)
            if top == "multiprocessing":
                from modelsync.models.isolation import spawned

                spawned.install()
            return found
        leaf = _import(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
        return leaf if fromlist else sys.modules[f"{self.name}.{top}"]

    def load(self, module: str) -> ModuleType:
        """Import a module of the folder; raises whatever it raises."""
        return importlib.import_module(f"{self.name}.{module}")

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
_numbers = count(2)


def install() -> None:
    """Add the package of all models, and the finder of the packages in it, to the import system."""
    if ROOT not in sys.modules:
        root = ModuleType(ROOT, "The models, each in a package of its own.")
        root.__path__ = []
        sys.modules[ROOT] = root
        sys.meta_path.insert(0, _Folders())


def open_package(folder: Path, label: str) -> Package:
    """Make the package of a folder. Tracebacks and pickles show its `label` (name and version)."""
    install()
    name = f"{ROOT}.{label}"
    if name in _packages:  # the same version from another place
        name = f"{name}_{next(_numbers)}"
    _packages[name] = package = Package(folder, name)
    return package


def folders() -> dict[str, str]:
    """Return the folders of the open packages, by their labels."""
    return {
        name.removeprefix(f"{ROOT}."): str(package.folder.absolute())
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
        if package := _packages.get(fullname):
            return _package_spec(package)
        for place in path or ():
            finder = FileFinder(
                place, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Source, SOURCE_SUFFIXES)
            )
            if spec := finder.find_spec(fullname):
                return spec
        return None


def _package_spec(package: Package) -> ModuleSpec:
    file = package.folder / "__init__.py"
    loader = _Source(package.name, str(file)) if file.is_file() else None
    spec = ModuleSpec(package.name, loader, origin=str(file) if loader else None, is_package=True)
    spec.has_location = loader is not None
    spec.submodule_search_locations = [str(package.folder)]
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
            if not name.startswith(f"{ROOT}.") and _lies_in(sys.modules[name], package.folder):
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
        self.path = list(sys.path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if (
            top == ROOT
            or _is_known(top, self.path)
            or not self.package.holds(top)
            or not _may_use_plain_names(sys._getframe(1))
        ):
            return None
        return ModuleSpec(fullname, _Alias(f"{self.package.name}.{fullname}"))


class _Alias(Loader):
    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes the module from sys.modules then: the caller gets the original.
        sys.modules[module.__name__] = importlib.import_module(self.name)


def _is_known(top: str, path: list[str] | None = None) -> bool:
    """Return whether the standard library or an installed package has that name."""
    return top in sys.stdlib_module_names or PathFinder.find_spec(top, path) is not None


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

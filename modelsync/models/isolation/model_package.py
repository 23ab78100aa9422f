"""The package of one model: its modules, under names that no other code can import.

The folder of the model `Churn` is the package `modelsync_models.Churn_1f0c9ab2`, and the shared
files that it imports lie in `modelsync_models.Churn_1f0c9ab2.__repository__`, under their path from
the top of the repository: each model has instances of its own. These modules run with an
`__import__` of their own, which looks there first. This holds for every `import` statement of their
code, also inside a method that runs much later, and for no other code: a helper named `json.py` is
`json` for its own model alone.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from modelsync.models.search_roots import REPOSITORY, SearchRoots

if TYPE_CHECKING:
    from importlib.abc import Loader
else:  # that module imports ten others, which a small runner does not need
    Loader = object

ROOT = "modelsync_models"

PREFIX = f"{ROOT}."

after_load: list[Callable[[ModuleType], None]] = []
"""What is told of each module that has been loaded as the model: its `etls`."""

_import = builtins.__import__
_import_module = importlib.import_module


class Package:
    """The modules of one model: those of its folder, and the shared ones that it imports.

    `loads`: the model is being loaded, and may add folders to `sys.path`. `at_close`: called when
    it has failed or is unloaded.
    """

    def __init__(self, roots: SearchRoots, name: str) -> None:
        self.roots = roots
        self.name = name
        self.loads = False
        self.at_close: list[Callable[[], None]] = []
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
        return spec is not None and spec.origin is not None  # a mere folder is none

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
                return _import(full, globals, locals, fromlist or (), 0)
            return _import(name, globals, locals, fromlist or (), level)
        # C code, above all the unpickler, passes an empty list as fromlist and then takes the
        # module from sys.modules by its plain name: see `plain_names`.
        full = None if fromlist == [] else self.full_name(name)
        if full is None and self.loads:
            full = self._on_added_path(name)
        if full is None or fromlist == []:
            return _import(name, globals, locals, fromlist or (), 0)
        leaf = _import(full, globals, locals, fromlist or (), 0)
        inner = len(name) - len(name.partition(".")[0])
        return leaf if fromlist else sys.modules[full[: len(full) - inner]]

    def _above(self, name: str, globals: Mapping[str, Any], level: int) -> str | None:
        """Return what a relative import means that leaves the model's folder; None if it does not.

        It goes by the folder's path in the repository. Raises ImportError above the top of that.
        """
        package = globals.get("__package__") or globals["__name__"].rpartition(".")[0]
        inner = package.split(".")[2:]
        is_own = inner[:1] != [REPOSITORY]
        here = [*self.roots.names, *inner] if is_own else inner[1:]
        left = len(here) - level + 1
        if left < 0:
            raise ImportError("attempted relative import beyond the top of the repository")
        if is_own and left >= len(self.roots.names):
            return None
        return ".".join(filter(None, [self.name, REPOSITORY, *here[:left], name]))

    def _on_added_path(self, name: str) -> str | None:
        """Return where a module is below a folder that the model has added to `sys.path`."""
        top = name.partition(".")[0]
        for place in sys.path:
            if place not in self._path:
                path = self.roots.path_of_folder(place)
                if path is not None and (found := self.roots.find_in(path, name)):
                    full = self._full[name] = f"{self.name}.{found}"
                    return full
            elif self.is_library(top):
                break
        return None

    def _builtins_in(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the builtins of a module: one in another model's folder imports its neighbours
        there by their plain names too.
        """
        above = (REPOSITORY, *self.roots.names[:-1])
        if names[: len(above)] != above or len(names) <= len(above) + 1:
            return self.builtins
        neighbours = names[1 : len(above) + 1]

        def resolve(name: str, *args: Any, **kwargs: Any) -> ModuleType:
            if self.full_name(name) is None and not self.is_library(name.partition(".")[0]):
                found = self.roots.find_in(neighbours, name)
                self._full[name] = found and f"{self.name}.{found}"
            return self._resolve(name, *args, **kwargs)

        return {**self.builtins, "__import__": resolve}

    def import_module(self, name: str, package: str | None) -> ModuleType:
        """Replace `importlib.import_module` for the model's modules."""
        if name.startswith(".") and package:
            level = len(name) - len(name.lstrip("."))
            given = {"__package__": package}
            return self._resolve(name[level:], given, None, ("__name__",), level)
        full = self.full_name(name) or (self._on_added_path(name) if self.loads else None)
        return _import_module(full or name, package)

    def load(self, module: str) -> ModuleType:
        """Import a module of the folder; raises whatever it raises."""
        found = _import_module(f"{self.name}.{module}")
        for then in after_load:
            then(found)
        return found

    def find_spec(self, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Find a module of this package; `path`: the folders of the package that it lies in."""
        names = tuple(fullname.split(".")[2:])
        source = partial(_Source, self._builtins_in(names))
        if not names:
            return _package_spec(fullname, self.roots.folder, source)
        if names[0] == REPOSITORY:
            own = self.roots.names
            if names[1 : len(own) + 1] == own:
                return ModuleSpec(fullname, _Alias(".".join((self.name, *names[len(own) + 1 :]))))
            if own[: len(names) - 1] == names[1:]:
                return _package_spec(fullname, self.roots.place(names[1:]), source)
        return _search(fullname, path or (), source)

    def close(self) -> None:
        """Remove the modules and free what they hold, when the model has failed or is unloaded."""
        for name in [
            name for name in sys.modules if name == self.name or name.startswith(f"{self.name}.")
        ]:
            # Functions and their module refer to each other: emptied, a large global is freed now.
            vars(sys.modules.pop(name)).clear()
        if (root := sys.modules.get(ROOT)) is not None:
            vars(root).pop(self.name.removeprefix(PREFIX), None)
        for call in self.at_close:
            call()


# --- modules in files -----------------------------------------------------------------------------

Source = Callable[[str, str], Loader]


class _Source(SourceFileLoader):
    """Runs a module with its model's `__import__`, and neither reads nor writes byte code.

    A release is never modified, and a `.pyc` in the repository would run instead of the source
    beside it.
    """

    def __init__(self, builtins: dict[str, Any], fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._builtins = builtins

    def __reduce__(self) -> tuple[Any, ...]:
        """Be another loader in other processes, to which cloudpickle sends modules by value."""
        return SourceFileLoader, (self.name, self.path)

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)


class _Alias(Loader):
    """Imports a module under a second name: `models_serve.Churn.helpers` is `helpers`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes the module from sys.modules then: the caller gets the original.
        sys.modules[module.__name__] = _import_module(self.name)


def _package_spec(name: str, folder: Path | None, source: Source) -> ModuleSpec:
    """Return the spec of a package: a folder, with or without `__init__.py`, or of no files."""
    file = folder / "__init__.py" if folder else None
    loader = source(name, str(file)) if file and file.is_file() else None
    spec = ModuleSpec(name, loader, origin=str(file) if loader else None, is_package=True)
    spec.has_location = loader is not None
    spec.submodule_search_locations = [str(folder)] if folder else []
    return spec


def _search(fullname: str, path: Sequence[str], source: Source) -> ModuleSpec | None:
    """Find a module in folders; a folder without `__init__.py` comes last."""
    loaders: Any = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (source, SOURCE_SUFFIXES))
    places: list[str] = []
    for place in path:
        if spec := FileFinder(place, *loaders).find_spec(fullname):
            if spec.loader:
                return spec
            places += spec.submodule_search_locations or ()
    if not places:
        return None
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = places
    return spec

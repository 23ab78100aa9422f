"""Notes the imports of libraries: a finder for `sys.meta_path`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Set
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # see `model_package`
    Loader = MetaPathFinder = object

Around = Callable[[], AbstractContextManager[None]]


class NotedImports(MetaPathFinder):
    """Calls a function after the import of each of some modules; `around` surrounds the imports."""

    def __init__(
        self, names: Set[str], then: Callable[[str], None], around: Around = nullcontext
    ) -> None:
        self._names = names
        self._around = around
        self._then = then
        self._busy = False

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module whose import is noted by the other finders."""
        if fullname not in self._names or self._busy:
            return None
        self._busy = True
        try:
            for finder in sys.meta_path:
                if finder is not self and (found := finder.find_spec(fullname, path, target)):
                    if found.loader:
                        found.loader = _Noting(found.loader, self._around, self._then)
                    return found
        finally:
            self._busy = False
        return None


class _Noting(Loader):
    """Runs a module, surrounded, then calls a function with its name."""

    def __init__(self, loader: Any, around: Around, then: Callable[[str], None]) -> None:
        self._loader = loader
        self._around = around
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        with self._around():
            self._loader.exec_module(module)
        module.__loader__ = self._loader
        if module.__spec__:
            module.__spec__.loader = self._loader
        self._then(module.__name__)

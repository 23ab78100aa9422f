"""Saves and restores settings of libraries and of the process that all models of a process share.

`SharedSettings` remembers them before a model's code runs. Afterwards it names those that the code
has changed, or restores them. What belongs to a context (`contextvars`) is not among them: each
model has a context of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelsync.models.isolation.library_settings import LIBRARY_SETTINGS
from modelsync.models.isolation.process_settings import PROCESS, changed_variables
from modelsync.models.isolation.setting import SharedSetting, Value

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # see `import_hooks`
    Loader = MetaPathFinder = object

SETTINGS = (*PROCESS, *LIBRARY_SETTINGS)

Around = Callable[[], AbstractContextManager[None]]

LIBRARIES = {one.library for one in SETTINGS if one.library}


class SharedSettings:
    """The settings as they were; of a library that is imported later, as they were then."""

    def __init__(self) -> None:
        self.before: dict[SharedSetting, Value] = {}
        self.note("")
        for library in LIBRARIES & sys.modules.keys():
            self.note(library)

    def note(self, library: str) -> None:
        """Remember the settings of a library as they are."""
        for one in SETTINGS:
            if one.library == library and one not in self.before:
                with suppress(Exception):  # a version of the library that we do not know
                    self.before[one] = one.read()

    def changed(self, *, mild: bool) -> list[SharedSetting]:
        """Return the settings that have another value now, those that are mild or the others."""
        return [
            one
            for one, value in self.before.items()
            if one.mild is mild and self._differs(one, value)
        ]

    def restore(self, *, mild_only: bool = False) -> None:
        """Set the values as they were."""
        changed = self.changed(mild=True) + ([] if mild_only else self.changed(mild=False))
        for one in changed:
            with suppress(Exception):
                one.write(self.before[one])

    def described(self, one: SharedSetting) -> str:
        """Return the name of a changed setting, for its author."""
        if one.name == "environment variables":
            names = changed_variables(self.before[one])
            return f"the environment variable{'s' if len(names) > 1 else ''} {', '.join(names)}"
        return one.name

    def _differs(self, one: SharedSetting, value: Value) -> bool:
        try:
            if one.name == "environment variables":
                return bool(changed_variables(value))
            return bool(one.read() != value)
        except Exception:  # noqa: BLE001  a version of the library that we do not know
            return False

    @contextmanager
    def watching(
        self, libraries: Set[str] = frozenset(), around: Around = nullcontext
    ) -> Iterator[None]:
        """Remember the settings of libraries that the body imports, right after their import.

        `around` surrounds the import of these, and that of further `libraries`.
        """
        finder = _Imports(LIBRARIES | libraries, around, self.note)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            if finder in sys.meta_path:
                sys.meta_path.remove(finder)


@contextmanager
def preserved() -> Iterator[None]:
    """Run model code, then restore the settings that it has changed."""
    settings = SharedSettings()
    try:
        with settings.watching():
            yield
    finally:
        settings.restore()


class _Imports(MetaPathFinder):
    """Surrounds the imports of libraries, and calls a function after each."""

    def __init__(self, names: Set[str], around: Around, then: Callable[[str], None]) -> None:
        self._names = names
        self._around = around
        self._then = then
        self._busy = False

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
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

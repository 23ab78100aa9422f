"""Saves and restores settings of libraries and of the process that all models of a process share.

`SharedSettings` remembers them before a model's code runs. Afterwards it names those that the code
has changed, or restores them. What belongs to a context (`contextvars`) is not among them: each
model has a context of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager, nullcontext, suppress

from modelsync.models.isolation.library_settings import LIBRARY_SETTINGS
from modelsync.models.isolation.noted_imports import Around, NotedImports
from modelsync.models.isolation.process_settings import PROCESS, changed_variables
from modelsync.models.isolation.setting import SharedSetting, Value

SETTINGS = (*PROCESS, *LIBRARY_SETTINGS)

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
        finder = NotedImports(LIBRARIES | libraries, self.note, around)
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

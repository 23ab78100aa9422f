"""Finds functions and classes of modules that a model has replaced (monkey patches)."""

from __future__ import annotations

import sys
from types import ModuleType

from modelsync.models.isolation.model_package import ROOT

# What libraries replace by design, or what is restored after each load.
EXPECTED = {
    "multiprocessing.spawn": {"get_preparation_data"},  # ours
    "joblib.externals.loky.backend.spawn": {"get_preparation_data"},
    "sys": {"excepthook", "displayhook", "unraisablehook", "breakpointhook"},
    "threading": {"excepthook"},
    "typing": {"_collect_parameters", "_check_generic"},  # typing_extensions, at its import
    "warnings": {"showwarning", "formatwarning", "filters", "_showwarnmsg_impl"},
}

OURS = ("modelsync", "__main__", ROOT)


class Functions:
    """The functions and classes of the modules that are imported now, by their names."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, object]] = {}
        self.note()

    def note(self) -> None:
        """Remember the modules that have been imported since."""
        for module_name, module in list(sys.modules.items()):
            if (
                module_name in self._known
                or not isinstance(module, ModuleType)
                or module_name.partition(".")[0] in OURS
            ):
                continue
            expected = EXPECTED.get(module_name, set())
            self._known[module_name] = {
                name: value
                for name, value in list(vars(module).items())
                if callable(value) and not name.startswith("__") and name not in expected
            }

    def replaced(self) -> list[str]:
        """Return the names that refer to something else now, each behind that of its module."""
        found = []
        for module_name, names in self._known.items():
            if (module := sys.modules.get(module_name)) is None:
                continue
            now = vars(module)
            found += [
                f"{module_name}.{name}"
                for name, value in names.items()
                if now.get(name) is not value and callable(now.get(name))
            ]
        return found

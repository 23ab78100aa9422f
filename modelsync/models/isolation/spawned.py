"""Lets processes that a model starts by "spawn" or "forkserver" import the modules of its folder.

Such a process begins with a fresh interpreter. That of a script runs the script's file once more,
and finds there the function that it has to call. One of a model runs this module instead, which
makes the packages of the models known; the last one of `sys.argv` tells it where they are.
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelsync.models.isolation import import_hooks

_installed = False


def install() -> None:
    """Have `multiprocessing` prepare its new processes so, once a model has imported it."""
    import_hooks.after_import("multiprocessing", _prepare)
    import_hooks.after_import("joblib", _pickle_by_value)


def _pickle_by_value() -> None:
    """Have joblib send the functions of models to its processes as it does with a script's."""
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):  # an old joblib has its own
        with suppress(ImportError, AttributeError):
            cloudpickle = importlib.import_module(name)
            cloudpickle.register_pickle_by_value(sys.modules[import_hooks.ROOT])


def _prepare() -> None:
    """Have what a new process is told name this module, and the packages of this process."""
    global _installed
    if _installed:
        return
    _installed = True
    from multiprocessing import spawn

    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        data.pop("init_main_from_path", None)
        data["init_main_from_name"] = "modelsync.models.isolation.spawned"
        data["sys_argv"] = [*data["sys_argv"], json.dumps(import_hooks.folders())]
        return data

    vars(spawn)["get_preparation_data"] = get_preparation_data


if __name__ == "__mp_main__":
    install()
    for package, folder in json.loads(sys.argv.pop()).items():
        import_hooks.open_package(Path(folder), package)

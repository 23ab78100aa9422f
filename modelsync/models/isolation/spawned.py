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
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from modelsync.models.convention import FILE
from modelsync.models.isolation import import_hooks, model_package
from modelsync.models.isolation.model_package import PREFIX
from modelsync.models.isolation.noted_imports import NotedImports
from modelsync.models.search_roots import SearchRoots

SCRIPT = FILE.removesuffix(".py")
"""The module that is to a model what the script is to a program."""

_installed: set[str] = set()


def install() -> None:
    """Have `multiprocessing` and joblib prepare their new processes so, once they are imported."""
    import_hooks.install()
    waiting = PREPARED.keys() - _installed
    _installed.update(waiting)
    for library in waiting & sys.modules.keys():
        PREPARED[library]()
    if _register not in model_package.after_load:
        model_package.after_load.append(_register)
    if waiting:
        sys.meta_path.insert(0, NotedImports(waiting, lambda library: PREPARED[library]()))


def _prepare_multiprocessing() -> None:
    _prepare("multiprocessing.spawn")


def _prepare_joblib() -> None:
    """Have joblib tell its new processes of the packages, and send them what is in `etls`."""
    for name in import_hooks.opened():
        if module := sys.modules.get(f"{PREFIX}{name}.{SCRIPT}"):
            _register(module)
    with suppress(ImportError, AttributeError):
        _prepare("joblib.externals.loky.backend.spawn")


def _register(module: ModuleType) -> None:
    """Have joblib pickle functions and classes of a module by value, as those of a script; all
    others are imported by its processes.
    """
    if "joblib" not in sys.modules:
        return
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):  # an old joblib has its own
        with suppress(ImportError, AttributeError):
            importlib.import_module(name).register_pickle_by_value(module)


PREPARED = {"multiprocessing": _prepare_multiprocessing, "joblib": _prepare_joblib}
"""The libraries that start processes, and what prepares each once it is imported."""


def _prepare(module: str) -> None:
    """Have what a new process is told name this module, and the packages of this process."""
    spawn = importlib.import_module(module)
    original = spawn.get_preparation_data
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def get_preparation_data(*args: Any, **kwargs: Any) -> dict[str, Any]:
        data: dict[str, Any] = original(*args, **kwargs)
        data.pop("init_main_from_path", None)
        data["init_main_from_name"] = "modelsync.models.isolation.spawned"
        data["sys_argv"] = [*data["sys_argv"], json.dumps(_packages())]
        return data

    vars(spawn)["get_preparation_data"] = get_preparation_data


def _packages() -> dict[str, Any]:
    return {
        label: [str(roots.folder), roots.shared and str(roots.shared), roots.path]
        for label, roots in import_hooks.opened().items()
    }


def _open_packages() -> None:
    """Make the packages known that the last argument describes."""
    for label, (folder, shared, path) in json.loads(sys.argv.pop()).items():
        roots = SearchRoots(Path(folder), shared and Path(shared), tuple(path))
        import_hooks.open_roots(roots, label)


if __name__ == "__mp_main__":
    install()
    _open_packages()

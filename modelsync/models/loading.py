"""Loads a model: imports its folder, makes its instance, decides how it is called. Never calls it.

Not calling matters: models are loaded before the workers are forked, and OpenMP, gRPC and CUDA do not survive a fork
once they have been used.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models import binding, examples, importing, surroundings
from modelsync.models.contract import Fault, LoadedModel, ModelFolder
from modelsync.models.faults import from_exception
from modelsync.models.source import FILE, METHOD

# The working directory, sys.path and the streams belong to the process: one model at a time.
_loading = threading.RLock()


def load(folder: ModelFolder) -> LoadedModel:
    """Import a model under a unique name and make its one instance.

    While it loads, the working directory is its folder; afterwards all that the process shares is as it was. Raises
    ModelBroken with the fault, whatever its code did, `sys.exit()` and KeyboardInterrupt included; then nothing of it
    is left in `sys.modules`.
    """
    if folder.fault:
        raise ModelBroken(folder.fault)
    path = folder.path.absolute()
    package = importing.open_package(path, _label(folder))
    try:
        with _loading, surroundings.kept(path), importing.plain_names(package):
            return _load(folder, path, package)
    except ModelBroken:
        package.close()
        raise
    except BaseException as error:  # noqa: BLE001 - model code runs here: SystemExit is a model's fault, not our end
        fault = from_exception(error, path, "load")
        package.close()
        raise ModelBroken(fault) from None


def unload(model: LoadedModel) -> None:
    """Forget a model's modules and free what they hold. Its instance must not be called any more."""
    importing.close_package(model.package)


def _load(folder: ModelFolder, path: Path, package: importing.Package) -> LoadedModel:
    with surroundings.unpatched():
        module = package.load(FILE.removesuffix(".py"))
    kind = getattr(module, folder.class_name, None)
    if not isinstance(kind, type):
        raise ModelBroken(Fault("load", f"{FILE} defines no class {folder.class_name}", FILE))
    make = _constructor(kind, f"{path}/")
    with surroundings.unpatched():
        instance = make()
    method = getattr(instance, METHOD, None)
    if not callable(method):
        raise ModelBroken(Fault("load", f"class {folder.class_name} has no {METHOD} method", FILE))
    call, schema = binding.bind(method, dataframe=folder.class_name == METHOD)
    is_async = inspect.iscoroutinefunction(method)
    return LoadedModel(
        name=folder.name,
        version=folder.version,
        call=call,
        is_async=is_async,
        schema=schema,
        doc=_doc(kind, method, module),
        examples=examples.read(path),
        lock=threading.Lock() if folder.writes_self and not is_async else None,
        instance=instance,
        package=package.name,
    )


def _label(folder: ModelFolder) -> str:
    """A package name of the model's name and version: what tracebacks show."""
    return re.sub(r"\W", "_", f"{folder.name}_{folder.version[:8]}")


def _constructor(kind: type, path: str) -> Callable[[], Any]:
    """What makes the instance; `__init__` gets the folder's path if it takes an argument at all."""
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except ValueError:  # a class of a C extension
        return partial(kind, path)
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty:
            return partial(kind, **{parameter.name: path})
        if parameter.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
            return partial(kind, path)
    return kind


def _doc(kind: type, method: Callable[..., Any], module: object) -> str:
    """The text for the API reference: of the class, else of the method, else of the file."""
    text = kind.__doc__ or getattr(method, "__doc__", None) or getattr(module, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""

"""Loads a model: imports its folder, makes its instance, decides how it is called. Never calls it.

Not calling matters: models are loaded before the workers are forked, and OpenMP, gRPC and CUDA do
not survive a fork once they have been used.
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
from modelsync.models import examples
from modelsync.models.artefacts import registry
from modelsync.models.diagnosis import from_exception
from modelsync.models.discovery.source_analysis import BATCH, FILE, METHOD
from modelsync.models.isolation import import_hooks, process_state
from modelsync.models.loading import batching, binding
from modelsync.models.types import Fault, LoadedModel, ModelSpec

# The working directory, sys.path and the streams belong to the process: one model at a time.
_loading = threading.RLock()


def load(folder: ModelSpec) -> LoadedModel:
    """Import a model under a unique name and make its one instance.

    While it loads, the working directory is its folder; afterwards all that the process shares is
    as it was. Raises ModelBroken with the fault, whatever its code did, `sys.exit()` and
    KeyboardInterrupt included; then nothing of it is left in `sys.modules`.
    """
    if folder.fault:
        raise ModelBroken(folder.fault)
    path = folder.path.absolute()
    package = import_hooks.open_package(path, _label(folder))
    try:
        with _loading, process_state.kept(path), import_hooks.plain_names(package):
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
    import_hooks.close_package(model.package)


def _load(folder: ModelSpec, path: Path, package: import_hooks.Package) -> LoadedModel:
    model = _artefact(folder, path) if folder.artefact else _instance(folder, path, package)
    model.examples = examples.read(path)
    model.package = package.name
    return model


def _artefact(folder: ModelSpec, path: Path) -> LoadedModel:
    with process_state.unpatched():
        ready = registry.load(path, folder.artefact)
    batch = ready.batch
    return LoadedModel(
        name=folder.name,
        version=folder.version,
        call=batch.one,
        schema=batch.schema,
        doc=ready.doc,
        instance=ready.instance,
        bind=batch.row if ready.batches else None,
        call_batch=batch.call if ready.batches else None,
    )


def _instance(folder: ModelSpec, path: Path, package: import_hooks.Package) -> LoadedModel:
    with process_state.unpatched():
        module = package.load(FILE.removesuffix(".py"))
    kind = getattr(module, folder.class_name, None)
    if not isinstance(kind, type):
        raise ModelBroken(Fault("load", f"{FILE} defines no class {folder.class_name}", FILE))
    make = _constructor(kind, f"{path}/")
    with process_state.unpatched():
        instance = make()
    method, rows = _method(instance, METHOD), _method(instance, BATCH)
    is_async = inspect.iscoroutinefunction(method)
    if is_async and rows:  # the static check has not seen both: one of them is inherited
        raise ModelBroken(
            Fault(
                "load", f"async def {METHOD} beside {BATCH}: a batch is called, not awaited", FILE
            )
        )
    form = binding.form_of(method, dataframe=folder.class_name == METHOD) if method else None
    batch = batching.bind(rows, form) if rows else None
    if method and form:
        call, schema = binding.caller(method, form), form.schema
    elif batch:
        call, schema = batch.one, batch.schema
    else:
        raise ModelBroken(Fault("load", f"class {folder.class_name} has no {METHOD} method", FILE))
    return LoadedModel(
        name=folder.name,
        version=folder.version,
        call=call,
        is_async=is_async,
        schema=batch.schema if batch else schema,
        doc=_doc(kind, method or rows, module),
        lock=threading.Lock() if folder.writes_self and not is_async else None,
        instance=instance,
        bind=batch.row if batch else None,
        call_batch=batch.call if batch else None,
    )


def _method(instance: object, name: str) -> Callable[..., Any] | None:
    found = getattr(instance, name, None)
    return found if callable(found) else None


def _label(folder: ModelSpec) -> str:
    """A package name of the model's name and version: what tracebacks show."""
    return re.sub(r"\W", "_", f"{folder.name}_{folder.version[:8]}")


def _constructor(kind: type, path: str) -> Callable[[], Any]:
    """What makes the instance; `__init__` gets the folder's path if it takes an argument at all."""
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except ValueError:  # a class of a C extension
        return partial(kind, path)
    for parameter in parameters:
        if (
            parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and parameter.default is inspect.Parameter.empty
        ):
            return partial(kind, **{parameter.name: path})
        if parameter.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
            return partial(kind, path)
    return kind


def _doc(kind: type, method: Any, module: object) -> str:
    """The text for the API reference: of the class, else of the method, else of the file."""
    text = kind.__doc__ or getattr(method, "__doc__", None) or getattr(module, "__doc__", None)
    return inspect.cleandoc(text) if isinstance(text, str) else ""

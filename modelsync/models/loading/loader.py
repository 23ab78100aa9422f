"""Loads a model: imports its folder, makes its instance, decides how it is called. Never calls it.

Models are loaded before the workers are forked, and OpenMP, gRPC and CUDA do not survive a fork
once a call has used them.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelsync.errors import ArtifactCorrupt, ModelBroken, VersionRefused
from modelsync.models import examples
from modelsync.models.artefact_facts import ArtefactFacts
from modelsync.models.artefacts import registry
from modelsync.models.binding import calls, signature
from modelsync.models.binding.calls import Calls
from modelsync.models.binding.checked import by_schema
from modelsync.models.convention import BATCH, FILE, METHOD, PREDICT
from modelsync.models.data_schema import as_mapping
from modelsync.models.diagnosis import from_exception
from modelsync.models.isolation import fork_guard, import_hooks, plain_names, process_state
from modelsync.models.isolation.model_package import Package
from modelsync.models.loading import construction, library_versions, lifecycle
from modelsync.models.search_roots import SearchRoots
from modelsync.models.types import Fault, LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion, Mismatch

TURN = 0.1
"""Seconds between two looks whether a load that hangs has been given up."""

# The working directory, sys.path and the streams belong to the process: one model at a time.
_loading = threading.RLock()


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other thread loads a model, and keep the others waiting meanwhile."""
    while True:
        lock = _loading
        if lock.acquire(timeout=TURN):
            if lock is _loading:
                break
            lock.release()  # given up: another thread may load under the new one
    try:
        yield
    finally:
        lock.release()


def give_up_turn() -> None:
    """Let the next thread load its model, although one that hangs in a load has not ended."""
    global _loading
    _loading = threading.RLock()


def between_loads(tidy_up: Callable[[], None]) -> None:
    """Restore what models have changed in this process, unless one loads: it may still need it."""
    lock = _loading
    if lock.acquire(blocking=False):
        try:
            tidy_up()
        finally:
            lock.release()


def load(
    spec: ModelSpec,
    *,
    alone: bool = False,
    fitted: FittedVersion | None = None,
    writable: bool = False,
    mismatch: Mismatch = "warn",
) -> LoadedModel:
    """Import a model under a unique name and make its one instance.

    While it loads, the working directory is its folder; afterwards the state that all models share
    is restored. It loads in a context of its own (`LoadedModel.context`), so that decimal's
    precision and numpy's error state, if it sets them, are its own. Its `start` is not called:
    `lifecycle.start` does that. Raises ModelBroken with the fault, whatever the model's code
    raised, SystemExit and KeyboardInterrupt included; then nothing of it is left in `sys.modules`.

    `alone`: no other model runs in this process, so settings of libraries stay as this one sets
    them. `fitted`: the stored version whose object becomes the instance's `model`; `writable`: it
    will be changed, so its arrays are copied into memory; `mismatch`: what to do if other libraries
    have made it. The cause of ModelBroken is then ArtifactCorrupt or VersionRefused, if one is.
    """
    if spec.fault:
        raise ModelBroken(spec.fault)
    stored = Stored(fitted, writable, mismatch) if fitted else None
    path = spec.path.absolute()
    package = import_hooks.open_roots(SearchRoots.of(spec), _label(spec))
    context = Context()
    context.run(plain_names.current.set, package)
    try:
        with (
            turn(),
            process_state.preserved(path, alone=alone),
            plain_names.loading(package),
        ):
            model = context.run(_load, spec, path, package, stored)
            if fault := library_versions.refused(model.warnings, mismatch):
                raise ModelBroken(fault)
    except ModelBroken:
        import_hooks.close_package(package.name)
        raise
    except BaseException as error:  # noqa: BLE001 - model code: SystemExit is the model's fault
        fault = _fault(error, spec)
        import_hooks.close_package(package.name)
        cause = error if isinstance(error, ArtifactCorrupt | VersionRefused) else None
        raise ModelBroken(fault) from cause
    finally:
        fork_guard.end_if_forked()  # a process that `__init__` has forked returns to here
    model.context = context
    return model


def _fault(error: BaseException, spec: ModelSpec) -> Fault:
    fault = from_exception(error, spec, "load")
    return replace(fault, file=spec.artefact) if spec.artefact and not fault.file else fault


def unload(model: LoadedModel) -> None:
    """Remove a model's modules and free what they hold. It must not be called any more."""
    import_hooks.close_package(model.package)


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored version with which a model is loaded, and how; as the arguments of `load`."""

    fitted: FittedVersion
    writable: bool
    mismatch: Mismatch

    def give(self, instance: Any, package: str) -> None:
        """Deserialise what was fitted and give it to the instance. Raises what that raises."""
        from modelsync.models.serializers import registry
        from modelsync.models.serializers.serializer import Owner
        from modelsync.models.training import restoring

        owner = Owner(package, instance, self.fitted.inputs)
        found = registry.load(self.fitted, owner, mapped=not self.writable, mismatch=self.mismatch)
        restoring.give(instance, found)


def _load(spec: ModelSpec, path: Path, package: Package, stored: Stored | None) -> LoadedModel:
    """Load the model in its package, with the warnings of its libraries and its examples."""
    with library_versions.watching() as noted:
        try:
            model = (
                _artefact(spec, path) if spec.artefact else _instance(spec, path, package, stored)
            )
        except (ArtifactCorrupt, VersionRefused, ModelBroken):
            raise
        except Exception as error:
            if found := library_versions.described(noted):
                fault = library_versions.explained(_fault(error, spec), found)
                raise ModelBroken(fault) from error
            raise
    model.warnings += library_versions.described(noted)
    if stored:
        model.warnings += library_versions.of_version(stored.fitted)
    model.examples = examples.read(path)
    if not model.examples:
        model.warnings = library_versions.untested(model.warnings)
    model.package = package.name
    return model


def _artefact(spec: ModelSpec, path: Path) -> LoadedModel:
    """Load a model that is a file: requests are checked by its features, and by `schema.yml`."""
    from modelsync.models.artefacts import answers  # here: a small runner does without

    with process_state.restored_modules():
        artefact = registry.load(path, spec.artefact)
    if spec.compiled:
        # Here: only what has been compiled needs it.
        from modelsync.models.compiled import answering

        artefact = answering.with_compiled(artefact, spec.compiled, spec.name)
    batch = artefact.batch
    rows = (batch.row, batch.call) if artefact.batches else (None, None)
    found = by_schema(spec, Calls(partial(answers.call, artefact), batch.schema, *rows))
    return LoadedModel(
        spec,
        call=found.call,
        schema=found.schema,
        doc=artefact.doc,
        instance=artefact.instance,
        bind=found.bind,
        call_batch=found.call_batch,
        artefact=ArtefactFacts(
            artefact.features.names, artefact.kind, artefact.steps, artefact.backend
        ),
        ready=artefact,
        warnings=library_versions.described(artefact.noted, spec.artefact),
    )


def _instance(spec: ModelSpec, path: Path, package: Package, stored: Stored | None) -> LoadedModel:
    """Load a model that is code: import the module, make the instance, bind its methods."""
    if spec.compiled:
        # Here: only what has been compiled needs it.
        from modelsync.models.compiled import estimator_forms

        # Before the model's code, which finds the forms by what its estimators hold.
        estimator_forms.open_folder(package.name, spec.compiled)
        package.at_close.append(partial(estimator_forms.close, package.name))
    with process_state.restored_modules():
        module = package.load(FILE.removesuffix(".py"))
    kind = getattr(module, spec.class_name or spec.function, None)
    is_function = bool(spec.function) and callable(kind) and not isinstance(kind, type)
    with process_state.restored_modules():
        if is_function:
            instance: Any = module  # its functions are bound as the methods of an instance are
        else:
            _give_schema(kind, spec)
            instance = construction.make(kind, spec, module)
        if stored:
            stored.give(instance, package.name)
    named_as_method = METHOD in (spec.class_name, spec.function)
    found = _calls(instance, path, dataframe=named_as_method and not is_function)
    fitted = stored.fitted if stored else None
    if spec.trainable:
        # Here: a small runner, of a model that is not trained, does without.
        from modelsync.models.training import predictions

        found = predictions.bind(spec, instance, found, fitted)
    if found is None:
        raise construction.without_method(instance, spec, module)
    found = by_schema(spec, found)
    return LoadedModel(
        replace(spec, is_async=found.is_async),
        call=found.call,
        schema=found.schema,
        doc=_doc(kind, instance, module),
        lock=threading.Lock() if spec.writes_self and not found.is_async else None,
        instance=instance,
        bind=found.bind,
        call_batch=found.call_batch,
        start=None if is_function else lifecycle.method(instance, "start"),
        stop=None if is_function else lifecycle.method(instance, "stop"),
        fitted=fitted,
        form=found.form,
    )


def _calls(instance: Any, path: Path, *, dataframe: bool) -> Calls | None:
    """Bind the predicting methods; a fault of their signatures gets the place of the method."""
    try:
        return calls.of_instance(instance, dataframe=dataframe)
    except ModelBroken as error:
        fault = error.fault
        if isinstance(fault, Fault) and fault.line is None:
            method = calls.method_of(instance, METHOD) or calls.method_of(instance, BATCH)
            file, line = signature.place(method, path)
            raise ModelBroken(replace(fault, file=file, line=line)) from error
        raise


def _give_schema(kind: Any, spec: ModelSpec) -> None:
    """Let instances of a class read `schema.yml` as `self.schema`, unless it has one of its own."""
    if spec.schema and not hasattr(kind, "schema"):
        with suppress(AttributeError, TypeError):  # of a metaclass that forbids it
            kind.schema = as_mapping(spec.schema)


def _label(spec: ModelSpec) -> str:
    """Return the name of the model's package, from its name and version: tracebacks show it."""
    return re.sub(r"\W", "_", f"{spec.name}_{spec.version[:8]}")


def _doc(kind: Any, instance: object, module: object) -> str:
    """Return the text for the API reference: of the class, else the method, else the file."""
    found = (calls.method_of(instance, name) for name in (METHOD, BATCH, PREDICT, "fit"))
    method = next(filter(None, found), None)
    texts = (getattr(one, "__doc__", None) for one in (kind, method, module))
    text = next(filter(None, texts), None)
    given = inspect.cleandoc(text) if isinstance(text, str) else ""
    return given.encode("utf-8", "replace").decode()  # JSON has no lone surrogates

"""Compiles the estimators of a class: loads it, runs its examples, and compiles what it has called.

Run in the compile process; the examples have been answered by the check before.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import estimator_compilation
from modelsync.models.compiled.estimator_digest import size
from modelsync.models.compiled.recording import RecordedEstimator, Recording, recording
from modelsync.models.loading import lifecycle, loader
from modelsync.models.types import LoadedModel, ModelSpec


def compile_class(spec: ModelSpec, folder: Path, tolerance: float) -> Compilation | None:
    """Compile the estimators that a class gives to `modelsync.compiled`, each into a folder in
    `folder`, which is made if one of them is compiled.

    Returns None if it gives none. Raises what model code and the libraries of the compilers raise.
    """
    with recording() as first:
        _exercise(spec)
    if not first.estimators:
        return None
    folder.mkdir(parents=True)
    found = [(_kind(one), _compile(one, folder, tolerance)) for one in first.estimators]
    again = _digests_of_second_load(spec)
    found = [
        (kind, _found_again(one, result, folder, again))
        for one, (kind, result) in zip(first.estimators, found, strict=True)
    ]
    if not any(result.state == "compiled" for _, result in found):
        rmtree(folder)
    return estimator_compilation.summary(found)


def _exercise(spec: ModelSpec) -> None:
    """Load a class and have it answer its examples as in the service, whatever it answers."""
    model = loader.load(replace(spec, compiled=None))
    try:
        with closing(asyncio.Runner()) as runner:  # it makes no event loop before it needs one

            def wait(result: Awaitable[Any]) -> Any:
                return runner.run(lifecycle.awaited(result), context=model.context)

            lifecycle.start(model, wait)
            for example in model.examples:
                with suppress(Exception):  # one that it rejects, or for which nothing is fitted
                    result = model.context.run(model.call, copy.deepcopy(example.variables))
                    if model.is_async:
                        wait(result)
            with suppress(Exception):
                _batch(model)
    finally:
        loader.unload(model)


def _batch(model: LoadedModel) -> None:
    """Have a class that takes several requests at once answer all its examples together."""
    if model.bind and model.call_batch:
        rows = [model.bind(copy.deepcopy(example.variables)) for example in model.examples]
        model.context.run(model.call_batch, rows)


def _kind(recorded: RecordedEstimator) -> str:
    return type(recorded.estimator).__name__


def _compile(recorded: RecordedEstimator, folder: Path, tolerance: float) -> Compilation:
    place = folder / (recorded.digest or "none")
    held = size(recorded.estimator)
    try:
        found = estimator_compilation.compile_recorded(recorded, place, tolerance)
    except Exception as error:  # noqa: BLE001  any library's; the next estimator may be compiled
        rmtree(place, ignore_errors=True)
        text = " ".join(str(error).split())
        return Compilation("refused", f"{type(error).__name__}: {text}")
    size_of_form = sum(file.stat().st_size for file in place.rglob("*")) if place.is_dir() else 0
    return replace(found, size=size_of_form, estimator_size=held)


def _digests_of_second_load(spec: ModelSpec) -> set[str]:
    """Return the digests of what the class gives when it is loaded once more."""
    with recording() as second, suppress(ModelBroken):
        _exercise(spec)
    return _digests(second)


def _digests(one: Recording) -> set[str]:
    return {recorded.digest for recorded in one.estimators}


def _found_again(
    recorded: RecordedEstimator, found: Compilation, folder: Path, again: set[str]
) -> Compilation:
    """Return what came of an estimator; one that is another at each load has no use for a form."""
    if found.state != "compiled" or recorded.digest in again:
        return found
    rmtree(folder / recorded.digest)
    return Compilation("refused", "it is another estimator each time the class is loaded")

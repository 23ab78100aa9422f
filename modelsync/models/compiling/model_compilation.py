"""Compiles the estimators of one model in this process, and proves that the answers are the same.

The process is a fork that does nothing else: model code and a library's compiler run here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken, VariablesInvalid
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.check import class_compilation
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice, fingerprint
from modelsync.models.compiled.answering import ARTEFACT
from modelsync.models.loading import loader
from modelsync.models.types import LoadedModel, ModelSpec

MAX_REASON = 400
"""Characters of a reason that are kept."""


def compile_model(spec: ModelSpec, folder: Path, tolerance: float) -> Compilation:
    """Compile the estimators of a model into `folder`, which does not exist yet.

    It exists afterwards only if a form of them is to serve. Never raises what model code or a
    library raises: then the reason says it.
    """
    try:
        found = _compiled(spec, folder, tolerance)
    except Exception as error:  # noqa: BLE001  the edge of a compilation
        text = " ".join(str(error).split())
        return Compilation("refused", f"{type(error).__name__}: {text}"[:MAX_REASON])
    if found.state == "compiled" and folder.is_dir():
        fingerprint.write(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        found = replace(found, size=found.size or size)
    return replace(found, reason=found.reason[:MAX_REASON])


def _compiled(spec: ModelSpec, folder: Path, tolerance: float) -> Compilation:
    if not spec.artefact:
        found = class_compilation.compile_class(spec, folder, tolerance)
        return found or Compilation("refused", "its examples give no estimator to compile")
    try:
        model = loader.load(spec)
    except ModelBroken as error:  # it did load in the check
        return Compilation("refused", f"it does not load in the compile process: {error}")
    artefact: LoadedArtefact = model.ready
    size = (spec.path / spec.artefact).stat().st_size
    found = model.context.run(
        choice.choose, artefact, _rows(model), folder / ARTEFACT, tolerance
    )
    return replace(found, estimator_size=found.estimator_size or size)


def _rows(model: LoadedModel) -> list[Any]:
    """Return the rows that the model's examples give, without those that it rejects."""
    rows = []
    for example in model.examples:
        with suppress(VariablesInvalid):
            bind = model.bind or model.ready.batch.row
            rows.append(bind(example.variables))
    return rows

"""Compiles the estimators of one model in this process, and proves that the answers are the same.

The process is a fork that does nothing else: model code and a library's compiler run here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelsync.errors import ModelBroken
from modelsync.files import remove_tree
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.check import class_compilation
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice, fingerprint
from modelsync.models.compiled.answering import ARTEFACT
from modelsync.models.loading import loader
from modelsync.models.types import ModelSpec

MAX_REASON = 400
"""Characters of a reason that are kept."""


def compile_model(spec: ModelSpec, folder: Path, tolerance: float) -> Compilation:
    """Compile the estimators of a model into `folder`, which does not exist yet.

    It exists afterwards only if a form of them is to serve. Never raises what model code or a
    library raises: the reason says that then. Raises OSError if the disk fails.
    """
    try:
        found = _compiled(spec, folder, tolerance)
    except Exception as error:  # noqa: BLE001  the edge of a compilation
        text = " ".join(str(error).split())
        found = Compilation("refused", f"{type(error).__name__}: {text}")
    if not folder.is_dir():
        return replace(found, reason=_cut_off(found.reason))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if found.state == "compiled" and size:
        fingerprint.write(folder)
        found = replace(found, size=found.size or size)
    else:
        remove_tree(folder)
    return replace(found, reason=_cut_off(found.reason))


def _compiled(spec: ModelSpec, folder: Path, tolerance: float) -> Compilation:
    if not spec.artefact:
        given = class_compilation.compile_class(spec, folder, tolerance)
        return given or Compilation("refused", "it gives no estimator to modelsync.compiled")
    try:
        model = loader.load(spec)
    except ModelBroken as error:  # it did load in the check
        return Compilation("refused", f"it does not load in the compile process: {error}")
    artefact: LoadedArtefact = model.ready
    size = (spec.path / spec.artefact).stat().st_size
    (folder / ARTEFACT).mkdir(parents=True)
    examples = [one.variables for one in model.examples if one.status is None]
    found = model.context.run(
        choice.choose, artefact, examples, folder / ARTEFACT, tolerance=tolerance
    )
    return replace(found, estimator_size=found.estimator_size or size)


def _cut_off(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"

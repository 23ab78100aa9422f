"""Chooses the form by which an artefact is served: the fastest that answers the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.steps import steps_of
from modelsync.models.compilation import Compilation
from modelsync.models.compiled.trial import Trial, Tried
from modelsync.models.forms import compiled_model
from modelsync.models.forms.compiler import Compiler
from modelsync.models.forms.forest_compiler import ForestCompiler
from modelsync.models.forms.linear_compiler import LinearCompiler
from modelsync.models.forms.onnx_compiler import OnnxCompiler

TOLERANCE = 1e-6
"""The relative difference of probabilities and numbers that counts as equal, unless set."""

COMPILERS: tuple[Compiler, ...] = (
    LinearCompiler(),
    ForestCompiler(),
    OnnxCompiler("single"),
    OnnxCompiler("rounded"),
    OnnxCompiler("double"),
)
"""All compilers."""


def choose(
    artefact: LoadedArtefact,
    examples: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    tolerance: float = TOLERANCE,
    compilers: Sequence[Compiler] = COMPILERS,
) -> Compilation:
    """Compile an artefact by each compiler, and write the fastest form that is equal into a folder.

    `examples`: the `variables` of the folder's examples; those that the artefact refuses are left
    out. Nothing is written if no form is equal and faster than the estimator. A compiler that
    raises is named in the reason. `estimator_size` and `seconds` are the caller's to fill in.
    """
    if artefact.kind == "ONNX graph":
        return Compilation("compiled", backend="onnxruntime")
    if artefact.target is None:
        first, *others = steps_of(artefact.instance)
        name = type(first).__name__ if others else artefact.kind
        reason = f"{name} takes no columns of numbers or categories"
        return Compilation("refused", reason)
    trial = Trial(artefact, artefact.target, examples, tolerance)
    tried: list[Tried] = []
    for compiler in compilers:
        tried.append(trial.attempt(compiler))
        if compiler.is_best and tried[-1].seconds:
            break
    equal = [(one.seconds.alone + one.seconds.batch, one) for one in tried if one.seconds]
    if not equal:
        return _refused(tried)
    _, best = min(equal, key=lambda pair: pair[0])
    return _served(best, trial, _differences(tried), folder)


def _differences(tried: Sequence[Tried]) -> str:
    """Return what differs, of each form that is not equal."""
    found = [(one.name, one.proof.difference) for one in tried if one.proof]
    return "; ".join(f"{name}: {difference}" for name, difference in found if difference)


def _refused(tried: Sequence[Tried]) -> Compilation:
    """Say why there is no form: what was compared counts more than what could not be made.

    Of several that were compared the last is told, whose numbers are the most precise.
    """
    compared = [one for one in tried if one.proof]
    about = compared[-1:] or [one for one in tried if not one.says_nothing] or tried
    reasons = dict.fromkeys(one.reason for one in about)
    proofs = [one.proof for one in compared if one.proof]
    largest = [one.max_difference for one in proofs if one.max_difference is not None]
    return Compilation(
        "refused",
        "; ".join(reasons) or "there is no compiler",
        rows=max((one.rows for one in proofs), default=0),
        max_difference=float(max(largest)) if largest else None,
        difference=_differences(tried),
    )


def _served(best: Tried, trial: Trial, difference: str, folder: Path) -> Compilation:
    """Write a form that is faster than the estimator, and describe it."""
    assert best.model, "it was compiled"
    assert best.proof, "it was proven"
    assert best.seconds, "it was timed"
    alone = trial.expected.alone / best.seconds.alone
    batch = trial.expected.batch / best.seconds.batch
    largest = best.proof.max_difference
    facts: dict[str, Any] = {
        "backend": best.model.backend,
        "speedup": round(alone, 2),
        "speedup_batch": round(batch, 2),
        "rows": best.proof.rows,
        "max_difference": None if largest is None else float(largest),
        "difference": difference,
    }
    if min(alone, batch) <= 1:
        return Compilation("refused", "the estimator itself is faster", **facts)
    folder.mkdir(parents=True, exist_ok=True)
    compiled_model.save(best.model, folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return Compilation("compiled", **facts, size=size)

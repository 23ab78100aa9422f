"""Compiles an estimator of a class, proves its calls, and writes the form that answers them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts import estimators
from modelsync.models.artefacts.target import Target
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import (
    call_tables,
    choice,
    compiled_model,
    estimator_form,
    proof_rows,
)
from modelsync.models.compiled.call_proof import CallProof, NotEqual
from modelsync.models.compiled.estimator_form import EstimatorForm
from modelsync.models.compiled.estimator_forms import ByForm
from modelsync.models.compiled.proof import Proof
from modelsync.models.compiled.recording import RecordedEstimator

ROUNDS = 5
"""How often a call is measured; the best counts."""

ENOUGH = 0.02
"""Seconds that one round of a measurement takes at least."""


def compile_recorded(recorded: RecordedEstimator, folder: Path, tolerance: float) -> Compilation:
    """Compile an estimator into a folder that does not exist yet, and is not made without a form.

    Raises what the libraries raise that do it.
    """
    kind = type(recorded.estimator).__name__
    if not recorded.digest:
        return Compilation("refused", f"{kind} cannot be pickled, by which its form is found again")
    outline = estimator_form.outline(recorded.estimator)
    try:
        artefact = estimators.adapt(recorded.estimator, kind)
    except ModelBroken as error:
        return Compilation("refused", str(error))
    if artefact.target is None:
        return Compilation("refused", f"{kind} does not take columns")
    target = artefact.target
    rows = _rows(recorded, target)
    found = choice.choose(artefact, rows, folder, tolerance=tolerance)
    if found.state != "compiled":
        return found
    made = proof_rows.make(target, examples=rows)
    calls = CallProof(target, compiled_model.load(folder), made, tolerance)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proven = calls.run(recorded.calls)
            found = _measured(found, proven, calls)
    except NotEqual as error:
        return _refused(found, folder, str(error))
    if (found.speedup or 0) <= 1:
        reason = f"compiled it is not faster: {found.speedup:.2f} times as fast with one row"
        return _refused(found, folder, reason)
    form = EstimatorForm(calls.model, calls.accepted, outline, found)
    estimator_form.save(form, folder)
    return found


def _refused(found: Compilation, folder: Path, reason: str) -> Compilation:
    rmtree(folder)
    return Compilation("refused", reason, rows=found.rows, difference=reason)


def _rows(recorded: RecordedEstimator, target: Target) -> list[tuple[Any, ...]]:
    """Return the rows with which the examples have called an estimator."""
    labels = tuple(map(str, getattr(recorded.estimator, "feature_names_in_", ())))
    width = int(getattr(recorded.estimator, "n_features_in_", len(labels)))
    at = call_tables.places(target, labels, width)
    return [row for _, x in recorded.calls for row in call_tables.rows_of(x, target, at)]


# --- how much faster ------------------------------------------------------------------------------


def _measured(found: Compilation, proven: Proof, calls: CallProof) -> Compilation:
    """Return what is known, with how many times faster the calls of the class are."""
    numbers = (found.max_difference, proven.max_difference)
    largest = max((one for one in numbers if one is not None), default=None)
    return replace(
        found,
        speedup=_speedup(calls, 1),
        speedup_batch=_speedup(calls, 16),
        rows=max(found.rows, proven.rows),
        max_difference=largest,
    )


def _speedup(calls: CallProof, count: int) -> float:
    """Return how many times less processor time a call of the form takes, with so many rows."""
    estimator = calls.target.estimator
    rows = list(calls.rows[:count])
    x = calls.tables.make(rows, calls.base)
    name = next(reversed(calls.accepted.methods))
    original = getattr(estimator, name)
    form = ByForm(EstimatorForm(calls.model, calls.accepted), estimator)
    before = _seconds(lambda: original(x))
    after = _seconds(lambda: form.answer(name, x, original))
    return round(before / after, 2)


def _seconds(call: Callable[[], Any]) -> float:
    """Return the processor time of one call."""
    call()
    best = float("inf")
    for _ in range(ROUNDS):
        count, start = 0, time.process_time()
        while (spent := time.process_time() - start) < ENOUGH:
            call()
            count += 1
        best = min(best, spent / count)
    return best


def summary(found: Sequence[tuple[str, Compilation]]) -> Compilation:
    """Return what came of all estimators of a class, by their kinds, as one.

    It is compiled if one of them is; `reason` says why others are not. Its speed-up is the least of
    theirs, and what they were compared with is added up.
    """
    compiled = [one for _, one in found if one.state == "compiled"]
    reasons = [f"{kind}: {one.reason}" for kind, one in found if one.state != "compiled"]
    reason = "; ".join(dict.fromkeys(reasons)) if len(found) > 1 else found[0][1].reason
    if not compiled:
        return replace(found[0][1], reason=reason, rows=sum(one.rows for _, one in found))
    differences = [one.max_difference for one in compiled if one.max_difference is not None]
    return Compilation(
        "compiled",
        reason,
        backend=", ".join(dict.fromkeys(one.backend for one in compiled)),
        speedup=min(one.speedup or 1.0 for one in compiled),
        speedup_batch=min(one.speedup_batch or 1.0 for one in compiled),
        rows=sum(one.rows for one in compiled),
        max_difference=max(differences, default=None),
        size=sum(one.size for one in compiled),
        estimator_size=sum(one.estimator_size for one in compiled),
    )

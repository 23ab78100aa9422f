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
from modelsync.models.artefacts.format import Features
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice, estimator_form
from modelsync.models.compiled.call_proof import CallProof, NotEqual
from modelsync.models.compiled.call_tables import CallTables
from modelsync.models.compiled.estimator_forms import ByForm
from modelsync.models.compiled.recording import RecordedEstimator
from modelsync.models.equality import proof_rows
from modelsync.models.equality.proof import Proof
from modelsync.models.forms import compiled_model

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
    given = [x for _, x in recorded.calls]
    rows = [row for x in given for row in CallTables.of(artefact.target).rows(x)]
    variables = [_variables(artefact.features, row) for row in rows]
    found = choice.choose(artefact, variables, folder, tolerance=tolerance)
    if found.state != "compiled":
        return found
    made = proof_rows.make(artefact.target, examples=rows)
    calls = CallProof(artefact.target, compiled_model.load(folder), made, tolerance)
    try:
        proven = calls.run(given)
    except NotEqual as error:
        return _refused(found, folder, "called by the class it differs", str(error))
    found = _measured(found, proven, calls)
    if (found.speedup or 0) <= 1:
        return _refused(found, folder, "the estimator itself is faster when the class calls it")
    estimator_form.save(calls.form(outline), found, folder)
    return found


def _refused(found: Compilation, folder: Path, reason: str, difference: str = "") -> Compilation:
    rmtree(folder)
    return replace(found, state="refused", reason=reason, difference=difference, size=0)


def _variables(features: Features, row: Sequence[Any]) -> dict[str, Any]:
    """Return the `variables` of a row."""
    if features.given == "place":
        return {"x": list(row)}
    return dict(zip(features.names, row, strict=True))


# --- how much faster ------------------------------------------------------------------------------


def _measured(found: Compilation, proven: Proof, calls: CallProof) -> Compilation:
    """Return what is known, with how many times faster the calls of the class are."""
    numbers = (found.max_difference, proven.max_difference)
    largest = max((float(one) for one in numbers if one is not None), default=None)
    alone, batch = _speedup(calls, 1), _speedup(calls, 16)
    return replace(found, speedup=alone, speedup_batch=batch, max_difference=largest)


def _speedup(calls: CallProof, count: int) -> float:
    """Return how many times less processor time a call of the form takes, with so many rows."""
    estimator = calls.target.estimator
    x = calls.tables.make(calls.rows[:count], calls.usual)
    name = next(reversed(calls.accepted.methods))
    original = getattr(estimator, name)
    form = ByForm(calls.form(), estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = _seconds(lambda: original(x))
    return round(before / _seconds(lambda: form.answer(name, x, original)), 2)


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

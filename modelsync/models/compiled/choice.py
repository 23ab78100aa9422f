"""Chooses the form by which an artefact is served: the fastest that answers the same."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelsync.errors import VariablesInvalid
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.target import Target
from modelsync.models.binding.batching import CallBatch
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import compiled_call, compiled_model, proof_rows
from modelsync.models.compiled.compiled_model import CompiledModel
from modelsync.models.compiled.compiler import Compiler, NotCompilable, OtherKind
from modelsync.models.compiled.forest_compiler import ForestCompiler
from modelsync.models.compiled.linear_compiler import LinearCompiler
from modelsync.models.compiled.onnx_compiler import OnnxCompiler
from modelsync.models.compiled.proof import Proof, Reference

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

BATCH = 16
"""Rows of the larger of the two calls that are measured: as many as arrive together under load."""

ROUNDS, ROUND_SECONDS, MOST_CALLS = 5, 0.02, 200
"""How often a call is measured, how long each time, and how many calls at most."""


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
    if (target := artefact.target) is None:
        return Compilation(
            "refused", f"a {artefact.kind} takes no columns of numbers or categories"
        )
    given = list(_rows(artefact, examples))
    rows = proof_rows.make(target, examples=given, call=artefact.batch.call)
    typical = _typical(artefact, given or rows)
    if not typical:
        return Compilation("refused", "it answers none of the rows that were made of it")
    expected = _Seconds.of(artefact.batch.call, typical)
    labels = getattr(target.steps[-1], "classes_", None) is not None
    reference = Reference(artefact.batch.call, rows, labels=labels, names=target.names)
    tried: list[_Tried] = []
    for one in compilers:
        tried.append(_try(one, artefact, target, reference, typical, tolerance))
        if one.is_best and tried[-1].seconds:
            break
    equal = [one for one in tried if one.model and one.seconds]
    best = min(equal, key=lambda one: one.seconds.alone + one.seconds.batch, default=None)  # type: ignore[union-attr]
    return _result(best, tried, expected, folder)


# --- rows -----------------------------------------------------------------------------------------


def _rows(artefact: LoadedArtefact, examples: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for variables in examples:
        with suppress(VariablesInvalid):
            yield artefact.batch.row(dict(variables))


def _typical(artefact: LoadedArtefact, rows: Sequence[Any]) -> list[Any]:
    """Return rows that the estimator answers, with which calls are measured."""
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in rows[: 4 * BATCH]:
            with suppress(Exception):
                artefact.batch.call([row])
                found.append(row)
            if len(found) == BATCH:
                break
    return (found * BATCH)[:BATCH]


# --- compiling, proving, measuring ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seconds:
    """The processor time of a call with one row, and of one with `BATCH` rows."""

    alone: float
    batch: float

    @classmethod
    def of(cls, call: CallBatch, rows: list[Any]) -> _Seconds:
        return cls(_fastest(lambda: call(rows[:1])), _fastest(lambda: call(rows)))


def _fastest(call: Callable[[], Any]) -> float:
    """Return the least processor time of a call, of several rounds of calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()
        start = time.process_time()
        call()
        once = max(time.process_time() - start, 1e-6)
        count = min(MOST_CALLS, max(1, int(ROUND_SECONDS / once)))
        found = []
        for _ in range(ROUNDS):
            start = time.process_time()
            for _ in range(count):
                call()
            found.append((time.process_time() - start) / count)
    return min(found)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of one compiler: a form that is equal, with its time, or why there is none.

    `says_nothing`: it is for other estimators.
    """

    name: str
    model: CompiledModel | None = None
    proof: Proof | None = None
    seconds: _Seconds | None = None
    reason: str = ""
    says_nothing: bool = False


def _try(
    compiler: Compiler,
    artefact: LoadedArtefact,
    target: Target,
    reference: Reference,
    typical: list[Any],
    tolerance: float,
) -> _Tried:
    """Compile, prove and measure. Nothing that is raised leaves it."""
    try:
        model = compiler.compile(target)
    except NotCompilable as error:
        return _Tried(compiler.name, reason=str(error), says_nothing=isinstance(error, OtherKind))
    except ImportError as error:
        return _Tried(compiler.name, reason=f"needs {error.name}, which is not installed")
    except Exception as error:  # noqa: BLE001  of a library
        return _Tried(compiler.name, reason=f"{type(error).__name__} while it compiled: {error}")
    write = target.output.write

    def compiled(some: list[Any]) -> list[Any]:
        return write(*model.answer(some))

    found = reference.prove(compiled, tolerance)
    if not found.holds:
        raised = f"it cannot answer {found.raised} of {found.rows} rows"
        return _Tried(compiler.name, proof=found, reason=found.difference or raised)
    seconds = _Seconds.of(compiled_call.of(artefact, model), typical)
    return _Tried(compiler.name, model, found, seconds)


def _result(
    best: _Tried | None, tried: Sequence[_Tried], expected: _Seconds, folder: Path
) -> Compilation:
    """Write the best form, and describe it; without one, describe why."""
    differences = [
        f"{one.name}: {one.proof.difference}" for one in tried if one.proof and one.proof.difference
    ]
    difference = "; ".join(differences)
    if best is None or best.model is None or best.proof is None or best.seconds is None:
        compared = [one for one in tried if one.proof]
        about = compared or [one for one in tried if not one.says_nothing] or tried
        reasons = dict.fromkeys(one.reason for one in about)
        rows = max((one.proof.rows for one in compared if one.proof), default=0)
        largest = [one.proof.max_difference for one in compared if one.proof]
        return Compilation(
            "refused",
            "; ".join(reasons) or "there is no compiler",
            rows=rows,
            max_difference=max((one for one in largest if one is not None), default=None),
            difference=difference,
        )
    alone, batch = expected.alone / best.seconds.alone, expected.batch / best.seconds.batch
    facts: dict[str, Any] = {
        "backend": best.model.backend,
        "speedup": round(alone, 2),
        "speedup_batch": round(batch, 2),
        "rows": best.proof.rows,
        "max_difference": best.proof.max_difference,
        "difference": difference,
    }
    if min(alone, batch) <= 1:
        return Compilation("refused", "the estimator itself is faster", **facts)
    folder.mkdir(parents=True, exist_ok=True)
    compiled_model.save(best.model, folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return Compilation("compiled", **facts, size=size)

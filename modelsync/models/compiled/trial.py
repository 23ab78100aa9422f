"""Tries compilers on one artefact: each form is compared with the estimator, and both are timed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from modelsync.errors import VariablesInvalid
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.target import Target
from modelsync.models.binding.batching import CallBatch
from modelsync.models.compiled import compiled_call
from modelsync.models.equality import proof_rows
from modelsync.models.equality.proof import Proof, Reference
from modelsync.models.forms.compiled_model import CompiledModel
from modelsync.models.forms.compiler import Compiler, NotCompilable, OtherKind

BATCH = 16
"""Rows of the larger of the two calls that are timed: as many as arrive together under load."""

MORE_ROWS = 4
"""How often further rows are made of an estimator that refuses many."""

ROUNDS, ROUND_SECONDS, MOST_CALLS = 5, 0.02, 200
"""How often a call is timed, how long each time, and how many calls at most."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """The processor time of a call with one row, and of one with `BATCH` rows."""

    alone: float
    batch: float

    @classmethod
    def of(cls, call: CallBatch, rows: list[Any]) -> Seconds:
        """Time a call."""
        return cls(fastest(lambda: call(rows[:1])), fastest(lambda: call(rows)))


def fastest(call: Callable[[], Any]) -> float:
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
class Tried:
    """What came of one compiler: a form that is equal, with its time, or why there is none.

    `says_nothing`: it is for other estimators.
    """

    name: str
    model: CompiledModel | None = None
    proof: Proof | None = None
    seconds: Seconds | None = None
    reason: str = ""
    says_nothing: bool = False


class Trial:
    """Tries compilers on an artefact. What all need is made when the first has compiled."""

    def __init__(
        self,
        artefact: LoadedArtefact,
        target: Target,
        examples: Sequence[Mapping[str, Any]],
        tolerance: float,
    ) -> None:
        self._artefact, self._target = artefact, target
        self._examples, self._tolerance = examples, tolerance

    def attempt(self, compiler: Compiler) -> Tried:
        """Compile, prove and time. Nothing that is raised leaves it."""
        try:
            return self._attempt(compiler)
        except NotCompilable as error:
            says_nothing = isinstance(error, OtherKind)
            return Tried(compiler.name, reason=str(error), says_nothing=says_nothing)
        except ImportError as error:
            return Tried(compiler.name, reason=f"needs {error.name}, which is not installed")
        except Exception as error:  # noqa: BLE001  of a library
            reason = f"{type(error).__name__} while it compiled: {error}"
            return Tried(compiler.name, reason=reason)

    def _attempt(self, compiler: Compiler) -> Tried:
        model = compiler.compile(self._target)
        if self._reference.answered < proof_rows.COUNT:
            told = f"only {self._reference.answered} of the rows that were made of it"
            raise NotCompilable(f"the estimator answers {told}")
        write = self._target.output.write
        found = self._reference.prove(lambda rows: write(*model.answer(rows)), self._tolerance)
        if not found.holds:
            raised = f"it cannot answer {found.raised} of {found.rows} rows"
            return Tried(compiler.name, proof=found, reason=found.difference or raised)
        call = compiled_call.of(self._artefact, model)
        return Tried(compiler.name, model, found, Seconds.of(call, self._timed(model)))

    def _timed(self, model: CompiledModel) -> list[Any]:
        """Return the typical rows that a form answers: one that it leaves to the estimator, such as
        one at the boundary between labels, would hide how fast all the others are.
        """
        found: list[Any] = []
        for row in self._typical:
            with suppress(Exception):
                model.answer([row])
                found.append(row)
        return (found * BATCH)[:BATCH] or self._typical

    @cached_property
    def expected(self) -> Seconds:
        """The time that the estimator takes."""
        return Seconds.of(self._artefact.batch.call, self._typical)

    @cached_property
    def _given(self) -> list[Any]:
        return list(_bound(self._artefact, self._examples))

    @cached_property
    def _rows(self) -> list[Any]:
        call = self._artefact.batch.call
        return proof_rows.make(self._target, examples=self._given, call=call)

    @cached_property
    def _reference(self) -> Reference:
        labels = getattr(self._target.steps[-1], "classes_", None) is not None
        call, names = self._artefact.batch.call, self._target.names
        found = Reference(call, self._rows, labels=labels, names=names)
        for seed in range(1, MORE_ROWS + 1):
            if found.answered < proof_rows.COUNT:
                found.add(proof_rows.make(self._target, seed=seed, call=call))
        return found

    @cached_property
    def _typical(self) -> list[Any]:
        """Rows that the estimator answers. Raises NotCompilable without any."""
        found: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for row in (self._given or self._rows)[: 4 * BATCH]:
                with suppress(Exception):
                    self._artefact.batch.call([row])
                    found.append(row)
                if len(found) == BATCH:
                    break
        if not found:
            raise NotCompilable("the estimator answers none of the rows that were made of it")
        return (found * BATCH)[:BATCH]


def _bound(artefact: LoadedArtefact, examples: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield the rows of examples, without those that the artefact refuses."""
    for variables in examples:
        with suppress(VariablesInvalid):
            yield artefact.batch.row(dict(variables))

"""The call of an artefact by its compiled form; what that cannot answer, the estimator does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.outputs import Output
from modelsync.models.binding.batching import CallBatch
from modelsync.models.forms import compiled_model
from modelsync.models.forms.compiled_model import CompiledModel, NotProven


class CompiledCall:
    """Answers rows as `Batch.call` does. `fallbacks`: how many rows the estimator has answered;
    `on_fallback` is called with the number of each time.

    `on_failure` is called with the first error that is no NotProven: such a form is defective.
    """

    def __init__(
        self,
        model: CompiledModel,
        output: Output,
        original: CallBatch,
        on_failure: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.model = model
        self.fallbacks = 0
        self.on_fallback: Callable[[int], None] = lambda rows: None
        self._on_failure: Callable[[Exception], None] | None = on_failure
        self._compute = model.answer
        self._write = output.write
        self._original = original

    def __call__(self, rows: list[Any]) -> list[Any]:
        """Return an answer for each row. Raises what the estimator's call raises."""
        try:
            return self._write(*self._compute(rows))
        except (NotProven, OverflowError):  # an integer that no double holds
            return self._apart(rows)
        except Exception as error:  # noqa: BLE001  whatever it is, the estimator's answer counts
            if self._on_failure:
                self._on_failure(error)
                self._on_failure = None
            return self._apart(rows)

    def _apart(self, rows: list[Any]) -> list[Any]:
        """Answer by the estimator those rows that the form cannot answer, and the others by it."""
        if len(rows) == 1:
            self._fell_back(1)
            return self._original(rows)
        answers: list[Any] = []
        left = []
        for place, row in enumerate(rows):
            try:
                answers += self._write(*self._compute([row]))
            except Exception:  # noqa: BLE001
                answers.append(None)
                left.append(place)
        if left:
            self._fell_back(len(left))
            found = self._original([rows[place] for place in left])
            for place, answer in zip(left, found, strict=True):
                answers[place] = answer
        return answers

    def _fell_back(self, rows: int) -> None:
        self.fallbacks += rows
        self.on_fallback(rows)


def of(
    artefact: LoadedArtefact,
    model: CompiledModel,
    on_failure: Callable[[Exception], None] = lambda error: None,
) -> CompiledCall:
    """Return the call of an artefact, which must have a target, by a form of it."""
    assert artefact.target, "only estimators have compiled forms"
    return CompiledCall(model, artefact.target.output, artefact.batch.call, on_failure)


def served(
    artefact: LoadedArtefact,
    folder: Path,
    on_failure: Callable[[Exception], None] = lambda error: None,
) -> LoadedArtefact:
    """Return an artefact that is called by the form in a folder; as it is if there is none.

    Its call of a batch is then a CompiledCall. Raises as `compiled_model.load` does.
    """
    if artefact.target is None or not compiled_model.is_saved(folder):
        return artefact
    call = of(artefact, compiled_model.load(folder), on_failure)
    return replace(artefact, batch=replace(artefact.batch, call=call))

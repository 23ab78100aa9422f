"""Proves the calls of an estimator: which tables its form answers as it does.

The form itself was proven by `choice`, row by row. Here both are called as a class does it: with
DataFrames of each type that their columns may have, in another order, with arrays and with lists.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from modelsync.models.artefacts.target import Target
from modelsync.models.compiled import call_shapes
from modelsync.models.compiled.accepted_calls import MOST_ROWS
from modelsync.models.compiled.call_shapes import Shape
from modelsync.models.compiled.call_tables import CallTables
from modelsync.models.compiled.estimator_form import METHODS, EstimatorForm
from modelsync.models.equality import proof
from modelsync.models.equality.proof import Proof
from modelsync.models.forms.compiled_model import CompiledModel, NotProven

FEW = 200
"""Rows with which each further type of a column is proven; the usual ones with all."""

ALONE = 20
"""Rows that are also called one by one."""

SECONDS = 10.0
"""Time for the shapes that no example has: those that are not reached are not accepted."""

Method = Callable[[str, Any], Any]
"""Calls the method of a name."""


class NotEqual(Exception):
    """The form answers a call otherwise than the estimator. The message says on which row."""


class CallProof:
    """The proof of one estimator's calls.

    `accepted`: what was proven so far. `rows`: those that the form answers, with a value for each
    of its columns.
    """

    def __init__(
        self, target: Target, model: CompiledModel, rows: Sequence[Any], tolerance: float
    ) -> None:
        self.target = target
        self.model = model
        self.tolerance = tolerance
        self.rows = [row for row in rows if _answers(model, row)]
        self.tables = CallTables.of(target)
        self.usual = call_shapes.usual(self.tables)
        self.accepted = call_shapes.accepted(self.tables, self.usual)
        self._classes = getattr(target.estimator, "classes_", None)

    def run(self, calls: Sequence[Any]) -> Proof:
        """Prove the usual call with all rows, then those of the examples, then further ones.

        `calls`: what the examples have given to the estimator. Raises NotEqual for a call that a
        class makes, and whatever the estimator raises for its usual call.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.accepted = replace(self.accepted, methods=self._methods())
            if not self.accepted.methods:
                raise NotEqual("its methods return something else than arrays")
            found = self._prove(self.usual, self.rows)
            if found.difference:
                raise NotEqual(found.difference)
            for shape in call_shapes.made_by(calls, self.tables):
                self._try(shape, self.rows)
            self._try_further()
            self._compare(calls)
        return found

    def form(self, outline: str = "") -> EstimatorForm:
        """Return the form, as far as it is proven."""
        return EstimatorForm(self.model, self.accepted, outline)

    def _methods(self) -> dict[str, str]:
        """Return the methods that a form can answer, with the type of what they return."""
        estimator = self.target.estimator
        names = [name for name in METHODS if hasattr(estimator, name)]
        if "predict" in names and "transform" in names:
            names.remove("transform")
        if self.target.output.classes is None and "predict_proba" in names:
            names.remove("predict_proba")
        x = self.tables.make(self.rows[:3], self.usual)
        found = {name: _type_of(getattr(estimator, name)(x)) for name in names}
        return {name: kind for name, kind in found.items() if kind}

    def _try_further(self) -> None:
        """Accept what another request may have."""
        deadline = time.monotonic() + SECONDS
        few = self.rows[:: max(1, len(self.rows) // FEW)]
        for shape in call_shapes.further(self.usual, self.tables):
            if time.monotonic() > deadline:
                return
            self._try(shape, few)

    def _try(self, shape: Shape, rows: Sequence[Any]) -> None:
        """Accept a shape if the form answers it as the estimator does."""
        before = self.accepted
        self.accepted = call_shapes.with_shape(before, shape)
        if self.accepted == before:
            return
        try:
            is_equal = not self._prove(shape, rows).difference
        except Exception:  # noqa: BLE001  of the estimator, or pandas has no such type
            is_equal = False
        if not is_equal:
            self.accepted = before

    def _prove(self, shape: Shape, rows: Sequence[Any]) -> Proof:
        """Compare the methods of both on rows that are made to fit a shape, together and alone."""
        fitted = self.tables.fitting(rows, shape)
        expected = self._answers(self._original, self.tables.make(fitted, shape))
        form = self.form()
        got: list[Any] = []
        for start in range(0, len(fitted), MOST_ROWS):
            table = self.tables.make(fitted[start : start + MOST_ROWS], shape)
            got += self._answers(self._by(form), table)
        step = max(1, len(fitted) // ALONE)
        for row, one in zip(fitted[::step], expected[::step], strict=True):
            fitted.append(row)
            expected.append(one)
            got += self._answers(self._by(form), self.tables.make([row], shape))
        labels, names = self._classes is not None, self.target.names
        return proof.compare(fitted, expected, got, self.tolerance, labels=labels, names=names)

    def _compare(self, calls: Sequence[Any]) -> None:
        """Compare the answers to the very calls that the examples have made. Raises NotEqual."""
        form = self.form()
        for x in calls:
            try:
                got = self._answers(self._by(form), x)
                expected = self._answers(self._original, x)
            except NotProven:
                continue
            labels = self._classes is not None
            found = proof.compare(
                range(len(got)), expected, got, self.tolerance, labels=labels, names=()
            )
            if found.difference:
                raise NotEqual(f"called as by an example: {found.difference}")

    def _original(self, name: str, x: Any) -> Any:
        return getattr(self.target.estimator, name)(x)

    def _by(self, form: EstimatorForm) -> Method:
        return lambda name, x: form.answer(name, x, self._classes)

    def _answers(self, method: Method, x: Any) -> list[dict[str, Any]]:
        """Return what all methods answer, row by row. Raises TypeError for another type."""
        answers: dict[str, list[Any]] = {}
        for name, kind in self.accepted.methods.items():
            found = method(name, x)
            if _type_of(found) != kind:
                raise TypeError(f"{name} returns {_type_of(found) or type(found).__name__}")
            answers["probabilities" if name == "predict_proba" else "prediction"] = _listed(found)
        return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]


def _answers(model: CompiledModel, row: Any) -> bool:
    """Return whether a form answers a row; if not, the estimator does."""
    try:
        model.answer([row])
    except Exception:  # noqa: BLE001  of any back-end
        return False
    return True


def _type_of(found: Any) -> str:
    """Return the type of what a method has returned; empty if no form returns that."""
    import numpy as np

    if isinstance(found, list) and found:
        inner = {_type_of(one) for one in found}
        return f"[{inner.pop()}]" if len(inner) == 1 and "" not in inner else ""
    if type(found) is not np.ndarray or not found.ndim:
        return ""
    kind: str = found.dtype.str
    return kind


def _listed(found: Any) -> list[Any]:
    if isinstance(found, list):
        return [list(row) for row in zip(*(one.tolist() for one in found), strict=True)]
    listed: list[Any] = found.tolist()
    return listed

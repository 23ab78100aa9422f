"""Proves the calls of an estimator: which tables its form answers as it does, and how they differ.

The form itself was proven by `choice`, with rows. Here both are called as the class does: with
DataFrames of each type that its columns may have, in another order, and with arrays and lists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelsync.models.artefacts.target import Target
from modelsync.models.compiled import proof
from modelsync.models.compiled.accepted_calls import AcceptedCalls, AcceptedColumn
from modelsync.models.compiled.call_tables import (
    CallTables,
    Shape,
    dtype_of,
    is_text,
    places,
    shape_of,
)
from modelsync.models.compiled.compiled_model import CompiledModel
from modelsync.models.compiled.estimator_form import METHODS, EstimatorForm
from modelsync.models.compiled.proof import Proof

FEW = 200
"""Rows with which each further type of a column is proven; the usual one is with all."""

NUMBER_TYPES = ("int64", "bool", "object")
TEXT_TYPES = ("object", "str", "category")
"""Types that are tried beside the usual one: people make DataFrames in many ways."""

SECONDS = 20.0
"""Time for the types that no example has: those that are not reached are not accepted."""


class NotEqual(Exception):
    """The form answers a call otherwise than the estimator. The message says on which row."""


@dataclass
class CallProof:
    """The proof of one estimator's calls, by `rows` that have a value for each of its columns."""

    target: Target
    model: CompiledModel
    rows: Sequence[Any]
    tolerance: float
    accepted: AcceptedCalls = field(init=False)
    tables: CallTables = field(init=False)
    base: Shape = field(init=False)

    def __post_init__(self) -> None:
        estimator = self.target.estimator
        labels = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
        width = int(getattr(estimator, "n_features_in_", len(labels)))
        at = places(self.target, labels, width)
        self.tables = CallTables(self.target, at, width)
        self.base = self._base(labels, width)
        columns = tuple(
            AcceptedColumn(
                place,
                (self.base.dtypes[place],),
                is_text(kind),
                "" if not kind.nullable else "none" if kind.null is None else "nan",
            )
            for place, kind in zip(at, self.target.kinds, strict=True)
        )
        self.accepted = AcceptedCalls(labels, width, columns, by_place=not labels)

    def _base(self, labels: tuple[str, ...], width: int) -> Shape:
        """Return the shape of the usual call."""
        text = _text_type()
        known = dict(zip(places(self.target, labels, width), self.target.kinds, strict=True))
        each = [dtype_of(known[at], text) if at in known else "float64" for at in range(width)]
        if labels:
            return Shape("frame", labels, tuple(each))
        array = "float64" if set(each) <= {"float64"} else "object"
        return Shape("array", (), (array,) * width)

    def run(self, calls: Sequence[tuple[str, Any]]) -> Proof:
        """Prove the usual call with all rows, those that examples have made, and further ones.

        Afterwards `accepted` says which. Raises NotEqual for a call that a class makes.
        """
        self.accepted = replace(self.accepted, methods=self._methods())
        if not self.accepted.methods:
            raise NotEqual("its methods return something else than arrays")
        if self.base.kind == "array":
            self._accept(self.base)
        found = self._prove(self.base, self.rows)
        if not found.holds:
            raise NotEqual(found.difference or "the form does not answer most rows")
        deadline = time.monotonic() + SECONDS
        for shape in self._made_by(calls):
            self._try(shape, self.rows)
        for shape in self._further():
            if time.monotonic() < deadline:
                self._try(shape, self.rows[:: max(1, len(self.rows) // FEW)])
        self._compare([x for _, x in calls])
        return found

    # --- what is tried ----------------------------------------------------------------------------

    def _methods(self) -> dict[str, str]:
        """Return the methods that a form can answer, with the type of what they return."""
        estimator = self.target.estimator
        x = self.tables.make(self.rows[:3], self.base)
        names = [name for name in METHODS if hasattr(estimator, name)]
        if "predict" in names:
            names = [name for name in names if name != "transform"]
        if self.target.output.classes is None:
            names = [name for name in names if name != "predict_proba"]
        found = {name: _type_of(getattr(estimator, name)(x)) for name in names}
        return {name: kind for name, kind in found.items() if kind}

    def _made_by(self, calls: Sequence[tuple[str, Any]]) -> Iterator[Shape]:
        """Yield the shapes of the calls that the examples have made, each once."""
        shapes = [shape for _, x in calls if (shape := shape_of(x))]
        for shape in dict.fromkeys(shapes):
            if len(shape.dtypes) == self.tables.width:
                yield shape

    def _further(self) -> Iterator[Shape]:
        """Yield shapes that another request may have: of other types, in another order."""
        base, at = self.base, self.tables.places
        kinds = dict(zip(at, self.target.kinds, strict=True))
        numbers = [place for place, kind in kinds.items() if kind.dtype == "float64"]
        texts = [place for place, kind in kinds.items() if is_text(kind)]
        if base.kind == "frame":
            for some, types in ((numbers, NUMBER_TYPES), (texts, TEXT_TYPES)):
                for dtype in types if some else ():
                    yield _with_type(base, some, dtype)
                    yield _with_type(base, some[::2], dtype)
            order = tuple(reversed(range(self.tables.width)))
            yield replace(base, order=order)
            yield replace(base, order=order, further=True)
        if len(numbers) == self.tables.width:
            for kind in ("array", "list"):
                for dtype in ("float64", "int64"):
                    yield Shape(kind, (), (dtype,) * self.tables.width)

    # --- one shape --------------------------------------------------------------------------------

    def _try(self, shape: Shape, rows: Sequence[Any]) -> None:
        """Accept a shape if the form answers it as the estimator does."""
        before = self.accepted
        self._accept(shape)
        try:
            holds = self._prove(shape, rows).holds
        except Exception:  # noqa: BLE001  pandas has no such type, or not of these values
            holds = False
        if not holds:
            self.accepted = before

    def _accept(self, shape: Shape) -> None:
        calls = self.accepted
        if shape.kind == "array":
            arrays = tuple(dict.fromkeys([*calls.arrays, shape.dtypes[0]]))
            self.accepted = replace(calls, arrays=arrays)
        elif shape.kind == "list":
            arrays = tuple(dict.fromkeys([*calls.arrays, shape.dtypes[0]]))
            self.accepted = replace(calls, arrays=arrays, lists=True)
        else:
            columns = tuple(
                replace(one, dtypes=tuple(dict.fromkeys([*one.dtypes, shape.dtypes[one.place]])))
                for one in calls.columns
            )
            reordered = calls.reordered or bool(shape.order)
            further = calls.further or shape.further
            self.accepted = replace(calls, columns=columns, reordered=reordered, further=further)

    def _prove(self, shape: Shape, rows: Sequence[Any]) -> Proof:
        """Compare the methods of both on rows, made to fit the shape."""
        fitted = self.tables.fitting(rows, shape)
        form = EstimatorForm(self.model, self.accepted)
        classes = getattr(self.target.estimator, "classes_", None)
        estimator = self.target.estimator
        original = self._call(lambda name, x: getattr(estimator, name)(x), shape)
        compiled = self._call(lambda name, x: form.answer(name, x, classes), shape)
        labels = classes is not None
        names = self.target.names
        return proof.prove(original, compiled, fitted, self.tolerance, labels=labels, names=names)

    def _call(
        self, method: Callable[[str, Any], Any], shape: Shape
    ) -> Callable[[list[Any]], list[Any]]:
        """Return the call with rows that `prove` compares."""

        def call(rows: list[Any]) -> list[Any]:
            return self._answers(method, self.tables.make(rows, shape))

        return call

    def _answers(self, method: Callable[[str, Any], Any], x: Any) -> list[dict[str, Any]]:
        """Return what all methods answer, row by row. Raises TypeError for another type."""
        answers: dict[str, list[Any]] = {}
        for name, kind in self.accepted.methods.items():
            found = method(name, x)
            if _type_of(found) != kind:
                raise TypeError(f"{name} returns {_type_of(found) or type(found).__name__}")
            key = "probabilities" if name == "predict_proba" else "prediction"
            answers[key] = _listed(found)
        return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]

    def _compare(self, tables: Sequence[Any]) -> None:
        """Compare the answers to the very calls that the examples have made. Raises NotEqual."""
        estimator = self.target.estimator
        form = EstimatorForm(self.model, self.accepted)
        classes = getattr(estimator, "classes_", None)

        def original(rows: list[Any]) -> list[Any]:
            return [
                _together(self._answers(lambda n, x: getattr(estimator, n)(x), x)) for x in rows
            ]

        def compiled(rows: list[Any]) -> list[Any]:
            called = [self._answers(lambda n, x: form.answer(n, x, classes), x) for x in rows]
            return list(map(_together, called))

        labels = classes is not None
        found = proof.prove(original, compiled, list(tables), self.tolerance, labels=labels)
        if found.difference:
            raise NotEqual(f"a call that an example makes: {found.difference}")


def _together(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answers of one call as one."""
    return {name: [one[name] for one in answers] for name in answers[0]} if answers else {}


def _with_type(shape: Shape, some: Sequence[int], dtype: str) -> Shape:
    each = [dtype if place in some else one for place, one in enumerate(shape.dtypes)]
    return replace(shape, dtypes=tuple(each))


def _text_type() -> str:
    """Return the type of a column of texts in this version of pandas."""
    import pandas as pd

    return str(pd.Series(["text"]).dtype)


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

"""Notes the estimators of a class and their calls, while its examples run to be compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from modelsync.models.compilation import Compilation
from modelsync.models.compiled import estimator_forms
from modelsync.models.compiled.estimator_digest import digest
from modelsync.models.compiled.estimator_form import METHODS
from modelsync.models.compiled.estimator_forms import Answering

MAX_ESTIMATORS = 20
"""Estimators of one class that are compiled; those after them answer by themselves."""

MAX_CALLS = 30
"""Calls of one estimator that are kept."""

MAX_ROWS = 1000
"""Rows of a call that is kept."""


@dataclass(slots=True)
class RecordedEstimator:
    """An estimator that a class has given to `modelsync.compiled`.

    `digest`: of all that it holds, empty if it cannot be pickled. `calls`: copies of what its
    methods were given, with the names of these.
    """

    estimator: Any
    digest: str
    calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def methods(self) -> frozenset[str]:
        """The methods whose calls are noted."""
        return frozenset(METHODS)

    @property
    def compilation(self) -> Compilation:
        """What a class that asks is told."""
        return Compilation("late", "it is being compiled")

    def answer(self, name: str, x: Any, original: Callable[[Any], Any]) -> Any:
        """Note a call, and answer it by the estimator."""
        if len(self.calls) < MAX_CALLS and _is_table(x):
            self.calls.append((name, copy.deepcopy(x)))
        return original(x)

    def of_copy(self, estimator: Any) -> Answering:
        """Return itself: a copy is the same."""
        return self


class Recording:
    """The estimators that a class has given to `modelsync.compiled`, in that order."""

    def __init__(self) -> None:
        self.estimators: list[RecordedEstimator] = []

    def of(self, estimator: Any) -> Answering:
        """Return the record of an estimator; of equal ones the same."""
        for known in self.estimators:
            if known.estimator is estimator:
                return known
        name = _digest(estimator)
        for known in self.estimators:
            if name and known.digest == name:
                return known
        if len(self.estimators) >= MAX_ESTIMATORS:
            return estimator_forms.ByEstimator(estimator_forms.NO_FORM)
        self.estimators.append(RecordedEstimator(estimator, name))
        return self.estimators[-1]


@contextmanager
def recording() -> Iterator[Recording]:
    """Note what models of this process give to `modelsync.compiled` in the body."""
    found = Recording()
    estimator_forms.recorder = found
    try:
        yield found
    finally:
        estimator_forms.recorder = None


def _digest(estimator: Any) -> str:
    try:
        return digest(estimator)
    except Exception:  # noqa: BLE001  its own methods run
        return ""


def _is_table(x: Any) -> bool:
    """Return whether a call was given what a form may read, and not too much of it."""
    kind = type(x)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    return name in ("pandas.DataFrame", "numpy.ndarray", "builtins.list") and len(x) <= MAX_ROWS

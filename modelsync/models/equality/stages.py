"""The estimators inside an estimator: how the input of each is made of rows.

`ColumnTransformer`, `FeatureUnion`, pipelines and ensembles are followed to their members, so that
a threshold deep inside of them can be traced back to the columns of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelsync.models.artefacts import gathering
from modelsync.models.artefacts.input_kinds import columns_of
from modelsync.models.artefacts.steps import is_made_of_others, members, steps_of
from modelsync.models.artefacts.target import Target

Transform = Callable[[Any], Any]

_KEEP_COLUMNS = {
    "SimpleImputer",
    "KNNImputer",
    "IterativeImputer",
    "FunctionTransformer",
}
"""Transformers whose outputs are their inputs, in order, where none is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """An estimator and the way to its input.

    `before`: what makes its input of the array or DataFrame that is made of rows. `columns`: which
    value of a row is each of its inputs; None of one that is computed, and None for all if it is
    not known how many there are.
    """

    step: Any
    before: tuple[Transform, ...] = ()
    columns: tuple[int | None, ...] | None = None

    def input_of(self, x: Any) -> Any:
        """Return what the estimator takes. Raises what the steps before it raise."""
        for transform in self.before:
            x = transform(x)
        return x

    def column(self, place: int) -> int | None:
        """Return which value of a row is the input at this place; None if it is computed."""
        known = self.columns
        return known[place] if known is not None and place < len(known) else None


def gatherer(target: Target) -> Callable[[list[Any]], Any]:
    """Return the function that makes the input of the first step of rows."""
    if target.form == "frame":
        return gathering.frame(target.names, target.kinds)
    if all(kind.dtype == "float64" for kind in target.kinds):
        return gathering.numbers
    return gathering.array(target.kinds)[0]


def stages(target: Target) -> list[Stage]:
    """Return all estimators inside one, each after those that make its input."""
    columns = tuple(range(len(target.names)))
    return list(_of_steps(target.steps, Stage(None, (), columns), target.names))


def _of_steps(steps: Sequence[Any], at: Stage, names: Sequence[str]) -> Iterator[Stage]:
    for step in steps:
        yield from _of_one(step, at, names)
        if hasattr(step, "transform"):
            kept = at.columns if _keeps_columns(step, at.columns) else None
            at = replace(at, before=(*at.before, step.transform), columns=kept)


def _keeps_columns(step: Any, columns: Sequence[Any] | None) -> bool:
    """Return whether what a transformer gives on is what it takes, except missing values."""
    if type(step).__name__ not in _KEEP_COLUMNS or getattr(step, "func", None) is not None:
        return False
    statistics = getattr(step, "statistics_", None)
    dropped = any(one != one for one in statistics) if statistics is not None else False
    return columns is not None and not dropped and getattr(step, "indicator_", None) is None


def _of_one(step: Any, at: Stage, names: Sequence[str]) -> Iterator[Stage]:
    """Yield the stages of one step of a pipeline: itself, or those it is made of."""
    if hasattr(step, "transformers_"):
        yield from _of_parts(step, at, names)
        return
    if (
        preprocessor := getattr(step, "_preprocessor", None)
    ) is not None:  # of HistGradientBoosting
        yield from _of_one(preprocessor, at, names)
        at = replace(at, before=(*at.before, preprocessor.transform), columns=None)
    yield replace(at, step=step)
    if not is_made_of_others(step):
        return
    chosen = getattr(step, "estimators_features_", None)
    for place, member in enumerate(members(step)):
        within = at if chosen is None else _selected(at, chosen[place])
        yield from _of_steps(list(steps_of(member)), within, names)


def _of_parts(transformer: Any, at: Stage, names: Sequence[str]) -> Iterator[Stage]:
    """Yield the stages of the parts of a ColumnTransformer."""
    own = [str(name) for name in getattr(transformer, "feature_names_in_", ())]
    known = own or list(map(str, range(transformer.n_features_in_)))
    for _, made, columns in transformer.transformers_:
        if isinstance(made, str):
            continue
        used = columns_of(columns, known)
        places = [known.index(name) for name in used]
        at_first = not at.before and set(used).issubset(names)  # a row has no unused columns
        of_row = tuple(
            names.index(name) if at_first else at.column(known.index(name)) for name in used
        )
        within = _selected(at, places, used, single=isinstance(columns, str | int))
        yield from _of_steps(list(steps_of(made)), replace(within, columns=of_row), names)


def _selected(
    at: Stage, places: Sequence[int], names: Sequence[str] = (), *, single: bool = False
) -> Stage:
    """Return the way to some columns of an input, or to a single one without a second dimension."""
    listed = [int(place) for place in places]

    def select(x: Any) -> Any:
        if names and hasattr(x, "columns") and set(names).issubset(x.columns):
            return x[names[0] if single else list(names)]
        wanted: Any = listed[0] if single else listed
        return x.iloc[:, wanted] if hasattr(x, "iloc") else x[:, wanted]

    columns = tuple(at.column(place) for place in listed)
    return replace(at, before=(*at.before, select), columns=columns)

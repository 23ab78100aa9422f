"""Adapts estimators, as scikit-learn defines them, to calls with all rows at once.

How an estimator is called follows from its attributes when it loads: what it takes (`inputs`), and
whether its label follows from its probabilities. It is not called for that, because it loads before
the workers are forked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isroutine
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts import boosters, boosting, inputs, outputs, refusals
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.gathering import Alike
from modelsync.models.artefacts.inputs import Inputs
from modelsync.models.artefacts.outputs import Answered, Output
from modelsync.models.artefacts.steps import is_known, steps_of
from modelsync.models.artefacts.target import Target
from modelsync.models.binding.batching import Batch
from modelsync.models.convention import FILE
from modelsync.models.types import Fault
from modelsync.models.versions import TableSchema

MAX_SHOWN = 8
"""Members of a dict or list that a message names."""


def adapt(loaded: Any, file: str, table: TableSchema | None = None) -> LoadedArtefact:
    """Decide how an object from `file` is called. Raises ModelBroken if it cannot predict.

    `table`: the data with which it was fitted, None if unknown.
    """
    loaded = boosters.as_estimator(loaded)
    _refuse_others(loaded, file)
    steps = list(steps_of(loaded))
    _refuse_unfitted(steps, file)
    for step in steps:
        _use_one_thread(step)
    read = inputs.read(steps, table)
    gather, alike = read.gather, read.alike
    *transformers, last = read.steps
    transforms = [step.transform for step in transformers]
    output = outputs.of(last)
    answer = output.answer

    def call(rows: list[Any]) -> Answered:
        try:
            x = gather(rows)
            for transform in transforms:
                x = transform(x)
            return answer(x)
        except ValueError as error:
            if refused := refusals.of(error):
                raise refused from error
            raise

    doc = f"The ready model in {file}: {', '.join(type(step).__name__ for step in steps)}."
    return LoadedArtefact(
        loaded,
        Batch(read.row, _apart(call, alike) if alike else call, read.schema),
        doc,
        read.features,
        kind=type(last).__name__,
        steps=tuple(name for name, _ in getattr(loaded, "steps", ())),
        target=_target(loaded, read, output),
    )


def _target(loaded: Any, read: Inputs, output: Output) -> Target | None:
    """Return what a compiled form must take and answer; None if rows are no values of columns."""
    if read.form is None:
        return None
    names = read.features.names
    return Target(loaded, tuple(read.steps), names, read.kinds, read.form, output)


def _apart(call: Callable[[list[Any]], Answered], alike: Alike) -> Callable[[list[Any]], Answered]:
    """Return the call that gives an estimator only rows together which are alike."""

    def by_kind(rows: list[Any]) -> Answered:
        places: dict[Any, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(alike(row), []).append(place)
        if len(places) == 1:
            return call(rows)
        found: list[Any] = [None] * len(rows)
        for group in places.values():
            answers = call([rows[place] for place in group])
            for place, answer in zip(group, answers, strict=True):
                found[place] = answer
        return found

    return by_kind


def _refuse_others(loaded: Any, file: str) -> None:
    """Raise ModelBroken for what is no estimator; it says what the file holds."""
    is_class = isinstance(loaded, type)
    is_data = type(loaded).__module__.partition(".")[0] in ("pandas", "polars", "numpy")
    predicts = hasattr(loaded, "predict") or hasattr(loaded, "transform")
    if predicts and not (is_class or is_data):
        return
    if isinstance(loaded, dict | list | tuple):
        message = f"holds a {type(loaded).__name__} ({_shown(loaded)}), no model"
        hint = f"save them as one Pipeline, or add an {FILE} that uses them"
    else:
        name = getattr(loaded, "__name__", "?")
        shown = f"the class {name}" if is_class else f"a {type(loaded).__name__}"
        shown = f"the function {name}" if isroutine(loaded) else shown
        message = f"holds {shown}, which has neither predict nor transform"
        hint = f"add an {FILE} that uses it"
    raise ModelBroken(Fault("load", message, file, hint=hint))


def _shown(members: Any) -> str:
    """Return the types of what a dict, list or tuple holds, of many only the first ones."""
    if isinstance(members, dict):
        found = [f"{str(key)[:40]}: {type(one).__name__}" for key, one in members.items()]
    else:
        found = [type(one).__name__ for one in members]
    return ", ".join([*found[:MAX_SHOWN], *(["…"] if len(found) > MAX_SHOWN else [])])


def _refuse_unfitted(steps: Sequence[Any], file: str) -> None:
    for step in steps:
        if is_known(step):
            from sklearn.exceptions import NotFittedError
            from sklearn.utils.validation import check_is_fitted

            try:
                check_is_fitted(step)
            except NotFittedError:
                message = f"holds a {type(step).__name__} that is not fitted"
                raise ModelBroken(
                    Fault("load", message, file, hint="fit it, then save it")
                ) from None


def _use_one_thread(step: Any) -> None:
    """Have an estimator compute in the calling thread.

    Starting other threads takes longer than a few rows do, and the workers share out the cores.
    """
    if boosting.is_one(step):
        boosting.use_one_thread(step)
    elif is_known(step) and getattr(step, "n_jobs", None) not in (None, 1):
        step.n_jobs = 1

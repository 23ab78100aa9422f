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
from modelsync.models import results, single_precision
from modelsync.models.artefacts import boosters, boosting, inputs, refusals
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.artefacts.gathering import Alike
from modelsync.models.artefacts.steps import is_known, steps_of
from modelsync.models.binding.batching import Batch
from modelsync.models.convention import FILE
from modelsync.models.types import Fault
from modelsync.models.versions import TableSchema

Outputs = list[dict[str, Any]]

MAX_SHOWN = 8
"""Members of a dict or list that a message names."""

PREDICTS_MOST_PROBABLE = {
    "LogisticRegression",
    "LogisticRegressionCV",
    "LinearDiscriminantAnalysis",
    "QuadraticDiscriminantAnalysis",
    "GaussianNB",
    "BernoulliNB",
    "MultinomialNB",
    "ComplementNB",
    "CategoricalNB",
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "RandomForestClassifier",
    "ExtraTreesClassifier",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
}
"""scikit-learn's classifiers whose `predict` is the class of the greatest probability: for them
`predict_proba` is called alone.
"""


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
    row, schema, gather, steps, features, alike = inputs.read(steps, table)
    *transformers, last = steps
    transforms = [step.transform for step in transformers]
    answer = _answer(last)

    def call(rows: list[Any]) -> Outputs:
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
        Batch(row, _apart(call, alike) if alike else call, schema),
        doc,
        features,
        kind=type(last).__name__,
        steps=tuple(name for name, _ in getattr(loaded, "steps", ())),
    )


def _apart(call: Callable[[list[Any]], Outputs], alike: Alike) -> Callable[[list[Any]], Outputs]:
    """Return the call that gives an estimator only rows together which are alike."""

    def by_kind(rows: list[Any]) -> Outputs:
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


# --- outputs -------------------------------------------------------------------------------------


def _answer(last: Any) -> Callable[[Any], Outputs]:
    predict = getattr(last, "predict", None)
    if predict is None:
        return lambda x: [{"prediction": value} for value in _listed(last.transform(x))]
    classes = getattr(last, "classes_", None)
    predict_proba = getattr(last, "predict_proba", None)
    if classes is None or predict_proba is None:
        return lambda x: [{"prediction": value} for value in _listed(predict(x))]
    if (
        is_known(last)
        and type(last).__name__ in PREDICTS_MOST_PROBABLE
        and not isinstance(classes, list)
    ):
        return _most_probable(predict_proba, _listed(classes))
    return _both(predict, predict_proba, classes)


def _most_probable(
    predict_proba: Callable[[Any], Any], labels: list[Any]
) -> Callable[[Any], Outputs]:
    keys = _keys(labels)

    def answer(x: Any) -> Outputs:
        found = predict_proba(x)
        return [
            {"prediction": labels[best], "probabilities": dict(zip(keys, row, strict=True))}
            for best, row in zip(found.argmax(axis=1).tolist(), _listed(found), strict=True)
        ]

    return answer


def _both(
    predict: Callable[[Any], Any], predict_proba: Callable[[Any], Any], classes: Any
) -> Callable[[Any], Outputs]:
    """Call `predict` and `predict_proba`.

    An estimator of several outputs has a list of `classes`, and each prediction is a list.
    """
    keys = (
        [_keys(_listed(one)) for one in classes]
        if isinstance(classes, list)
        else _keys(_listed(classes))
    )

    def answer(x: Any) -> Outputs:
        """Return the label of each row, with the probability of each class of each output."""
        labels = _listed(predict(x))
        if labels and not isinstance(classes, list) and isinstance(labels[0], list):
            labels = [label for (label,) in labels]  # of CatBoost
        found = predict_proba(x)
        if isinstance(classes, list) and isinstance(found, list):
            by_output = [
                [_by_key(names, row) for row in _listed(part)]
                for names, part in zip(keys, found, strict=True)
            ]
            probabilities: list[Any] = [list(parts) for parts in zip(*by_output, strict=True)]
        else:
            probabilities = [_by_key(keys, row) for row in _listed(found)]
        return [
            {"prediction": label, "probabilities": row}
            for label, row in zip(labels, probabilities, strict=True)
        ]

    return answer


def _by_key(keys: Sequence[Any], row: Any) -> Any:
    return (
        dict(zip(keys, row, strict=True))
        if isinstance(row, list) and len(row) == len(keys)
        else row
    )


def _keys(labels: list[Any]) -> list[str]:
    """Return the labels as keys of a JSON object."""
    return [results.as_key(label) for label in labels]


def _listed(values: Any) -> list[Any]:
    """Return an array, sparse matrix, Series or DataFrame as a list with one element per row."""
    import numpy as np

    dense = values.toarray() if hasattr(values, "toarray") else values
    if isinstance(dense, list):
        return dense
    array = np.asarray(dense)
    small = single_precision.is_single(array)
    listed: list[Any] = single_precision.listed(array) if small else array.tolist()
    return listed

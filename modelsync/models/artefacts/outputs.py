"""What an estimator answers: computed from the array or DataFrame that its last step takes, then
written as the `prediction` and the `probabilities` of each row.

The two are apart, because a compiled form of the estimator computes in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelsync.models import results, single_precision
from modelsync.models.artefacts.steps import is_known

Answered = list[dict[str, Any]]
"""An answer for each row."""

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


@dataclass(frozen=True, slots=True)
class Output:
    """What is answered for the rows that the last step of an estimator takes.

    `kind`: `transform` or `predict`: what that method returns; `most_probable`: the probabilities,
    and as label the class of the greatest; `both`: labels of `predict`, and the probabilities.
    `classes`: the estimator's `classes_`, a list of arrays for several outputs; None if there are
    no probabilities. `compute` returns predictions, None for `most_probable`, and probabilities,
    None for `transform` and `predict`, as the estimator gives them. `write` makes the answers of
    these, or of the same from elsewhere: arrays or lists with an element per row.
    """

    kind: Literal["transform", "predict", "most_probable", "both"]
    classes: Any
    compute: Callable[[Any], tuple[Any, Any]]
    write: Callable[[Any, Any], Answered]

    def answer(self, x: Any) -> Answered:
        """Answer the rows of `x`. Raises what the estimator raises."""
        return self.write(*self.compute(x))


def of(last: Any) -> Output:
    """Return what the last step of an estimator answers."""
    predict = getattr(last, "predict", None)
    if predict is None:
        return Output("transform", None, lambda x: (last.transform(x), None), _predictions)
    classes = getattr(last, "classes_", None)
    predict_proba = getattr(last, "predict_proba", None)
    if classes is None or predict_proba is None:
        return Output("predict", None, lambda x: (predict(x), None), _predictions)
    if (
        is_known(last)
        and type(last).__name__ in PREDICTS_MOST_PROBABLE
        and not isinstance(classes, list)
    ):
        write = _most_probable(_listed(classes))
        return Output("most_probable", classes, lambda x: (None, predict_proba(x)), write)
    return Output("both", classes, lambda x: (predict(x), predict_proba(x)), _both(classes))


def _predictions(values: Any, _: None) -> Answered:
    return [{"prediction": value} for value in _listed(values)]


def _most_probable(labels: list[Any]) -> Callable[[None, Any], Answered]:
    keys = _keys(labels)
    if len(keys) == 2:
        return _of_two(labels, keys)

    def write(_: None, found: Any) -> Answered:
        if type(found) is list:
            places = [row.index(max(row)) for row in found]
        else:
            places, found = found.argmax(axis=1).tolist(), _listed(found)
        return [
            {"prediction": labels[best], "probabilities": dict(zip(keys, row, strict=True))}
            for best, row in zip(places, found, strict=True)
        ]

    return write


def _of_two(labels: list[Any], keys: list[str]) -> Callable[[None, Any], Answered]:
    """Return the function that writes the probabilities of two classes: the common case, faster."""
    first, second = labels
    key, other = keys

    def write(_: None, found: Any) -> Answered:
        return [
            {"prediction": second if b > a else first, "probabilities": {key: a, other: b}}
            for a, b in _listed(found)
        ]

    return write


def _both(classes: Any) -> Callable[[Any, Any], Answered]:
    """Write what `predict` and `predict_proba` have returned.

    An estimator of several outputs has a list of `classes`, and each prediction is a list.
    """
    keys = (
        [_keys(_listed(one)) for one in classes]
        if isinstance(classes, list)
        else _keys(_listed(classes))
    )

    def write(predictions: Any, found: Any) -> Answered:
        """Return the label of each row, with the probability of each class of each output."""
        labels = _listed(predictions)
        if labels and not isinstance(classes, list) and isinstance(labels[0], list):
            labels = [label for (label,) in labels]  # of CatBoost
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

    return write


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
    if type(values) is list:
        return values
    import numpy as np

    dense = values.toarray() if hasattr(values, "toarray") else values
    if isinstance(dense, list):
        return dense
    array = np.asarray(dense)
    small = single_precision.is_single(array)
    listed: list[Any] = single_precision.listed(array) if small else array.tolist()
    return listed

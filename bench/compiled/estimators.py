"""All classifiers and regressors of scikit-learn that can be made and that fit a small table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import all_estimators

from bench.compiled.tables import COUNTS, NUMBERS, TABLE, THREE, CorpusEntry, two

_PARTS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "VotingClassifier": lambda: {"estimators": two(LogisticRegression(), GaussianNB())},
    "StackingClassifier": lambda: {"estimators": two(LogisticRegression(), GaussianNB()), "cv": 2},
    "VotingRegressor": lambda: {"estimators": two(LinearRegression(), Ridge())},
    "StackingRegressor": lambda: {"estimators": two(LinearRegression(), Ridge()), "cv": 2},
}
"""Parameters without which an estimator cannot be made."""

_OF_TWO = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}
_TAKES_COUNTS = {"CategoricalNB", "ComplementNB", "MultinomialNB"}
_OF_SEVERAL = {
    "ClassifierChain",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "RegressorChain",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "CCA",
    "PLSCanonical",
    "PLSRegression",
}
_POSITIVE = {"GammaRegressor", "PoissonRegressor"}


def of_sklearn() -> Iterator[CorpusEntry]:
    """Yield every classifier and regressor that can be made and fitted."""
    for group in ("classifier", "regressor"):
        for name, kind in all_estimators(type_filter=group):
            yield CorpusEntry(f"{group}s", name, partial(_fit, kind, group))


def _fit(kind: Any, group: str) -> Any:
    """Fit an estimator on the small table. Raises what it raises if it cannot be fitted on that."""
    name = kind.__name__
    is_classifier = group == "classifier"
    parts = _PARTS[name]() if name in _PARTS else _member(kind, is_classifier)
    estimator = kind(**parts)
    known = {"random_state": 0, "n_estimators": 20, "max_iter": 2000}
    own = estimator.get_params(deep=False)
    estimator.set_params(**{key: value for key, value in known.items() if key in own})
    x: Any = COUNTS if name in _TAKES_COUNTS else TABLE
    y: Any = THREE if is_classifier else NUMBERS
    if name in _OF_SEVERAL:
        y = np.column_stack([THREE == "low", THREE == "mid"]).astype(int)
        y = y if is_classifier else np.column_stack([NUMBERS, TABLE @ [1, 2, -3, 0.5]])
    if name in _OF_TWO:
        y = np.where(THREE == "low", "low", "other")
    if name in _POSITIVE:
        y = np.abs(y) + 0.1
    if name == "IsotonicRegression":
        x = x[:, :1]
    return estimator.fit(x, y)


def _member(kind: Any, is_classifier: bool) -> dict[str, Any]:
    """Return the estimator that a meta-estimator needs."""
    import inspect

    parameters = inspect.signature(kind).parameters
    if "estimator" not in parameters or parameters["estimator"].default is None:
        return {}
    return {"estimator": LogisticRegression() if is_classifier else Ridge()}

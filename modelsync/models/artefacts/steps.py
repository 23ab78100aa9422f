"""The steps of an estimator, as scikit-learn and imbalanced-learn build them: what each tells."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from modelsync.models.artefacts import boosting

FORESTS = {"sklearn.ensemble._forest", "sklearn.ensemble._gb"}
"""Ensembles that fit their members on arrays, whatever they get themselves."""

_PIPELINES = {("sklearn.pipeline", "Pipeline"), ("imblearn.pipeline", "Pipeline")}


def steps_of(estimator: Any) -> Iterator[Any]:
    """Yield the transformers and the last estimator of a pipeline, in the order of their calls."""
    kind = type(estimator)
    if (kind.__module__, kind.__name__) in _PIPELINES:
        kept = [step for _, step in estimator.steps if not _does_nothing(step)]
        for step in kept or [estimator]:
            yield from steps_of(step)
    elif kind.__module__.startswith("sklearn.model_selection._search") and hasattr(
        estimator, "best_estimator_"
    ):
        yield from steps_of(estimator.best_estimator_)
    else:
        yield estimator


def _does_nothing(step: Any) -> bool:
    """Return whether a step of a pipeline gives on what it gets when it predicts."""
    return step is None or isinstance(step, str) or hasattr(step, "fit_resample")


def is_known(step: Any) -> bool:
    """Return whether the estimator is one of scikit-learn's own, or of imbalanced-learn's, whose
    behaviour is known.
    """
    return type(step).__module__.startswith(("sklearn.", "imblearn."))


def tags(step: Any) -> Any:
    """Return scikit-learn's input tags of its own estimators; None for others, and before its
    version 1.6.
    """
    if not is_known(step):
        return None
    try:
        from sklearn.utils import get_tags
    except ImportError:
        return None
    return get_tags(step).input_tags


def takes_numbers(step: Any) -> bool:
    """Return whether the estimator computes with all its inputs, so that they must be numbers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    if boosting.is_one(step):
        return all(kind.dtype == "float64" for kind in boosting.kinds(step))
    found = tags(step)
    if found is None or not found.two_d_array or found.string or found.categorical or found.dict:
        return False
    if isinstance(step, ColumnTransformer | FunctionTransformer):
        return False
    if is_made_of_others(step):
        within = [next(steps_of(member)) for member in members(step)]
        return bool(within) and all(map(takes_numbers, within))
    # Of an imputer, which also takes texts; what it fills in is an object for some strategies.
    filled = getattr(getattr(step, "statistics_", None), "dtype", None)
    dtype = getattr(step, "_fit_dtype", filled)
    # Gradient boosting keeps there which of its inputs are categories.
    return dtype != "O" and getattr(step, "is_categorical_", None) is None


def is_made_of_others(step: Any) -> bool:
    """Return whether an estimator gives its input to others within it."""
    from sklearn.base import MetaEstimatorMixin
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import FeatureUnion

    if type(step).__module__ in FORESTS:
        return False
    return isinstance(step, MetaEstimatorMixin | FeatureUnion | TransformedTargetRegressor)


def members(step: Any) -> list[Any]:
    """Return the fitted estimators inside a meta-estimator, by scikit-learn's attribute names."""
    if hasattr(step, "transformer_list"):
        return [member for _, member in step.transformer_list if not isinstance(member, str)]
    if hasattr(step, "calibrated_classifiers_"):
        return [member.estimator for member in step.calibrated_classifiers_]
    if hasattr(step, "estimators_"):
        return list(step.estimators_)
    for name in ("estimator_", "regressor_"):
        if hasattr(step, name):
            return [getattr(step, name)]
    return []


def is_plain(step: Any) -> bool:
    """Return whether the estimator uses only an array of numbers, and no inner estimator needs the
    names.
    """
    if boosting.is_one(step):
        return boosting.names(step) is None and takes_numbers(step)
    return (
        takes_numbers(step)
        and not is_made_of_others(step)
        and not hasattr(step, "_sklearn_output_config")
    )


def nameless(step: Any) -> Any:
    """Return a copy that does not warn that an array has no names."""
    if "feature_names_in_" not in vars(step):
        return step
    step = copy.copy(step)
    del step.feature_names_in_
    return step

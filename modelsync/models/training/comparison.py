"""Decides by a metric which of two versions serves, and scores predictions where a class does not.

A metric is better if it is greater, unless its name is that of an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelsync.models.data_schema import TrainingPlan
from modelsync.models.statistics.agreement import agreement

_ERROR = re.compile(
    r"loss|err(or)?s?\b|error|deviance|brier|hinge|perplexity|(^|_)(r|n)?(mse|mae|mape|smape|rmsle|msle)"
    r"|\brmse|\bmae\b|false_(positive|negative)|fpr|fnr|wer|cer",
    re.IGNORECASE,
)
"""Names of metrics that are better the smaller they are, as scikit-learn and others call them."""


def verdict(
    plan: TrainingPlan, new: Mapping[str, Any], old: Mapping[str, Any] | None, number: int | None
) -> str:
    """Return why the metric of a plan keeps the version before, whose `number` is given; empty if
    the new one is not worse, or if there is nothing to compare.
    """
    name = plan.metric
    if not name or old is None:
        return ""
    value = _number(new.get(name))
    if value is None:
        known = ", ".join(new) or "none"
        return f"the new version has no metric {name!r} (it has {known}); return it from metrics()"
    before = _number(old.get(name))
    if before is None or value == before or (value > before) == is_greater_better(plan):
        return ""
    return f"{name} is {value:.4g}, that of version {number} is {before:.4g}"


def is_greater_better(plan: TrainingPlan) -> bool:
    """Return whether a greater value of the plan's metric is better."""
    if plan.greater_is_better is not None:
        return plan.greater_is_better
    return plan.metric.startswith("neg_") or not _ERROR.search(plan.metric)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def scores(predicted: Sequence[Any], truth: Sequence[Any], *, classes: bool) -> dict[str, float]:
    """Return what scikit-learn calls accuracy_score, or r2_score and root_mean_squared_error.

    Raises ValueError if the values cannot be compared.
    """
    if classes:
        found = agreement(list(predicted), list(truth))
        if found is None:
            raise ValueError("the predictions and the target cannot be compared")
        return {"accuracy": found.correct}
    errors = [float(one) - float(other) for one, other in zip(predicted, truth, strict=True)]
    mean = sum(map(float, truth)) / len(truth)
    total = sum((float(one) - mean) ** 2 for one in truth)
    left = sum(one * one for one in errors)
    return {"r2": 1 - left / total if total else 0.0, "rmse": math.sqrt(left / len(errors))}

"""Reads the trees of LightGBM."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modelsync.models.forms.compiler import NotCompilable
from modelsync.models.forms.finish import Finish, Link
from modelsync.models.forms.forest import Forest, Tree, labels_of

ZERO = 1.0000000180025095e-35
"""Numbers up to this, and their negatives, are zero in LightGBM (its kZeroThreshold)."""

_EXPONENTIAL = ("poisson", "gamma", "tweedie")
_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")


def read(last: Any, answers: Any) -> Forest:
    """Read trees of LightGBM that compare numbers and do not treat zero as missing."""
    if not hasattr(last, "booster_"):
        raise NotCompilable(f"the trees of {type(last).__name__} are not read")
    labels = labels_of(last)
    dumped = last.booster_.dump_model()
    objective, *parameters = str(dumped.get("objective", "")).split()
    options = dict(one.split(":", 1) for one in parameters if ":" in one)
    scores = int(dumped["num_tree_per_iteration"])
    link = _link(objective, parameters, labels, scores)
    if dumped.get("average_output"):
        raise NotCompilable("LightGBM averages its trees")
    factor = float(options.get("sigmoid", 1)) if link == "sigmoid" else 1.0
    trees = [
        _of_nodes(list(_nodes(tree["tree_structure"])), factor, place % scores)
        for place, tree in enumerate(dumped["tree_info"])
    ]
    base = (0.0,) * scores
    return Forest(trees, scores, Finish(answers, link, labels, base=base), "double")


def _link(objective: str, parameters: Sequence[str], labels: Sequence[Any], scores: int) -> Link:
    if objective == "binary" and len(labels) == 2:
        return "sigmoid"
    if objective == "multiclass" and len(labels) == scores:
        return "softmax"
    if objective in _EXPONENTIAL and not labels:
        return "exp"
    if objective in _IDENTITY and "sqrt" not in parameters and not labels:
        return "identity"
    raise NotCompilable(f"LightGBM with the objective {objective} is not known")


def _nodes(root: Mapping[str, Any]) -> Iterator[tuple[int, float, int, int, bool, float]]:
    """Yield the nodes of a tree, those of the left branch first."""
    waiting = [root]
    count = 1
    while waiting:
        node = waiting.pop(0)
        if "leaf_value" in node:
            if "leaf_coeff" in node:
                raise NotCompilable("LightGBM has linear models in its leaves")
            yield 0, 0.0, -1, -1, False, float(node["leaf_value"])
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise NotCompilable("LightGBM compares categories, or takes zero as missing")
        threshold = float(node["threshold"])
        goes_left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
        split = int(node["split_feature"]), _around_zero(threshold)
        yield *split, count, count + 1, bool(goes_left), 0.0
        count += 2
        waiting += [node["left_child"], node["right_child"]]


def _around_zero(threshold: float) -> float:
    """Return the threshold that splits as this one does where numbers near zero count as zero."""
    if -ZERO <= threshold < 0:
        return math.nextafter(-ZERO, -math.inf)
    return ZERO if 0 <= threshold < ZERO else threshold


def _of_nodes(nodes: Sequence[tuple[Any, ...]], factor: float, target: int) -> Tree:
    feature, threshold, left, right, missing, value = map(np.array, zip(*nodes, strict=True))
    return Tree(feature, threshold, left, right, missing, factor * value, target)

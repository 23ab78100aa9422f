"""Reads the trees of XGBoost, which compares and sums in 32 bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelsync.models.forms.compiler import NotCompilable
from modelsync.models.forms.finish import Finish, Link
from modelsync.models.forms.forest import Array, Forest, Tree, labels_of

_LINKS: Mapping[str, Link] = {
    "binary:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"),
            *("reg:quantileerror", "reg:squaredlogerror"),
        ),
        "identity",
    ),
}


def read(last: Any, answers: Any) -> Forest:
    """Read trees of XGBoost that compare numbers. `answers`: as of `Finish`.

    Raises NotCompilable, which says what it has besides.
    """
    labels = labels_of(last)
    learner = json.loads(bytes(last.get_booster().save_raw("json")))["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if booster["name"] != "gbtree" or objective not in _LINKS:
        raise NotCompilable(f"XGBoost with {booster['name']} and {objective} is not known")
    if last.missing == last.missing:
        raise NotCompilable(f"XGBoost takes {last.missing} as missing")
    link = _LINKS[objective]
    base = _base(learner["learner_model_param"], link)
    scores = len(labels) if link == "softmax" else 1
    base = base * scores if len(base) == 1 else base
    if len(base) != scores or (link == "sigmoid") != (len(labels) == 2):
        raise NotCompilable("XGBoost with several outputs is not known")
    model = booster["model"]
    kept = _kept(last, model, len(base))
    pairs = zip(model["trees"][:kept], model["tree_info"][:kept], strict=True)
    trees = [
        *(_constant(value, place) for place, value in enumerate(base)),
        *(_tree(tree, target) for tree, target in pairs),
    ]
    finish = Finish(answers, link, labels, tie=0.0)
    return Forest(trees, len(base), finish, "single", equal_is_left=False)


def _base(parameters: Mapping[str, str], link: Link) -> list[float]:
    """Return the score with which the sum begins, of each output, as a number of 32 bits."""
    text = parameters["base_score"]
    found = json.loads(text) if text.startswith("[") else [float(text)]
    values = np.array(found, dtype=np.float32)
    if link == "sigmoid":
        values = -np.log((np.float32(1) / values - np.float32(1)).astype(np.float64))
    elif link == "exp":
        values = np.log(values.astype(np.float64))
    listed: list[float] = values.astype(np.float32).tolist()
    return listed


def _kept(last: Any, model: Mapping[str, Any], outputs: int) -> int:
    """Return how many trees count: after an early stop those up to the best."""
    try:
        best = int(last.best_iteration) + 1
    except AttributeError:
        return len(model["trees"])
    parallel = int(model["gbtree_model_param"].get("num_parallel_tree", 1))
    return best * outputs * parallel


def _constant(value: float, target: int) -> Tree:
    """Return a tree that is a leaf: the sum begins with it, as in XGBoost."""
    zero, leaf = np.zeros(1), np.full(1, -1)
    no = np.zeros(1, dtype=bool)
    return Tree(zero.astype(np.int64), zero, leaf, leaf, no, np.array([value]), target)


def _tree(tree: Mapping[str, Any], target: int) -> Tree:
    """Read a tree of the JSON that XGBoost writes."""
    left = np.array(tree["left_children"], dtype=np.int64)
    if any(tree["split_type"]):
        raise NotCompilable("XGBoost compares categories")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise NotCompilable("XGBoost has several numbers in each leaf")
    conditions: Array = np.array(tree["split_conditions"], dtype=np.float32)
    return Tree(
        np.array(tree["split_indices"], dtype=np.int64),
        conditions,
        left,
        np.array(tree["right_children"], dtype=np.int64),
        np.array(tree["default_left"], dtype=bool),
        conditions,
        target,
    )

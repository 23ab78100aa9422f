"""Trees as arrays, and what becomes of the sum of their leaves: read off fitted ensembles.

A graph of these sums them in the order and the precision of the library itself. The graphs of
skl2onnx are not used for them: they hold leaves in 32 bits and send missing values another way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelsync.models.artefacts import boosting
from modelsync.models.artefacts.steps import is_known
from modelsync.models.compiled.compiler import NotCompilable, Target
from modelsync.models.compiled.finish import TIE, Finish, Link

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `n` nodes; an input that is at most the threshold goes to the left.

    `feature`, `threshold`, `left`, `right`, `missing_left`: of shape (n,); `left` is -1 of a leaf;
    `missing_left`: whether a missing input goes to the left. `value`: what leaves add, of shape
    (n,), to the score of number `target`; or of shape (n, scores), to each.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array
    target: int = 0


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaves are summed to `scores` scores. `rounds`: inputs are rounded to 32 bits."""

    trees: Sequence[Tree]
    scores: int
    finish: Finish
    rounds: bool


def read(last: Any, target: Target) -> Forest:
    """Read the trees of an estimator. Raises NotCompilable, which says what it has besides."""
    answers: Any = {"most_probable": "scores", "both": "both"}.get(
        target.output.kind, "predictions"
    )
    name = type(last).__name__
    if boosting.is_one(last):
        return _lightgbm(last, answers)
    if is_known(last):
        if type(last).__module__ in _OF_TREES:
            return _averaged(last, answers)
        if name in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
            return _boosted(last, answers)
        if name in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
            return _histograms(last, answers)
    raise NotCompilable(f"{name} is no ensemble of trees")


def _labels(last: Any) -> tuple[Any, ...]:
    """Return the classes of a classifier of one output; () of a regressor."""
    classes = getattr(last, "classes_", None)
    if classes is None:
        return ()
    if isinstance(classes, list) or len(classes) < 2:
        raise NotCompilable(f"{type(last).__name__} has several outputs, or one class")
    found: tuple[Any, ...] = tuple(classes.tolist())
    return found


# --- scikit-learn ---------------------------------------------------------------------------------

_OF_TREES = {"sklearn.tree._classes", "sklearn.ensemble._forest"}


def _averaged(last: Any, answers: Any) -> Forest:
    """Read a tree, or a forest, whose trees' answers are averaged."""
    labels = _labels(last)
    members = list(getattr(last, "estimators_", [last]))
    if not hasattr(last, "predict") or type(last).__name__ == "RandomTreesEmbedding":
        raise NotCompilable(f"{type(last).__name__} answers leaves")
    trees = [_of_sklearn(member.tree_, _averages(member.tree_, labels)) for member in members]
    count = float(len(members))
    scores = 1 if trees[0].value.ndim == 1 else trees[0].value.shape[1]
    is_exact = len(members) == 1 or all(_is_pure(tree) for tree in trees)
    tie = 0.0 if is_exact else TIE * count if scores == 1 else 1e-6 * count
    return Forest(trees, scores, Finish(answers, "share", labels, count, tie), rounds=True)


def _averages(tree: Any, labels: Sequence[Any]) -> Array:
    """Return what the leaves of a tree answer: the part of the second of two classes, the parts of
    all of more, or the means of all outputs.
    """
    if labels:
        parts: Array = tree.value[:, 0, : len(labels)]
        return parts[:, 1] if len(labels) == 2 else parts
    means: Array = tree.value[:, :, 0]
    return means[:, 0] if means.shape[1] == 1 else means


def _is_pure(tree: Tree) -> bool:
    """Return whether each leaf holds one class, so that any sum of leaves is exact."""
    found = np.isin(tree.value[tree.left < 0], (0.0, 1.0))
    return bool(found.all())


def _of_sklearn(tree: Any, value: Array, target: int = 0) -> Tree:
    return Tree(
        tree.feature,
        tree.threshold,
        tree.children_left,
        tree.children_right,
        tree.missing_go_to_left.astype(bool),
        value,
        target,
    )


def _boosted(last: Any, answers: Any) -> Forest:
    """Read gradient boosting, whose first guess must not depend on the inputs."""
    labels = _labels(last)
    is_constant = isinstance(last.init_, str) or type(last.init_).__name__.startswith("Dummy")
    if not is_constant:
        raise NotCompilable(f"it begins with another estimator, {type(last.init_).__name__}")
    base = last._raw_predict_init(np.zeros((1, last.n_features_in_)))[0].tolist()
    factor = 2.0 if type(last._loss).__name__ == "ExponentialLoss" else 1.0
    trees = [
        _of_sklearn(one.tree_, factor * (last.learning_rate * one.tree_.value[:, 0, 0]), place)
        for stage in last.estimators_
        for place, one in enumerate(stage)
    ]
    base = tuple(factor * one for one in base)
    link: Link = "identity" if not labels else "sigmoid" if len(labels) == 2 else "softmax"
    return Forest(trees, len(base), Finish(answers, link, labels, base=base), rounds=True)


def _histograms(last: Any, answers: Any) -> Forest:
    """Read histogram-based gradient boosting without categories."""
    labels = _labels(last)
    if getattr(last, "is_categorical_", None) is not None:
        raise NotCompilable(f"{type(last).__name__} compares categories")
    base = tuple(np.ravel(last._baseline_prediction).tolist())
    links: dict[str, Link] = {
        "IdentityLink": "identity",
        "LogLink": "exp",
        "LogitLink": "sigmoid",
        "MultinomialLogit": "softmax",
    }
    link = type(last._loss.link).__name__
    if link not in links:
        raise NotCompilable(f"{type(last).__name__} with {link} is not known")
    trees = [
        _of_histogram(predictor.nodes, place)
        for stage in last._predictors
        for place, predictor in enumerate(stage)
    ]
    return Forest(trees, len(base), Finish(answers, links[link], labels, base=base), rounds=False)


def _of_histogram(nodes: Any, target: int) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(np.float64),
        target,
    )


# --- LightGBM -------------------------------------------------------------------------------------

_EXPONENTIAL = ("poisson", "gamma", "tweedie")
_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")


def _lightgbm(last: Any, answers: Any) -> Forest:
    """Read trees of LightGBM that compare numbers and do not treat zero as missing."""
    if not hasattr(last, "booster_"):
        raise NotCompilable(f"the trees of {type(last).__name__} are not read")
    labels = _labels(last)
    dumped = last.booster_.dump_model()
    objective, *parameters = str(dumped.get("objective", "")).split()
    options = dict(one.split(":", 1) for one in parameters if ":" in one)
    scores = int(dumped["num_tree_per_iteration"])
    link = _lightgbm_link(objective, parameters, labels, scores)
    if dumped.get("average_output"):
        raise NotCompilable("LightGBM averages its trees")
    factor = float(options.get("sigmoid", 1)) if link == "sigmoid" else 1.0
    trees = [
        _of_nodes(list(_nodes(tree["tree_structure"])), factor, place % scores)
        for place, tree in enumerate(dumped["tree_info"])
    ]
    base = (0.0,) * scores
    return Forest(trees, scores, Finish(answers, link, labels, base=base), rounds=False)


def _lightgbm_link(
    objective: str, parameters: Sequence[str], labels: Sequence[Any], scores: int
) -> Link:
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
        yield int(node["split_feature"]), threshold, count, count + 1, bool(goes_left), 0.0
        count += 2
        waiting += [node["left_child"], node["right_child"]]


def _of_nodes(nodes: Sequence[tuple[Any, ...]], factor: float, target: int) -> Tree:
    feature, threshold, left, right, missing, value = map(np.array, zip(*nodes, strict=True))
    return Tree(feature, threshold, left, right, missing, factor * value, target)

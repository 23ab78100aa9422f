"""Reads the trees of scikit-learn's estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelsync.models.forms.compiler import NotCompilable, OtherKind
from modelsync.models.forms.finish import TIE, Finish, Link
from modelsync.models.forms.forest import Array, Forest, Tree, labels_of

_OF_TREES = {"sklearn.tree._classes", "sklearn.ensemble._forest"}


def read(last: Any, answers: Any) -> Forest:
    """Read the trees of an estimator of scikit-learn. `answers`: as of `Finish`.

    Raises NotCompilable, which says what it has besides.
    """
    name = type(last).__name__
    if type(last).__module__ in _OF_TREES:
        return _averaged(last, answers)
    if name in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
        return _boosted(last, answers)
    if name in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return _histograms(last, answers)
    raise OtherKind(f"{name} is no ensemble of trees")


def _averaged(last: Any, answers: Any) -> Forest:
    """Read a tree, or a forest, whose trees' answers are averaged."""
    labels = labels_of(last)
    members = list(getattr(last, "estimators_", [last]))
    if not hasattr(last, "predict") or type(last).__name__ == "RandomTreesEmbedding":
        raise NotCompilable(f"{type(last).__name__} answers leaves")
    trees = [_of_sklearn(member.tree_, _averages(member.tree_, labels)) for member in members]
    count = float(len(members))
    scores = 1 if trees[0].value.ndim == 1 else trees[0].value.shape[1]
    is_exact = len(members) == 1 or all(_is_pure(tree) for tree in trees)
    tie = 0.0 if is_exact else TIE * count if scores == 1 else 1e-6 * count
    return Forest(trees, scores, Finish(answers, "share", labels, count, tie), "rounded")


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
    labels = labels_of(last)
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
    return Forest(trees, len(base), Finish(answers, link, labels, base=base), "rounded")


def _histograms(last: Any, answers: Any) -> Forest:
    """Read histogram-based gradient boosting without categories."""
    labels = labels_of(last)
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
    return Forest(trees, len(base), Finish(answers, links[link], labels, base=base), "double")


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

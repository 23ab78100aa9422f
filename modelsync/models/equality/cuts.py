"""The values at which an answer jumps: splits of trees, edges of bins, categories of numbers.

Trees are read through what their libraries publish: `tree_` of scikit-learn, `dump_model` of
LightGBM, the JSON of XGBoost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from modelsync.models.artefacts.steps import is_known, is_made_of_others

Array = np.ndarray[Any, Any]
Item = TypeVar("Item")


class Cut(NamedTuple):
    """A comparison of an input with a value.

    `needs`: the comparisons above it in its tree, as (feature, value, whether the input is on the
    left of it); where they hold, this one is reached.
    """

    feature: int
    value: float
    needs: tuple[tuple[int, float, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an estimator compares: in 32 bits or in 64, and on which side an equal value is."""

    single: bool = False
    equal_is_left: bool = True

    def is_left(self, inputs: Array, values: Array) -> Array:
        """Return for each input whether it is on the left of its value; NaN is on the right."""
        if self.single:
            with np.errstate(over="ignore"):
                inputs = inputs.astype(np.float32)
        left: Array = inputs <= values if self.equal_is_left else inputs < values
        return left


class Cuts(NamedTuple):
    """The cuts of one estimator."""

    found: list[Cut]
    comparison: Comparison


@dataclass(frozen=True)
class _Tree:
    """Splits as arrays: the feature of each node, -1 of a leaf and of a split by categories."""

    feature: Array
    value: Array
    left: Array
    right: Array

    @cached_property
    def splits(self) -> Array:
        """The nodes that compare an input with a value."""
        return np.flatnonzero((self.feature >= 0) & (self.left > 0))

    @cached_property
    def parents(self) -> Array:
        """The node above each node, -1 of the root."""
        found = np.full(len(self.left), -1)
        inner = np.flatnonzero(self.left > 0)
        found[self.left[inner]] = found[self.right[inner]] = inner
        return found

    def cut(self, node: int) -> Cut:
        """Return the cut at a node, with those above it, from the root."""
        needs = []
        below, at = node, int(self.parents[node])
        while at >= 0:
            if self.feature[at] >= 0:
                is_left = bool(self.left[at] == below)
                needs.append((int(self.feature[at]), float(self.value[at]), is_left))
            below, at = at, int(self.parents[at])
        return Cut(int(self.feature[node]), float(self.value[node]), tuple(reversed(needs)))


def of(step: Any, most: int, random: np.random.Generator) -> Cuts | None:
    """Return the cuts of an estimator, at most so many, spread over its trees; None without any."""
    for read, comparison in _READERS:
        if trees := list(read(step)):
            return Cuts(_sample(trees, most, random), comparison)
    if edges := _edges(step):
        found = [Cut(place, float(value)) for place, each in edges.items() for value in each]
        return Cuts(_fewer(found, most, random), Comparison())
    return None


def _sample(trees: list[_Tree], most: int, random: np.random.Generator) -> list[Cut]:
    ends = np.cumsum([len(tree.splits) for tree in trees])
    found = []
    for place in _fewer(range(int(ends[-1])), most, random):
        tree = int(np.searchsorted(ends, place, "right"))
        found.append(trees[tree].cut(int(trees[tree].splits[place - ends[tree]])))
    return found


def _fewer(items: Sequence[Item], most: int, random: np.random.Generator) -> list[Item]:
    """Return at most so many of the items, in random order."""
    kept = random.permutation(len(items))[:most].tolist()
    return [items[place] for place in kept]


# --- trees ----------------------------------------------------------------------------------------


def _sklearn(step: Any) -> Iterator[_Tree]:
    if not is_known(step) or is_made_of_others(step):
        return
    members = getattr(step, "estimators_", [step])
    for member in np.ravel(np.array(members, dtype=object)):
        if (tree := getattr(member, "tree_", None)) is not None:
            feature = np.where(tree.children_left > 0, tree.feature, -1)
            yield _Tree(feature, tree.threshold, tree.children_left, tree.children_right)


def _histograms(step: Any) -> Iterator[_Tree]:
    if not is_known(step):
        return
    for iteration in getattr(step, "_predictors", ()):
        for predictor in iteration:
            nodes = predictor.nodes
            is_split = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)
            feature = np.where(is_split, nodes["feature_idx"].astype(int), -1)
            left = np.where(nodes["is_leaf"] == 0, nodes["left"].astype(int), -1)
            right = np.where(nodes["is_leaf"] == 0, nodes["right"].astype(int), -1)
            yield _Tree(feature, nodes["num_threshold"], left, right)


def _xgboost(step: Any) -> Iterator[_Tree]:
    if not hasattr(step, "get_booster"):
        return
    model = json.loads(bytes(step.get_booster().save_raw("json")))["learner"]["gradient_booster"]
    for tree in model.get("model", {}).get("trees", ()):
        left = np.array(tree["left_children"])
        by_value = (left >= 0) & (np.array(tree["split_type"]) == 0)
        feature = np.where(by_value, np.array(tree["split_indices"]), -1)
        value = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        yield _Tree(feature, value, left, np.array(tree["right_children"]))


def _lightgbm(step: Any) -> Iterator[_Tree]:
    booster = getattr(step, "booster_", None)
    if booster is None or not hasattr(booster, "dump_model"):
        return
    for tree in booster.dump_model()["tree_info"]:
        nodes: list[tuple[int, float, int, int]] = []
        _flatten(tree["tree_structure"], nodes)
        feature, value, left, right = map(np.array, zip(*nodes, strict=True))
        yield _Tree(feature, value, left, right)


def _flatten(node: Mapping[str, Any], nodes: list[tuple[int, float, int, int]]) -> int:
    """Append a node and those below it, and return its place."""
    place = len(nodes)
    nodes.append((-1, 0.0, -1, -1))
    if "split_feature" in node:
        left = _flatten(node["left_child"], nodes)
        right = _flatten(node["right_child"], nodes)
        by_value = node["decision_type"] == "<="
        feature = int(node["split_feature"]) if by_value else -1
        nodes[place] = (feature, float(node["threshold"]) if by_value else 0.0, left, right)
    return place


_READERS = (
    (_sklearn, Comparison(single=True)),
    (_histograms, Comparison()),
    (_xgboost, Comparison(single=True, equal_is_left=False)),
    (_lightgbm, Comparison()),
)


# --- other steps ----------------------------------------------------------------------------------


def _edges(step: Any) -> dict[int, list[float]]:
    """Return the values at which a transformer's output jumps or bends, by the input."""
    if not is_known(step):
        return {}
    if type(step).__name__ == "Binarizer":
        return {place: [float(step.threshold)] for place in range(step.n_features_in_)}
    if type(step).__name__ == "MinMaxScaler" and not step.clip:
        return {}
    per_input: list[Any] = []
    for name in ("bin_edges_", "categories_", "X_thresholds_"):
        if (known := getattr(step, name, None)) is not None:
            per_input = [known] if name == "X_thresholds_" else list(known)
            break
    else:
        if hasattr(step, "data_min_"):
            per_input = list(zip(step.data_min_, step.data_max_, strict=True))
        elif hasattr(step, "quantiles_"):
            per_input = list(np.asarray(step.quantiles_).T)
    return {place: _numbers(values) for place, values in enumerate(per_input)}


def _numbers(values: Any) -> list[float]:
    """Return those of the values that are finite numbers."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    numbers = (one for one in listed if isinstance(one, int | float) and not isinstance(one, bool))
    return [float(one) for one in numbers if np.isfinite(one)]

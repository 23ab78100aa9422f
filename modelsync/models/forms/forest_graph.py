"""Writes trees as an ONNX graph of one node, which sums leaves in the precision of the library.

`TreeEnsemble` (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html, ai.onnx.ml 5) does,
with one score for each leaf; where leaves add to several, `TreeEnsembleRegressor` sums in 64 bits
and rounds each sum to 32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelsync.models.forms.forest import Array, Forest, Tree

IR_VERSION, OPSET = 10, 21
_LESS_OR_EQUAL, _LESS, _SUM = 0, 1, 1


def graph(forest: Forest, width: int) -> bytes:
    """Return the graph of a forest whose input has `width` numbers, of its precision."""
    from onnx import TensorProto, helper

    by_leaf = all(tree.value.ndim == 1 for tree in forest.trees)
    node = _ensemble(forest) if by_leaf else _regressor(forest)
    given = TensorProto.FLOAT if forest.precision == "single" else TensorProto.DOUBLE
    kind = given if by_leaf else TensorProto.FLOAT
    whole = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", given, [None, width])],
        [helper.make_tensor_value_info("scores", kind, [None, forest.scores])],
    )
    of_trees = helper.make_opsetid("ai.onnx.ml", 5 if by_leaf else 3)
    opsets = [helper.make_opsetid("", OPSET), of_trees]
    made = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION)
    found: bytes = made.SerializeToString()
    return found


def _tensor(values: Any, kind: type) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind))


def _ensemble(forest: Forest) -> Any:
    """Return the node in which splits and leaves are numbered apart, over all trees."""
    from onnx import helper

    splits: dict[str, list[Array]] = {}
    leaves: dict[str, list[Array]] = {}
    roots = []
    split_count = leaf_count = 0
    for one in forest.trees:
        tree = _with_split(one)
        is_leaf = tree.left < 0
        number = np.where(
            is_leaf, leaf_count + np.cumsum(is_leaf) - 1, split_count + np.cumsum(~is_leaf) - 1
        )
        left, right = tree.left[~is_leaf], tree.right[~is_leaf]
        roots.append(split_count)
        for name, values in (
            ("nodes_featureids", tree.feature[~is_leaf]),
            ("nodes_splits", tree.threshold[~is_leaf]),
            ("nodes_truenodeids", number[left]),
            ("nodes_trueleafs", is_leaf[left]),
            ("nodes_falsenodeids", number[right]),
            ("nodes_falseleafs", is_leaf[right]),
            ("nodes_missing_value_tracks_true", tree.missing_left[~is_leaf]),
        ):
            splits.setdefault(name, []).append(values)
        leaves.setdefault("leaf_weights", []).append(tree.value[is_leaf])
        leaves.setdefault("leaf_targetids", []).append(np.full(is_leaf.sum(), tree.target))
        split_count += int((~is_leaf).sum())
        leaf_count += int(is_leaf.sum())
    whole = {name: np.concatenate(each) for name, each in (splits | leaves).items()}
    floats = {name: whole.pop(name) for name in ("nodes_splits", "leaf_weights")}
    kind = np.float32 if forest.precision == "single" else np.float64
    mode = _LESS_OR_EQUAL if forest.equal_is_left else _LESS
    return helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["scores"],
        domain="ai.onnx.ml",
        aggregate_function=_SUM,
        n_targets=forest.scores,
        post_transform=0,
        tree_roots=roots,
        nodes_modes=_tensor(np.full(split_count, mode), np.uint8),
        **{name: _tensor(one, kind) for name, one in floats.items()},
        **{name: one.astype(np.int64).tolist() for name, one in whole.items()},
    )


def _with_split(tree: Tree) -> Tree:
    """Return a tree with a split: of one that is a leaf, both of whose branches are that leaf."""
    if tree.left[0] >= 0:
        return tree
    leaf, zero = np.array([1, -1]), np.zeros(2)
    return Tree(
        zero.astype(np.int64),
        zero,
        leaf,
        leaf,
        zero.astype(bool),
        np.array([0.0, tree.value[0]]),
        tree.target,
    )


def _regressor(forest: Forest) -> Any:
    """Return the node in which each tree numbers its own, and leaves add to several scores."""
    from onnx import helper

    nodes: dict[str, list[Any]] = {}
    for place, tree in enumerate(forest.trees):
        is_leaf = tree.left < 0
        leaf_places = np.flatnonzero(is_leaf)
        for name, values in (
            ("nodes_treeids", np.full(len(is_leaf), place)),
            ("nodes_nodeids", np.arange(len(is_leaf))),
            ("nodes_featureids", np.where(is_leaf, 0, tree.feature)),
            ("nodes_values", np.where(is_leaf, 0, tree.threshold)),
            ("nodes_truenodeids", np.where(is_leaf, 0, tree.left)),
            ("nodes_falsenodeids", np.where(is_leaf, 0, tree.right)),
            ("nodes_missing_value_tracks_true", np.where(is_leaf, 0, tree.missing_left)),
            ("nodes_modes", is_leaf),
            ("target_treeids", np.full(len(leaf_places) * forest.scores, place)),
            ("target_nodeids", np.repeat(leaf_places, forest.scores)),
            ("target_ids", np.tile(np.arange(forest.scores), len(leaf_places))),
            ("target_weights", tree.value[leaf_places].ravel()),
        ):
            nodes.setdefault(name, []).append(values)
    whole = {name: np.concatenate(each) for name, each in nodes.items()}
    modes = ["LEAF" if one else "BRANCH_LEQ" for one in whole.pop("nodes_modes").tolist()]
    floats = {name: whole.pop(name) for name in ("nodes_values", "target_weights")}
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["scores"],
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        n_targets=forest.scores,
        post_transform="NONE",
        nodes_modes=modes,
        **{f"{name}_as_tensor": _tensor(one, np.float64) for name, one in floats.items()},
        **{name: one.astype(np.int64).tolist() for name, one in whole.items()},
    )

"""Trees as arrays, and what becomes of the sum of their leaves.

A graph of these sums them in the order and the precision of the library itself. The graphs of
skl2onnx are not used for them: they hold leaves in 32 bits and send missing values another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelsync.models.forms.compiler import NotCompilable
from modelsync.models.forms.finish import Finish
from modelsync.models.forms.onnx_model import Precision

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `n` nodes; an input that is less than the threshold goes to the left.

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
    """Trees whose leaves are summed to `scores` scores, one tree after the other.

    `precision`: of the inputs, of the sums and of what `finish` does with them; only of `rounded`
    inputs the sums have 64 bits. `equal_is_left`: whether an input that is the threshold goes to
    the left.
    """

    trees: Sequence[Tree]
    scores: int
    finish: Finish
    precision: Precision
    equal_is_left: bool = True


def labels_of(last: Any) -> tuple[Any, ...]:
    """Return the classes of a classifier of one output; () of a regressor."""
    classes = getattr(last, "classes_", None)
    if classes is None:
        return ()
    if isinstance(classes, list) or len(classes) < 2:
        raise NotCompilable(f"{type(last).__name__} has several outputs, or one class")
    found: tuple[Any, ...] = tuple(classes.tolist())
    return found

"""From scores of 32 bits to what XGBoost answers: it computes probabilities in 32 bits too, and
`1 - p` then has few digits, which must be the same.

Its exponential is correctly rounded, as one in 64 bits that is rounded after it nearly always is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelsync.models.forms.compiled_model import Computed
from modelsync.models.forms.finish import Finish

LARGEST = 88.7
"""The largest number of which the exponential is taken (`common::Sigmoid` of XGBoost)."""


def function(finish: Finish) -> Callable[[Any], Computed]:
    """Return the function that makes answers of an array of scores, of shape (rows, scores)."""
    import numpy as np

    one, single, double = np.float32(1), np.float32, np.float64

    def exp(values: Any) -> Any:
        return np.exp(values.astype(double)).astype(single)

    def sigmoid(scores: Any) -> Any:
        part = one / (exp(np.minimum(-scores[:, 0], single(LARGEST))) + one)
        return np.stack([one - part, part], axis=1)

    def softmax(scores: Any) -> Any:
        parts = exp(scores - scores.max(axis=1, keepdims=True))
        whole = parts.astype(double).sum(axis=1, keepdims=True)
        return parts / whole.astype(single)

    links: dict[str, Callable[[Any], Any]] = {
        "identity": lambda scores: scores[:, 0],
        "exp": lambda scores: exp(scores[:, 0]),
        "sigmoid": sigmoid,
        "softmax": softmax,
    }
    link = links[finish.link]
    if not finish.labels:
        return lambda scores: Computed(link(scores), None)
    labels = np.array(finish.labels)

    def both(scores: Any) -> Computed:
        found = link(scores)
        return Computed(labels.take(found.argmax(axis=1)), found)

    return both

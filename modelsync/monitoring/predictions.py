"""What was predicted, from the result that a client got: whatever form the model gives it."""

from __future__ import annotations

from typing import Any

NAMES = ("prediction", "predictions", "predict", "y", "label", "class", "result")
"""Members of results that hold predictions, as modelsync's own answers and people call them."""


def prediction_of(result: Any, target: str = "") -> Any:
    """Return the prediction in a result: its member of the target's name, or one of `NAMES`, or its
    only one; else the result itself.
    """
    if not isinstance(result, dict):
        return result
    for name in (target, *NAMES):
        if name in result:
            return result[name]
    return next(iter(result.values())) if len(result) == 1 else result


def by_row(prediction: Any, rows: int) -> list[Any]:
    """Return a prediction for each of the rows; None where they cannot be told apart."""
    if isinstance(prediction, list) and len(prediction) == rows:
        return prediction
    return [prediction] if rows == 1 else [None] * rows

"""Whether a fitted object predicts classes or numbers."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any


def classifies(model: Any) -> bool | None:
    """Return whether an object predicts classes, as scikit-learn tells it; None if nobody knows."""
    base = sys.modules.get("sklearn.base")
    with suppress(Exception):  # its tags are the model's code
        if base and isinstance(model, base.BaseEstimator):
            if base.is_classifier(model):
                return True
            if base.is_regressor(model):
                return False
    return True if callable(getattr(model, "predict_proba", None)) else None

"""The data on which estimators are fitted, and their own answers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelsync.models.results import dump
from modelsync.models.types import LoadedModel
from tests.models.code import bind, call_batch

RANDOM = np.random.default_rng(1)
FRAME = pd.DataFrame(RANDOM.normal(size=(60, 3)), columns=["a", "b", "c d"])
MIXED = FRAME.assign(kind=np.where(FRAME.a > 0, "big", "small"))
LABELS = np.where(FRAME.a + FRAME.b > 0, "yes", "no")
NUMBERS = FRAME.a.to_numpy() * 2 + 1
VARIABLES = {"a": 0.5, "b": 1, "c d": -0.25, "more": "left out"}


def together(model: LoadedModel, *variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of one batch, without warnings, as JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = call_batch(model, [bind(model, one) for one in variables])
    for result in results:
        dump(result)
    return results


def expected(estimator: Any, x: Any) -> list[dict[str, Any]]:
    """The answer of the classifier itself."""
    labels, rows = estimator.predict(x).tolist(), estimator.predict_proba(x).tolist()
    return [
        {
            "prediction": label,
            "probabilities": pytest.approx(
                dict(zip(estimator.classes_.tolist(), row, strict=True))
            ),
        }
        for label, row in zip(labels, rows, strict=True)
    ]

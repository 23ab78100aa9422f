"""The two models that every contestant serves; its environment imports them from here."""

from __future__ import annotations

from functools import cache
from typing import Any

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def score(a: float, b: float) -> dict[str, float]:
    """Pure Python: what is measured is the server."""
    return {"score": a * 0.5 + b}


@cache
def iris() -> Any:
    """A LogisticRegression of the environment's own scikit-learn, fitted the same everywhere."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))


def classify(row: list[float]) -> dict[str, Any]:
    """One flower: its class and the probability of each class."""
    probabilities = iris().predict_proba([row])[0]
    return {"prediction": int(probabilities.argmax()), "probabilities": probabilities.tolist()}

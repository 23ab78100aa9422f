"""Small tables, and pipelines that are fitted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RANDOM = np.random.default_rng(0)
COUNT = 200

FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, COUNT),
        "income": RANDOM.normal(50_000, 15_000, COUNT),
        "city": RANDOM.choice(["Bern", "Genf", "Zug"], COUNT),
        "member": RANDOM.random(COUNT) < 0.5,
    }
)
SCORE = FRAME.age / 80 + FRAME.income / 1e5 + (FRAME.city == "Bern") * 0.3
LABEL = np.where(SCORE + RANDOM.normal(size=COUNT) * 0.1 > 1.2, "yes", "no")
ROWS: list[Any] = [
    (int(age), income, city, bool(member))
    for age, income, city, member in FRAME.itertuples(index=False)
]

TABLE = RANDOM.normal(size=(COUNT, 4))
NUMBER = TABLE @ [1.0, -2.0, 0.5, 3.0] + RANDOM.normal(size=COUNT) * 0.1
THREE = np.digitize(NUMBER, [-2, 2])


def columns(numbers: Any = None, texts: Any = None) -> Any:
    """Return a ColumnTransformer of the frame."""
    numbers, texts = numbers or StandardScaler(), texts or OneHotEncoder(handle_unknown="ignore")
    parts = [("numbers", numbers, ["age", "income"]), ("texts", texts, ["city", "member"])]
    return ColumnTransformer(parts)


def pipeline(last: Any, first: Any = None, y: Any = LABEL) -> Any:
    """Return a pipeline that is fitted on the frame."""
    return Pipeline([("columns", first or columns()), ("model", last)]).fit(FRAME, y)

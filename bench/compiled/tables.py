"""The small tables on which the estimators of the corpus are fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

RANDOM = np.random.default_rng(0)
COUNT = 240
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, COUNT).astype(float),
        "income": RANDOM.normal(50_000, 15_000, COUNT).round(2),
        "city": RANDOM.choice(["Bern", "Genf", "Zug"], COUNT),
        "member": RANDOM.random(COUNT) < 0.5,
    }
)
SCORE = FRAME.age / 80 + FRAME.income / 1e5 + (FRAME.city == "Bern") * 0.3 + FRAME.member * 0.1
LABELS = np.where(SCORE + RANDOM.normal(size=COUNT) * 0.1 > 1.3, "yes", "no")
TARGET = (SCORE * 100 + RANDOM.normal(size=COUNT)).to_numpy()
GAPS = FRAME.assign(
    age=FRAME.age.mask(RANDOM.random(COUNT) < 0.1),
    city=FRAME.city.mask(RANDOM.random(COUNT) < 0.1),
)

TABLE = RANDOM.normal(size=(COUNT, 4)) @ RANDOM.normal(size=(4, 4)) + 3
THREE = np.array(["high", "low", "mid"])[np.digitize(TABLE @ [1, -1, 0.5, 0.2], [2.0, 4.0])]
NUMBERS = TABLE @ [1.5, -2.0, 0.5, 3.0] + RANDOM.normal(size=COUNT) * 0.1
COUNTS = np.abs(TABLE).round()

Fitted = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class CorpusEntry:
    """An estimator or a pipeline of the corpus. `fit` returns it, fitted."""

    group: str
    name: str
    fit: Fitted


def two(*estimators: Any) -> list[tuple[str, Any]]:
    """Return two estimators with names, as ensembles take them."""
    return list(zip("ab", estimators, strict=True))

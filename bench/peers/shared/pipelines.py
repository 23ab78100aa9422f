"""`python pipelines.py FOLDER` fits the pipelines that contestants serve, and writes each as
`<model>.joblib`, and as `<model>.onnx` where a converter knows all of its steps.

Data and fits have fixed seeds, so each run of the harness serves the same models.
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from ratios import Ratios
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 1000
NUMBERS, TEXTS = ["age", "income"], ["city", "plan"]
CITIES = ["Amsterdam", "Rotterdam", "Den Haag", "Utrecht", "Eindhoven", "Groningen"]
PLANS = ["basic", "family", "business"]


def customers() -> tuple[pd.DataFrame, np.ndarray]:
    """Customers, and whether each has left: it depends on all columns, and on chance."""
    random = np.random.default_rng(0)
    x = pd.DataFrame({
        "age": random.integers(18, 90, ROWS), "income": random.normal(40_000, 12_000, ROWS),
        "city": random.choice(CITIES, ROWS), "plan": random.choice(PLANS, ROWS),
    })  # fmt: skip
    odds = (
        (x["age"] - 50) / 20
        - (x["income"] - 40_000) / 15_000
        + (x["plan"] == "basic")
        + (x["city"] == "Utrecht")
        + random.logistic(size=ROWS)
    )
    return x, (odds > 0).to_numpy().astype(int)


def pipeline(estimator: object) -> Pipeline:
    columns = ColumnTransformer([
        ("numbers", StandardScaler(), NUMBERS),
        ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS),
    ])  # fmt: skip
    return Pipeline([("columns", columns), ("estimator", estimator)])


def main() -> None:
    """Write all files."""
    folder = Path(sys.argv[1])
    x, y = customers()
    inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    inputs += [(name, StringTensorType([None, 1])) for name in TEXTS]
    estimators = {
        "logistic": LogisticRegression(max_iter=1000),
        "forest": RandomForestClassifier(100, random_state=0),
    }
    for name, estimator in estimators.items():
        fitted = pipeline(estimator).fit(x, y)
        joblib.dump(fitted, folder / f"{name}.joblib")
        graph = to_onnx(fitted, initial_types=inputs, options={"zipmap": False})
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
    custom = Pipeline([
        ("scale", StandardScaler()), ("ratios", Ratios()), ("estimator", LogisticRegression()),
    ])  # fmt: skip
    joblib.dump(custom.fit(x[NUMBERS], y), folder / "custom.joblib")


if __name__ == "__main__":
    main()

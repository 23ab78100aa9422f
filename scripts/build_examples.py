"""Makes the artefacts of the examples in models_serve/: `python -m scripts.build_examples
[FOLDER]`.

Same seed, same data, same predictions at each run; run it again after an update of scikit-learn.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 7


def dummy_example(folder: Path) -> None:
    """Price of a house: a linear regression on invented sales, and the list of variables it was
    fitted on.
    """
    random = np.random.default_rng(SEED)
    houses = pd.DataFrame(
        {
            "area": random.uniform(30, 250, 400),
            "rooms": random.integers(1, 8, 400),
            "age": random.uniform(0, 80, 400),
            "garden": random.integers(0, 2, 400),
        }
    )
    price = 40_000 + houses @ np.array([2_400, 6_000, -450, 25_000]) + random.normal(0, 5_000, 400)
    _pickle(LinearRegression().fit(houses, price), folder / "model.pkl")
    _pickle(list(houses.columns), folder / "variables.pkl")


def iris(folder: Path) -> None:
    """Species of an iris: scaled logistic regression on the data that scikit-learn brings; its
    `train` fits a tree on the same data, with the names that the species have in most copies.
    """
    data = load_iris()
    flowers = pd.DataFrame(
        data.data, columns=["sepal_length", "sepal_width", "petal_length", "petal_width"]
    )
    species = data.target_names[data.target]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    joblib.dump(model.fit(flowers, species), folder / "model.joblib")
    flowers.assign(species=[f"Iris-{name}" for name in species]).to_csv(
        folder / "iris.csv", index=False
    )


def churn(folder: Path) -> None:
    """Churn of a customer: scaled logistic regression on invented customers; columns as in
    Churn/features.py.
    """
    random = np.random.default_rng(SEED)
    tenure = random.integers(0, 120, 2_000)
    charges = random.gamma(4, 15, 2_000)
    contract = random.choice(3, 2_000, p=[0.5, 0.3, 0.2])
    calls = random.poisson(1.2, 2_000)
    features = np.column_stack([tenure, charges, contract == 0, contract == 2, calls])
    odds = (
        -2.2
        - 0.025 * tenure
        + 0.012 * charges
        + 1.1 * (contract == 0)
        - 0.9 * (contract == 2)
        + 0.55 * calls
    )
    left = random.random(2_000) < 1 / (1 + np.exp(-odds))
    joblib.dump(
        make_pipeline(StandardScaler(), LogisticRegression()).fit(features, left),
        folder / "model.joblib",
    )


def wine(folder: Path) -> None:
    """Grape of a wine: naive Bayes, fitted on a DataFrame, whose names are all that its requests
    need: no code.
    """
    data = load_wine(as_frame=True)
    measured = data.data[["alcohol", "malic_acid", "color_intensity", "proline"]]
    grapes = np.array(["Barbera", "Barolo", "Grignolino"])[data.target.map({0: 1, 1: 2, 2: 0})]
    joblib.dump(GaussianNB().fit(measured, grapes), folder / "model.joblib")


def passengers(folder: Path) -> None:
    """Who survived the Titanic: a pipeline whose first step selects columns, of which some values
    are missing. Its titanic.csv is data.
    """
    people = pd.read_csv(folder / "titanic.csv")
    columns = make_column_transformer(
        (OneHotEncoder(), ["class", "sex"]),
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["embarked"]),
    )
    steps = [("columns", columns), ("regression", LogisticRegression())]
    survived = np.array(["no", "yes"])[people["survived"]]
    _pickle(Pipeline(steps).fit(people, survived), folder / "pipeline.pkl")


def _pickle(value: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(value, protocol=5))


BUILDERS = {
    "DummyExample": dummy_example,
    "Iris": iris,
    "Churn": churn,
    "Wine": wine,
    "Pipeline": passengers,
}
"""Exchange has no artefact: its rates.csv is data. Linear is fitted by its users."""


def main(folder: Path) -> None:
    """Build every artefact into the model folders under `folder`."""
    for name, build in BUILDERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        build(folder / name)
        print(f"built {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "models_serve")

"""Tells the species of an iris from four measurements in centimetres; learns it from iris.csv."""

from typing import Annotated

import joblib
import pandas as pd
from pydantic import Field
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier

MEASUREMENTS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]

Centimetres = Annotated[float, Field(gt=0, lt=100)]


class Iris:
    def __init__(self, path):
        self.flowers = path + "iris.csv"
        self.model = joblib.load(path + "model.joblib")  # until train() has been called

    def train(self):
        """A decision tree, and how often it is right about flowers that it has not seen."""
        flowers = pd.read_csv(self.flowers)
        x, y = flowers[MEASUREMENTS], flowers["species"]
        tree = DecisionTreeClassifier(random_state=7)
        return tree.fit(x, y), {"accuracy": cross_val_score(tree, x, y).mean().round(4)}

    def transform_predict(
        self,
        sepal_length: Centimetres,
        sepal_width: Centimetres,
        petal_length: Centimetres,
        petal_width: Centimetres,
    ):
        """Species and probabilities of one flower, measured in centimetres."""
        flower = [[sepal_length, sepal_width, petal_length, petal_width]]
        probabilities = self.model.predict_proba(pd.DataFrame(flower, columns=MEASUREMENTS))[0]
        species = [name.removeprefix("Iris-") for name in self.model.classes_]
        return {
            "species": species[probabilities.argmax()],
            "probabilities": dict(zip(species, probabilities.round(4), strict=True)),
        }

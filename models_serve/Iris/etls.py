"""Tells the species of an iris from four measurements."""

import joblib


class Iris:
    def __init__(self, path):
        self.model = joblib.load(path + "model.joblib")

    def transform_predict(
        self,
        sepal_length: float,
        sepal_width: float,
        petal_length: float,
        petal_width: float,
    ):
        """Species and probabilities of one flower, measured in centimetres."""
        row = [[sepal_length, sepal_width, petal_length, petal_width]]
        probabilities = self.model.predict_proba(row)[0].round(4)
        return {
            "species": self.model.classes_[probabilities.argmax()],
            "probabilities": dict(zip(self.model.classes_, probabilities, strict=True)),
        }

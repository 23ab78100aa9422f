"""Tells whether a passenger of the Titanic survived; `modelsync train Titanic` trains it daily."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


class Titanic:
    incoming = "incoming/{date}*.csv"  # what a day brings
    table = "titanic"  # where all days are kept
    source = ("titanic", "titanic.csv")  # that table, or the shipped file where there is none
    metric = "accuracy"  # a version serves if this is not worse than before

    def train(self, data):
        """Fit with the rows of the source, which have passed schema.yml."""
        encoded = [name for name, column in self.schema.items() if column["encoding"]]
        encoder = OneHotEncoder(handle_unknown="ignore")
        model = make_pipeline(
            make_column_transformer((encoder, encoded), remainder="passthrough"),
            GradientBoostingClassifier(random_state=1),
        )
        return model.fit(data.drop(columns="survived"), data["survived"])

    def transform_predict(self, variables):
        """Whether a passenger survived, and how probable that is."""
        passenger = pd.DataFrame([variables])
        probability = self.model.predict_proba(passenger[self.model.feature_names_in_])[0, 1]
        return {"survived": bool(probability >= 0.5), "probability": round(float(probability), 4)}

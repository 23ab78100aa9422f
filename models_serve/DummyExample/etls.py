"""House prices by the original convention: class `transform_predict` gets a DataFrame.

It has one row, or one for each object if `variables` is a list.
"""

import pickle

import modelsync


class transform_predict:
    def __init__(self, path):
        with open(path + "model.pkl", "rb") as file:
            self.model = modelsync.compiled(pickle.load(file))
        with open(path + "variables.pkl", "rb") as file:
            self.variables = pickle.load(file)

    def transform_predict(self, df):
        df = df.reindex(columns=self.variables, fill_value=0)
        prices = self.model.predict(df)
        answers = [{"price": round(float(price), 2), "currency": "EUR"} for price in prices]
        return answers if len(answers) > 1 else answers[0]

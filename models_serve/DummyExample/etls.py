"""House prices by the original convention: class `transform_predict` gets a one-row DataFrame."""

import pickle


class transform_predict:
    def __init__(self, path):
        with open(path + "model.pkl", "rb") as file:
            self.model = pickle.load(file)
        with open(path + "variables.pkl", "rb") as file:
            self.variables = pickle.load(file)

    def transform_predict(self, df):
        df = df.reindex(columns=self.variables, fill_value=0)
        price = self.model.predict(df)[0]
        return {"price": round(float(price), 2), "currency": "EUR"}

"""How likely a customer is to leave within the next three months."""

import joblib
from features import Customer, as_row

import modelsync


class Churn:
    def __init__(self, path):
        self.model = modelsync.compiled(joblib.load(path + "model.joblib"))

    def transform_predict(self, customer: Customer):
        """Probability of churn, the risk band it falls into, and what drives it most."""
        row = as_row(customer)
        probability = float(self.model.predict_proba([list(row.values())])[0, 1])
        return {
            "probability": round(probability, 4),
            "risk": "high" if probability >= 0.5 else "medium" if probability >= 0.2 else "low",
            "main_driver": self.main_driver(row),
        }

    def main_driver(self, row):
        scaler, regression = self.model[0], self.model[-1]
        contributions = scaler.transform([list(row.values())])[0] * regression.coef_[0]
        return list(row)[contributions.argmax()]

"""The Flask application behind two servers."""

from flask import Flask, request
from twomodels import FEATURES, classify, iris, score

app = Flask(__name__)
iris()


@app.post("/score")
def predict_score() -> dict[str, float]:
    variables = request.get_json()["variables"]
    return score(variables["a"], variables["b"])


@app.post("/iris")
def predict_iris() -> dict[str, object]:
    variables = request.get_json()["variables"]
    return classify([variables[name] for name in FEATURES])

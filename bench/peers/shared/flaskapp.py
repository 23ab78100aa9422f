"""The Flask application behind two servers."""

from flask import Flask, request
from twomodels import FEATURES, classify, iris, score

app = Flask(__name__)
iris()


@app.post("/score")
def predict_score() -> dict[str, float]:
    variables = request.get_json()["variables"]
    found: dict[str, float] = score(variables["a"], variables["b"])
    return found


@app.post("/iris")
def predict_iris() -> dict[str, object]:
    variables = request.get_json()["variables"]
    found: dict[str, object] = classify([variables[name] for name in FEATURES])
    return found

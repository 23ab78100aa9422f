"""Saves a model with MLflow, typed as its documentation has it, and serves it with `mlflow models
serve`.
"""

import os
import sys
from pathlib import Path

import mlflow

SCORE = """
import mlflow
from pydantic import BaseModel
from twomodels import score

class Numbers(BaseModel):
    a: float
    b: float

class Score(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[Numbers]) -> list[dict]:
        return [score(one.a, one.b) for one in model_input]

mlflow.models.set_model(Score())
"""

IRIS = """
import mlflow
from pydantic import BaseModel
from twomodels import FEATURES, classify, iris

class Flower(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float

class Iris(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        iris()

    def predict(self, model_input: list[Flower]) -> list[dict]:
        return [classify([getattr(one, name) for name in FEATURES]) for one in model_input]

mlflow.models.set_model(Iris())
"""

if __name__ == "__main__":
    model, port, workers, work = sys.argv[1:]
    code = Path(work, f"{model}.py")
    code.write_text({"score": SCORE, "iris": IRIS}[model])
    mlflow.pyfunc.save_model(f"{work}/model", python_model=str(code), pip_requirements=[])
    program = str(Path(sys.executable).with_name("mlflow"))
    arguments = [
        "models", "serve", "-m", f"{work}/model", "--env-manager", "local", "-h", "127.0.0.1", "-p",
        port,
        "-w", workers,
    ]  # fmt: skip
    os.execv(program, [program, *arguments])

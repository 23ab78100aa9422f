"""FastAPI as its documentation has it: typed bodies, and typed results, which pydantic writes as
JSON.
"""

from fastapi import FastAPI
from pydantic import BaseModel
from twomodels import classify, iris, score

app = FastAPI(openapi_url=None)
iris()


class Numbers(BaseModel):
    a: float
    b: float


class ScoreRequest(BaseModel):
    variables: Numbers


class Score(BaseModel):
    score: float


class Flower(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


class IrisRequest(BaseModel):
    variables: Flower


class Species(BaseModel):
    prediction: int
    probabilities: list[float]


@app.post("/score")
async def predict_score(request: ScoreRequest) -> Score:
    return Score(**score(request.variables.a, request.variables.b))


@app.post("/iris")
async def predict_iris(request: IrisRequest) -> Species:
    flower = request.variables
    return Species(
        **classify(
            [flower.sepal_length, flower.sepal_width, flower.petal_length, flower.petal_width]
        )
    )

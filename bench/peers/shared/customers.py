"""What the two FastAPI applications with a pipeline take and give."""

from pydantic import BaseModel


class Customer(BaseModel):
    age: int
    income: float
    city: str
    plan: str


class CustomerRequest(BaseModel):
    variables: Customer


class Prediction(BaseModel):
    prediction: int
    probabilities: list[float]

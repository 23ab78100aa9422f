"""FastAPI with a pickled pipeline: a DataFrame of one row for each request."""

import os
from pathlib import Path

import joblib
import pandas as pd
from customers import CustomerRequest, Prediction
from fastapi import FastAPI

app = FastAPI(openapi_url=None)
pipeline = joblib.load(Path(os.environ["ARTEFACT"]))


@app.post("/" + os.environ["MODEL"])
async def predict(request: CustomerRequest) -> Prediction:
    frame = pd.DataFrame([request.variables.model_dump()])
    probabilities = pipeline.predict_proba(frame)[0]
    label = pipeline.classes_[probabilities.argmax()]
    return Prediction(prediction=label, probabilities=probabilities.tolist())

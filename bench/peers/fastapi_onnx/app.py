"""FastAPI that runs the pipeline's ONNX file itself: onnxruntime with one thread, and numpy."""

import os

import numpy as np
import onnxruntime
from customers import CustomerRequest, Prediction
from fastapi import FastAPI

app = FastAPI(openapi_url=None)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(
    os.environ["ARTEFACT"], options, providers=["CPUExecutionProvider"]
)


@app.post("/" + os.environ["MODEL"])
async def predict(request: CustomerRequest) -> Prediction:
    customer = request.variables
    labels, probabilities = session.run(
        None,
        {
            "age": np.array([[customer.age]], dtype=np.float32),
            "income": np.array([[customer.income]], dtype=np.float32),
            "city": np.array([[customer.city]], dtype=object),
            "plan": np.array([[customer.plan]], dtype=object),
        },
    )
    return Prediction(prediction=labels[0], probabilities=probabilities[0].tolist())

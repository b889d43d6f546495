"""The tutorial's application for iris, as a beginner writes it; labels in a list instead of a pickle."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"])
features = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


class Iris(BaseModel):
    sepal_length: float
    sepal_width: float
    petal_length: float
    petal_width: float


@app.post("/predict")
def predict(iris: Iris):
    row = np.array([[getattr(iris, name) for name in features]], dtype=np.float32)
    label = session.run(None, {"X": row})[0][0]
    return {"prediction": str(label)}


@app.post("/predict_many")
def predict_many(flowers: list[Iris]):
    rows = np.array([[getattr(f, name) for name in features] for f in flowers], dtype=np.float32)
    labels = session.run(None, {"X": rows})[0]
    return [{"prediction": str(label)} for label in labels]

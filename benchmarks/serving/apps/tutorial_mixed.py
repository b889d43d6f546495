"""The tutorial's application for a pipeline of numbers and texts: the joblib file and a DataFrame a request."""

import os

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
pipeline = joblib.load(os.environ["BENCH_MODEL"])


class Customer(BaseModel):
    n0: float | None
    n1: float | None
    n2: float | None
    n3: float | None
    n4: float | None
    n5: float | None
    n6: float | None
    n7: float | None
    n8: float | None
    n9: float | None
    n10: float | None
    n11: float | None
    n12: float | None
    n13: float | None
    n14: float | None
    n15: float | None
    n16: float | None
    n17: float | None
    n18: float | None
    n19: float | None
    t0: str | None
    t1: str | None
    t2: str | None
    t3: str | None
    t4: str | None
    t5: str | None
    t6: str | None
    t7: str | None
    t8: str | None
    t9: str | None


@app.post("/predict")
def predict(customer: Customer):
    table = pd.DataFrame([customer.model_dump()]).fillna(np.nan)
    return {"prediction": str(pipeline.predict(table)[0])}

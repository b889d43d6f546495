"""The model as every peer runs it: rows to one array, one call, labels and probabilities. One thread."""

import os

import numpy as np
import onnxruntime

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
LABELS = ("setosa", "versicolor", "virginica")


def open_model():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["BENCH_ONNX"], options)


def predict(session, rows):
    """Answers to a list of rows, each a dict."""
    values = np.array([[row[name] for name in FEATURES] for row in rows], dtype=np.float64)
    codes, probabilities = session.run(("code", "proba"), {"num": values})
    return [
        {"prediction": LABELS[code], "probabilities": dict(zip(LABELS, row, strict=True))}
        for code, row in zip(codes.tolist(), probabilities.tolist(), strict=True)
    ]

"""Boosters through what else there is: onnxmltools for XGBoost and LightGBM, CatBoost's own export; and treelite's
reference evaluator, which reads a booster without ONNX.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import treelite
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from onnxport.export.libraries import library_of

LIBRARIES = ("xgboost", "lightgbm", "catboost")
TREELITE = ("xgboost", "lightgbm")


def is_booster(model: Any) -> bool:
    return library_of(type(model)) in LIBRARIES


def booster_session(model: Any, seen: Any) -> Any:
    """The graph that the public converter makes, open in ONNX Runtime."""
    types = [("X", FloatTensorType([None, seen.shape[1]]))]
    library = library_of(type(model))
    if library == "xgboost":
        content = convert_xgboost(model, initial_types=types).SerializeToString()
    elif library == "lightgbm":
        content = convert_lightgbm(model, initial_types=types, zipmap=False).SerializeToString()
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.onnx"
            model.save_model(str(path), format="onnx")
            content = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns of wrong shapes with every run
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def ask_booster(session: Any, X: Any) -> list[Any]:
    """Labels and probabilities, or values; a list of mappings as a matrix."""
    [known] = session.get_inputs()
    given = session.run(None, {known.name: as_matrix(X).astype(np.float32)})
    return [
        np.array([list(row.values()) for row in part])
        if isinstance(part, list) and part and isinstance(part[0], dict)
        else part
        for part in given
    ]


def as_matrix(X: Any) -> Any:
    """Doubles [rows, columns], categories as their codes and NaN for what is missing."""
    if not isinstance(X, pd.DataFrame):
        return np.asarray(X, dtype=np.float64)
    return np.column_stack([_numbers(X[name]) for name in X.columns])


def _numbers(column: Any) -> Any:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy(np.float64)
        return np.where(codes < 0, np.nan, codes)
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        raise TypeError(f"could not convert the strings of {column.name!r} to float")
    return column.to_numpy(np.float64)


def ask_treelite(model: Any, X: Any) -> Any:
    """What treelite's reference evaluator answers: [rows, answers a row]."""
    if library_of(type(model)) == "xgboost":
        matrix = as_matrix(X).astype(np.float32)
        tree_model = treelite.frontend.from_xgboost(model.get_booster())
    else:
        matrix = as_matrix(X)
        tree_model = treelite.frontend.from_lightgbm(model.booster_)
    return treelite.gtil.predict(tree_model, matrix).reshape(len(matrix), -1)

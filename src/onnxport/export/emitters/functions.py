"""Functions of columns: those of FunctionTransformer, and polynomials.

Source: `sklearn/preprocessing/_function_transformer.py`, `_polynomial.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Refusal,
    emits,
    finite_only,
    numbers_only,
)


def _function_check(estimator: Any) -> Refusal | None:
    if estimator.func is None:
        return None
    return Refusal(
        "func",
        "a function of Python's can't be carried into the graph yet",
        "Compute the column before calling the model, or use a scaler.",
    )


@emits(preprocessing.FunctionTransformer, check=_function_check)
def emit_function(_emission: Emission, _estimator: Any, columns: Columns) -> Columns:
    """No function: the identity."""
    return columns


@emits(preprocessing.PolynomialFeatures)
def emit_polynomial(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Products of columns, each from a shorter product times one column."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    graph = emission.graph
    x = graph.matrix(columns)
    factors = [np.repeat(np.arange(len(row)), row).tolist() for row in estimator.powers_]
    product = _ones_like(emission, x, len(factors))
    for place in range(max((len(f) for f in factors), default=0)):
        column = [f[place] if place < len(f) else len(columns) for f in factors]
        padded = graph.node("Concat", x, _ones_like(emission, x, 1), axis=1)
        taken = graph.node("Gather", padded, graph.integers(column), axis=1)
        product = graph.node("Mul", product, taken)
    return number_columns(product, len(factors), exact=False)


def _ones_like(emission: Emission, x: str, width: int) -> str:
    """A [N, width] tensor of ones, N taken from x."""
    graph = emission.graph
    rows = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([width]), axis=0)
    return graph.node("Expand", graph.constant(1.0), shape)

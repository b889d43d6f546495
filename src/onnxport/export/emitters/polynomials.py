"""Polynomials of columns.

Source: `sklearn/preprocessing/_polynomial.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    Emission,
    emits,
    finite_only,
    numbers_only,
)


@emits(preprocessing.PolynomialFeatures)
def emit_polynomial(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Products of columns, each from a shorter product times one column, the last one first: so the
    library multiplies dense columns.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    x = graph.matrix(columns)
    padded = graph.node("Concat", x, _ones_like(emission, x, 1), axis=1)
    factors = [np.repeat(np.arange(len(row)), row).tolist()[::-1] for row in estimator.powers_]
    product = _ones_like(emission, x, len(factors))
    for place in range(max((len(f) for f in factors), default=0)):
        column = [f[place] if place < len(f) else len(columns) for f in factors]
        taken = graph.node("Gather", padded, graph.integers(column), axis=1)
        product = graph.node("Mul", product, taken)
        product = graph.rounded(product) if columns.single else product
    dtype = "float32" if columns.single else "float64"
    return number_columns(product, len(factors), dtype=dtype, exact=columns.exact)


def _ones_like(emission: Emission, x: str, width: int) -> str:
    """A [N, width] tensor of ones, N taken from x."""
    graph = emission.graph
    rows = graph.node("Shape", x, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([width]), axis=0)
    return graph.node("Expand", graph.constant(1.0), shape)

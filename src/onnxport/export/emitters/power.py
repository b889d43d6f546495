"""Power transforms.

Sources: `sklearn/preprocessing/_data.py`; `_yeojohnson_transform` in `scipy/stats/_morestats.py`;
`scipy/special/_boxcox.pxd`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.elementary import expm1, log1p
from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    emit_transformer,
    emits,
    not_infinite,
    numbers_only,
    refuse_rows,
)

_NO_POWER = 1e-19  # of boxcox's exponents, what scipy takes for 0
_MOST = 709.78  # log of the largest double, as scipy rounds it


@emits(preprocessing.PowerTransformer)
def emit_power(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Yeo-Johnson's or Box-Cox's power of each column, scaled where asked."""
    numbers_only(emission, estimator, columns)
    not_infinite(emission, columns)
    graph = emission.graph
    x = graph.matrix(columns)
    lambdas = np.asarray(estimator.lambdas_, dtype=np.float64)
    if estimator.method == "box-cox":
        refuse_rows(emission, graph.node("LessOrEqual", x, graph.constant(0.0)))
        x = _box_cox(emission, x, lambdas)
    else:
        x = _yeo_johnson(emission, x, lambdas)
    if columns.single:
        emission.relax(TOLERANT_BAR)
        x = graph.rounded(x)
    dtype = "float32" if columns.single else "float64"
    powered = number_columns(x, len(columns), dtype=dtype, exact=False)
    if estimator.standardize:
        return emit_transformer(emission, estimator._scaler, powered)
    return powered


def _yeo_johnson(emission: Emission, x: str, lambdas: np.ndarray[Any, Any]) -> str:
    """((x + 1)^λ - 1) / λ, and of negative x -((1 - x)^(2-λ) - 1) / (2 - λ) (Yeo and Johnson,
    2000).
    """
    graph = emission.graph
    grown = log1p(graph, graph.node("Abs", x))
    negative = graph.node("Less", x, graph.constant(0.0))
    eps = np.finfo(np.float64).eps
    above = _power(emission, grown, lambdas, np.abs(lambdas) < eps)
    below = _power(emission, grown, 2 - lambdas, np.abs(lambdas - 2) <= eps)
    return graph.node("Where", negative, graph.node("Neg", below), above)


def _power(
    emission: Emission, log: str, powers: np.ndarray[Any, Any], none: np.ndarray[Any, Any]
) -> str:
    """(exp(power · log) - 1) / power, or log itself where there is no power."""
    graph = emission.graph
    powers = np.where(none, 1.0, powers)
    grown = expm1(graph, graph.node("Mul", log, graph.constant(powers)))
    grown = graph.node("Div", grown, graph.constant(powers))
    return graph.node("Where", graph.constant(none, bool), log, grown)


def _box_cox(emission: Emission, x: str, lambdas: np.ndarray[Any, Any]) -> str:
    """(x^λ - 1) / λ (Box and Cox, 1964); where x^λ alone would overflow, by its logarithm."""
    graph = emission.graph
    none = np.abs(lambdas) < _NO_POWER
    powers = np.where(none, 1.0, lambdas)
    log = graph.node("Log", x)
    usual = _power(emission, log, lambdas, none)
    exponent = graph.node("Mul", log, graph.constant(powers))
    shrunk = graph.node("Sub", exponent, graph.constant(np.log(np.abs(powers))))
    signed = graph.node("Mul", graph.node("Exp", shrunk), graph.constant(np.sign(powers)))
    large = graph.node("Sub", signed, graph.constant(1.0 / powers))
    far = graph.node("GreaterOrEqual", exponent, graph.constant(_MOST))
    far = graph.node("And", far, graph.constant(~none, bool))
    return graph.node("Where", far, large, usual)

"""Regressors of a transformed target: the inverse of the transformation behind the regressor.

Sources: `sklearn/compose/_target.py`; `inverse_transform` in `sklearn/preprocessing/_data.py` and
`_function_transformer.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import preprocessing
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from onnxport.export.graph import Columns, Graph, number_columns
from onnxport.export.interpolation import interpolated
from onnxport.export.members import valued
from onnxport.export.registry import Emission, Refusal, Valued, emits, finite_only


def _inverse_check(estimator: Any) -> Refusal | None:
    inverse = _unknown_inverse(estimator.transformer_)
    if inverse is None:
        return None
    if estimator.transformer is None:
        return Refusal(
            "inverse_func",
            f"{inverse} isn't known to convert",
            "Use one of numpy's own: exp, expm1, exp2, log, sqrt, square, absolute, negative or "
            "reciprocal.",
        )
    return Refusal(
        "transformer",
        f"the inverse of {inverse} isn't known to convert",
        "Use StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer, "
        "QuantileTransformer with output_distribution='uniform', or a FunctionTransformer.",
    )


def _unknown_inverse(transformer: Any) -> str | None:
    """What of a transformer can't be inverted, or None."""
    if isinstance(transformer, Pipeline):
        steps = (
            _unknown_inverse(s) for _, s in transformer.steps if s not in (None, "passthrough")
        )
        return next((step for step in steps if step), None)
    if type(transformer) is preprocessing.FunctionTransformer:
        function = transformer.inverse_func
        if _known(function) and not transformer.inv_kw_args:
            return None
        return str(getattr(function, "__name__", "its inverse_func"))
    if type(transformer) is preprocessing.QuantileTransformer:
        normal = transformer.output_distribution == "normal"
        return "a QuantileTransformer to the normal distribution" if normal else None
    return None if type(transformer) in _INVERSES else type(transformer).__name__


def _known(function: Any) -> bool:
    return function is None or any(function is known for known in _FUNCTIONS)


@emits(TransformedTargetRegressor, check=_inverse_check)
def emit_transformed_target(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The regressor's answer, transformed back."""
    value = valued(emission, estimator.regressor_, columns, "regressor_")
    return Valued(_inverted(emission, estimator.transformer_, value))


def _inverted(emission: Emission, transformer: Any, y: str) -> str:
    """y [N, targets] before the transformer; rows are refused where the library refuses infinity."""
    if isinstance(transformer, Pipeline):
        for _, step in reversed(transformer.steps):
            y = y if step in (None, "passthrough") else _inverted(emission, step, y)
        return y
    if getattr(transformer, "validate", True):
        finite_only(emission, number_columns(y, 1))
    return _INVERSES[type(transformer)](emission, transformer, y)


def _less_one(graph: Graph, y: str) -> str:
    """exp(y) - 1: nothing comes behind it to which its rounding near 0 would matter."""
    return graph.node("Sub", graph.node("Exp", y), graph.constant(1.0))


def _node(op: str) -> Callable[[Graph, str], str]:
    return lambda graph, y: graph.node(op, y)


_FUNCTIONS: dict[Any, Callable[[Graph, str], str]] = {
    np.exp: _node("Exp"),
    np.expm1: _less_one,
    np.exp2: lambda graph, y: graph.node("Pow", graph.constant(2.0), y),
    np.log: _node("Log"),
    np.sqrt: _node("Sqrt"),
    np.square: lambda graph, y: graph.node("Mul", y, y),
    np.absolute: _node("Abs"),
    np.negative: _node("Neg"),
    np.reciprocal: _node("Reciprocal"),
}


def _function(emission: Emission, transformer: Any, y: str) -> str:
    if transformer.inverse_func is None:
        return y
    return _FUNCTIONS[transformer.inverse_func](emission.graph, y)


def _scaled_back(emission: Emission, y: str, scale: Any, shift: Any) -> str:
    graph = emission.graph
    if scale is not None:
        y = graph.node("Mul", y, graph.constant(np.ravel(scale)))
    return y if shift is None else graph.node("Add", y, graph.constant(np.ravel(shift)))


def _standard(emission: Emission, scaler: Any, y: str) -> str:
    return _scaled_back(emission, y, scaler.scale_, scaler.mean_ if scaler.with_mean else None)


def _robust(emission: Emission, scaler: Any, y: str) -> str:
    scale = scaler.scale_ if scaler.with_scaling else None
    return _scaled_back(emission, y, scale, scaler.center_ if scaler.with_centering else None)


def _max_abs(emission: Emission, scaler: Any, y: str) -> str:
    return _scaled_back(emission, y, scaler.scale_, None)


def _min_max(emission: Emission, scaler: Any, y: str) -> str:
    graph = emission.graph
    moved = graph.node("Sub", y, graph.constant(scaler.min_))
    return graph.node("Div", moved, graph.constant(scaler.scale_))


def _by_column(emission: Emission, y: str, width: int, inverse: Callable[[int, str], str]) -> str:
    """Each target by its own function of [N, 1]."""
    if width == 1:
        return inverse(0, y)
    graph = emission.graph
    columns = [graph.node("Gather", y, graph.integers([i]), axis=1) for i in range(width)]
    return graph.node("Concat", *(inverse(i, c) for i, c in enumerate(columns)), axis=1)


def _quantile(emission: Emission, transformer: Any, y: str) -> str:
    """numpy.interp from the references to the quantiles."""
    graph, quantiles = emission.graph, transformer.quantiles_
    y = graph.node("Clip", y, graph.constant(0.0), graph.constant(1.0))
    return _by_column(
        emission,
        y,
        quantiles.shape[1],
        lambda i, c: interpolated(emission, c, transformer.references_, quantiles[:, i]),
    )


def _power(emission: Emission, transformer: Any, y: str) -> str:
    """Box and Cox (1964), or Yeo and Johnson (2000)."""
    if transformer.standardize:
        y = _standard(emission, transformer._scaler, y)
    lambdas = [float(value) for value in transformer.lambdas_]
    inverse = _box_cox if transformer.method == "box-cox" else _yeo_johnson
    return _by_column(
        emission, y, len(lambdas), lambda i, c: inverse(emission.graph, lambdas[i], c)
    )


def _box_cox(graph: Graph, power: float, y: str) -> str:
    if power == 0:
        return graph.node("Exp", y)
    base = graph.node("Add", graph.node("Mul", y, graph.constant(power)), graph.constant(1.0))
    logarithm = graph.node("Log", base)
    return graph.node("Exp", graph.node("Div", logarithm, graph.constant(power)))


def _yeo_johnson(graph: Graph, power: float, y: str) -> str:
    one, zero = graph.constant(1.0), graph.constant(0.0)
    tiny = np.spacing(1.0)
    above = graph.node("Max", y, zero)
    if abs(power) < tiny:
        above = graph.node("Exp", above)
    else:
        base = graph.node("Add", graph.node("Mul", above, graph.constant(power)), one)
        above = graph.node("Pow", base, graph.constant(1.0 / power))
    below = graph.node("Min", y, zero)
    if abs(power - 2.0) > tiny:
        base = graph.node("Add", graph.node("Mul", below, graph.constant(power - 2.0)), one)
        below = graph.node("Pow", base, graph.constant(1.0 / (2.0 - power)))
    else:
        below = graph.node("Exp", graph.node("Neg", below))
    positive = graph.node("GreaterOrEqual", y, zero)
    return graph.node(
        "Where", positive, graph.node("Sub", above, one), graph.node("Sub", one, below)
    )


_INVERSES: dict[type, Callable[[Emission, Any, str], str]] = {
    preprocessing.StandardScaler: _standard,
    preprocessing.MinMaxScaler: _min_max,
    preprocessing.MaxAbsScaler: _max_abs,
    preprocessing.RobustScaler: _robust,
    preprocessing.PowerTransformer: _power,
    preprocessing.QuantileTransformer: _quantile,
    preprocessing.FunctionTransformer: _function,
}

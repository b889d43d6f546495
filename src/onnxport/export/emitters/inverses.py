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

from onnxport.export.elementary import log1p
from onnxport.export.emitters.numpy_functions import FUNCTIONS
from onnxport.export.graph import Columns, Graph, number_columns
from onnxport.export.interpolation import interpolated
from onnxport.export.members import valued
from onnxport.export.registry import Emission, Refusal, Valued, emits, finite_only, refuse_rows
from onnxport.export.special import erf

_EDGE = 1e-7  # BOUNDS_THRESHOLD of sklearn/preprocessing/_data.py


def _inverse_check(estimator: Any) -> Refusal | None:
    inverse = _unknown_inverse(estimator.transformer_)
    if inverse is None:
        return None
    if estimator.transformer is None:
        return Refusal(
            "inverse_func",
            f"{inverse} isn't known to convert",
            "Use a function of one number of numpy's itself, such as np.expm1, np.exp or np.square.",
        )
    return Refusal(
        "transformer",
        f"the inverse of {inverse} isn't known to convert",
        "Use StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer, "
        "QuantileTransformer, or a FunctionTransformer with a function of numpy's.",
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
    return None if type(transformer) in _INVERSES else type(transformer).__name__


def _known(function: Any) -> bool:
    return function is None or any(function is known for known in FUNCTIONS)


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
    if type(transformer) is not preprocessing.FunctionTransformer:
        refuse_rows(emission, emission.graph.node("IsInf", y))
    elif transformer.validate:
        finite_only(emission, number_columns(y, 1))
    return _INVERSES[type(transformer)](emission, transformer, y)


def _function(emission: Emission, transformer: Any, y: str) -> str:
    if transformer.inverse_func is None:
        return y
    return FUNCTIONS[transformer.inverse_func].make(emission.graph, y)


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
    """numpy.interp from the references to the quantiles; of a normal output, of its distribution
    function, and the outermost quantile near 0 and 1.
    """
    graph, quantiles = emission.graph, transformer.quantiles_
    normal = transformer.output_distribution == "normal"
    p = _normal_cdf(graph, y) if normal else y
    inside = graph.node("Clip", p, graph.constant(0.0), graph.constant(1.0))
    back = _by_column(
        emission,
        inside,
        quantiles.shape[1],
        lambda i, c: interpolated(emission, c, transformer.references_, quantiles[:, i]),
    )
    if not normal:
        return back
    edge, one = graph.constant(_EDGE), graph.constant(1.0)
    above = graph.node("Greater", graph.node("Add", p, edge), one)
    below = graph.node("Less", graph.node("Sub", p, edge), graph.constant(0.0))
    back = graph.node("Where", above, graph.constant(quantiles[-1]), back)
    return graph.node("Where", below, graph.constant(quantiles[0]), back)


def _normal_cdf(graph: Graph, y: str) -> str:
    """(1 + erf(y / √2)) / 2."""
    bell = erf(graph, graph.node("Mul", y, graph.constant(np.sqrt(0.5))))
    return graph.node("Mul", graph.node("Add", bell, graph.constant(1.0)), graph.constant(0.5))


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
    logarithm = log1p(graph, graph.node("Mul", y, graph.constant(power)))
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

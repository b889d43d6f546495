"""From LightGBM's raw scores to its answers.

Sources: `ConvertOutput` in `src/objective/*_objective.hpp`, `Common::Softmax` in
`include/LightGBM/utils/common.h`, `GBDT::Predict` in `src/boosting/gbdt_prediction.cpp`.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from onnxport.export.boosters.lightgbm_dump import LightModel
from onnxport.export.decisions import pair
from onnxport.export.elementary import log1p
from onnxport.export.graph import Graph
from onnxport.export.registry import Classified

_EXPONENTIAL = ("poisson", "gamma", "tweedie")
_HALF = 1.5 * 2.0**-53
_LOGISTIC = ("binary", "multiclassova", "cross_entropy")


def answers(graph: Graph, raw: str, model: LightModel) -> str:
    """What `Booster.predict` gives, from the sum of the trees: double [N, width]."""
    if model.average:
        raw = graph.node("Div", raw, graph.constant(float(model.iterations)))
    name, options = model.objective, model.options
    if name in _LOGISTIC:
        return _logistic(graph, raw, float(options.get("sigmoid", 1.0)))
    if name == "multiclass":
        return _softmax(graph, raw)
    if name == "cross_entropy_lambda":
        return log1p(graph, graph.node("Exp", raw))
    if name in _EXPONENTIAL:
        return graph.node("Exp", raw)
    if "sqrt" in options:
        signed = graph.node("Mul", graph.node("Sign", raw), raw)
        return graph.node("Mul", signed, raw)
    return raw


def classified(graph: Graph, raw: str, answer: str, model: LightModel) -> Classified:
    """The label is the first of the largest probabilities, as they were rounded: not of the raw scores,
    which may differ where the probabilities are the same.
    """
    if model.width == 1:
        proba = pair(graph, answer)
        if model.objective in _LOGISTIC:
            return Classified(_more_than_half(graph, raw, model), proba, raw)
    else:
        proba = answer
    compared = proba
    if model.linear:  # whose answer to infinity may be NaN, which numpy takes for the largest
        compared = graph.node("Where", graph.node("IsNaN", proba), graph.constant(np.inf), proba)
    return Classified(graph.node("ArgMax", compared, axis=1, keepdims=0), proba, raw)


def _more_than_half(graph: Graph, raw: str, model: LightModel) -> str:
    """1 where 1 / (1 + exp(-z)) exceeds 0.5 as doubles round it: from z > 1.5 · 2^-53 on, where exp(-z)
    leaves 1 - 2^-53. ONNX Runtime's exp differs there between one row and many.
    """
    if model.average:
        raw = graph.node("Div", raw, graph.constant(float(model.iterations)))
    z = graph.node("Mul", raw, graph.constant(float(model.options.get("sigmoid", 1.0))))
    above = graph.cast(graph.node("Greater", z, graph.constant(_HALF)), TensorProto.INT64)
    return graph.node("Squeeze", above, graph.integers([1]))


def _logistic(graph: Graph, raw: str, sigmoid: float) -> str:
    """1 / (1 + exp(-sigmoid · raw))."""
    one = graph.constant(1.0)
    below = graph.node("Exp", graph.node("Mul", raw, graph.constant(-sigmoid)))
    return graph.node("Div", one, graph.node("Add", one, below))


def _softmax(graph: Graph, raw: str) -> str:
    """exp(raw - max) over their sum: in these steps, since equal probabilities are a tie."""
    axes = graph.integers([1])
    shifted = graph.node("Sub", raw, graph.node("ReduceMax", raw, axes, keepdims=1))
    grown = graph.node("Exp", shifted)
    return graph.node("Div", grown, graph.node("ReduceSum", grown, axes, keepdims=1))

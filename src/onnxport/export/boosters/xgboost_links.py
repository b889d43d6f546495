"""From XGBoost's sums to what it answers, in float32 like the library, to the last bit.

Sources: `src/common/math.h` (Sigmoid, Softmax), `src/objective/regression_loss.h`,
`src/objective/multiclass_obj.cu`, `src/objective/hinge.cu`; `sysdeps/ieee754/flt-32/e_expf.c` of
glibc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import TensorProto

from onnxport.export.graph import Graph

_MOST = 88.7  # where the library cuts an exponent, lest it overflow
_PARTS = 32
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_CUBIC = float.fromhex("0x1.c6af84b912394p-5") / _PARTS**3
_SQUARE = float.fromhex("0x1.ebfce50fac4f3p-3") / _PARTS**2
_LINEAR = float.fromhex("0x1.62e42ff0c52d6p-1") / _PARTS


def sigmoid(graph: Graph, raw: str) -> str:
    """1 / (1 + exp(-raw)), float32."""
    below = graph.node("Min", graph.node("Neg", raw), graph.constant(_MOST, np.float32))
    one = graph.constant(1.0, np.float32)
    return graph.node("Div", one, graph.node("Add", exponential(graph, below), one))


def softmax(graph: Graph, raw: str) -> str:
    """exp(raw - max) by its sum, which is one of doubles, float32."""
    axes = graph.integers([1])
    shifted = graph.node("Sub", raw, graph.node("ReduceMax", raw, axes, keepdims=1))
    power = exponential(graph, shifted)
    total = graph.node("ReduceSum", graph.to_double(power), axes, keepdims=1)
    return graph.node("Div", power, graph.cast(total, TensorProto.FLOAT))


def exponential(graph: Graph, raw: str) -> str:
    """expf as glibc computes it, float32: 2^(k / 32) from a table, times a polynomial of what is
    left, in doubles.
    """
    x = graph.node("Clip", graph.to_double(raw), graph.constant(-120.0), graph.constant(100.0))
    z = graph.node("Mul", x, graph.constant(_PER_LN2 * _PARTS))
    whole = graph.node("Round", z)
    rest = graph.node("Sub", z, whole)
    turns = graph.node("Floor", graph.node("Div", whole, graph.constant(float(_PARTS))))
    place = graph.node("Sub", whole, graph.node("Mul", turns, graph.constant(float(_PARTS))))
    place = graph.node("Where", graph.node("IsNaN", place), graph.constant(0.0), place)
    table = graph.constant(np.exp2(np.arange(_PARTS) / _PARTS))
    part = graph.node("Gather", table, graph.cast(place, TensorProto.INT64))
    scale = graph.node("Mul", part, graph.node("Pow", graph.constant(2.0), turns))
    high = graph.node(
        "Add", graph.node("Mul", graph.constant(_CUBIC), rest), graph.constant(_SQUARE)
    )
    low = graph.node("Add", graph.node("Mul", graph.constant(_LINEAR), rest), graph.constant(1.0))
    high = graph.node("Mul", high, graph.node("Mul", rest, rest))
    return graph.cast(graph.node("Mul", graph.node("Add", high, low), scale), TensorProto.FLOAT)


def _identity(_: Graph, raw: str) -> str:
    return raw


def _exponential_of_doubles(graph: Graph, raw: str) -> str:
    """Of survival:aft, which rounds at the end (`src/objective/aft_obj.cu`)."""
    return graph.cast(graph.node("Exp", graph.to_double(raw)), TensorProto.FLOAT)


def _hinge(graph: Graph, raw: str) -> str:
    above = graph.node("Greater", raw, graph.constant(0.0, np.float32))
    return graph.cast(above, TensorProto.FLOAT)


def _first_maximum(graph: Graph, raw: str) -> str:
    """The class itself, [N, 1]."""
    return graph.cast(graph.node("ArgMax", raw, axis=1, keepdims=1), TensorProto.FLOAT)


LINKS: Mapping[str, Callable[[Graph, str], str]] = {
    "binary:hinge": _hinge,
    "binary:logistic": sigmoid,
    "binary:logitraw": _identity,
    "count:poisson": exponential,
    "multi:softmax": _first_maximum,
    "multi:softprob": softmax,
    "rank:map": _identity,
    "rank:ndcg": _identity,
    "rank:pairwise": _identity,
    "reg:absoluteerror": _identity,
    "reg:gamma": exponential,
    "reg:linear": _identity,
    "reg:logistic": sigmoid,
    "reg:pseudohubererror": _identity,
    "reg:quantileerror": _identity,
    "reg:squarederror": _identity,
    "reg:squaredlogerror": _identity,
    "reg:tweedie": exponential,
    "survival:aft": _exponential_of_doubles,
    "survival:cox": exponential,
}

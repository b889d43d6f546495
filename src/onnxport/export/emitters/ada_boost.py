"""Boosting by weights of rows: AdaBoost.

Source: `sklearn/ensemble/_weight_boosting.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor

from onnxport.export.decisions import binary_from_raw, code_from_raw
from onnxport.export.graph import Columns
from onnxport.export.members import classified, one_hot, summed, valued
from onnxport.export.registry import Classified, Emission, Valued, emits, finite_only


@emits(AdaBoostClassifier)
def emit_ada_boost(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """SAMME (Zhu et al., 2009): each member adds its weight to its class and takes some from the
    others.
    """
    finite_only(emission, columns)
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, (member, weight) in enumerate(
        zip(estimator.estimators_, estimator.estimator_weights_, strict=False)
    ):
        code = classified(emission, member, columns, f"estimators_[{i}]").code
        own = np.searchsorted(estimator.classes_, member.classes_)
        code = graph.node("Gather", graph.integers(own), code)
        hot = graph.cast(one_hot(graph, code, classes), TensorProto.BOOL)
        other = graph.constant(-1 / (classes - 1) * weight)
        terms.append(graph.node("Where", hot, graph.constant(float(weight)), other))
    total = graph.constant(float(estimator.estimator_weights_.sum()))
    raw = graph.node("Div", summed(graph, terms), total)
    if classes == 2:
        signs = graph.node("Mul", raw, graph.constant([[-1.0, 1.0]]))
        decision = graph.node("ReduceSum", signs, graph.integers([1]), keepdims=1)
        return binary_from_raw(graph, decision)
    share = graph.node("Div", raw, graph.constant(float(classes - 1)))
    return Classified(code_from_raw(graph, raw), graph.node("Softmax", share, axis=1), raw)


@emits(AdaBoostRegressor)
def emit_ada_boost_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The weighted median of the members' answers (Drucker, 1997): the first, in their order by
    size, at which the weights reach half of their sum.
    """
    finite_only(emission, columns)
    graph, count = emission.graph, len(estimator.estimators_)
    answers = [
        valued(emission, member, columns, f"estimators_[{i}]")
        for i, member in enumerate(estimator.estimators_)
    ]
    joint = answers[0] if count == 1 else graph.node("Concat", *answers, axis=1)
    ordered, order = graph.several(
        "TopK", 2, joint, graph.integers([count]), axis=1, largest=0, sorted=1
    )
    weights = graph.constant(np.asarray(estimator.estimator_weights_[:count], dtype=np.float64))
    sums = graph.node("CumSum", graph.node("Gather", weights, order), graph.integers(1))
    last = graph.node("Gather", sums, graph.integers([count - 1]), axis=1)
    half = graph.node("Mul", last, graph.constant(0.5))
    reached = graph.cast(graph.node("GreaterOrEqual", sums, half), TensorProto.INT64)
    median = graph.node("ArgMax", reached, axis=1, keepdims=1)
    return Valued(graph.node("GatherElements", ordered, median, axis=1))

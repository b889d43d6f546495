"""Multi-layer perceptrons: matrix products and activations, layer after layer.

Source: `sklearn/neural_network/_multilayer_perceptron.py` (`_forward_pass_fast`) and `_base.py`
(ACTIVATIONS).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from onnxport.export.decisions import (
    code_from_raw,
    code_from_sign,
    columns_of,
    expit,
    label_from_raw,
    pair,
)
from onnxport.export.graph import Columns, Graph
from onnxport.export.registry import (
    TOLERANT_BAR,
    Classified,
    Emission,
    Several,
    Valued,
    emits,
    finite_only,
    numbers_only,
)


def _activated(graph: Graph, activation: str, x: str) -> str:
    if activation == "identity":
        return x
    if activation == "logistic":
        return expit(graph, x)
    if activation == "softmax":
        return graph.node("Softmax", x, axis=1)
    return graph.node({"relu": "Relu", "tanh": "Tanh", "exp": "Exp"}[activation], x)


def _forward(emission: Emission, estimator: Any, columns: Columns) -> str:
    """The output layer, double [N, outputs]."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single or estimator.coefs_[0].dtype == np.float32:
        emission.relax(TOLERANT_BAR)
    graph = emission.graph
    x = graph.matrix(columns)
    last = len(estimator.coefs_) - 1
    for layer, (weights, offset) in enumerate(
        zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ):
        x = graph.node("MatMul", x, graph.constant(weights))
        x = graph.node("Add", x, graph.constant(offset))
        activation = estimator.out_activation_ if layer == last else estimator.activation
        x = _activated(graph, activation, x)
    return x


@emits(MLPClassifier)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """Two classes: one output, above one half. More: the first largest. Several labels: an output
    for each, above one half.
    """
    graph = emission.graph
    output = _forward(emission, estimator, columns)
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        labels = columns_of(graph, output, len(estimator.classes_))
        return Several(tuple(label_from_raw(graph, p, 0.5, proba=p) for p in labels))
    if len(estimator.classes_) > 2:
        return Classified(code_from_raw(graph, output), output)
    above = graph.node("Sub", output, graph.constant(0.5))
    return Classified(code_from_sign(graph, above), pair(graph, output))


@emits(MLPRegressor)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    return Valued(_forward(emission, estimator, columns))

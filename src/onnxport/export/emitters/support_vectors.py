"""Support vector machines: kernels in double precision, one-against-one votes as libsvm counts
them.

Source: libsvm's `svm_predict_values` (`sklearn/svm/src/libsvm/svm.cpp`); `_ovr_decision_function`
in `sklearn/utils/multiclass.py`.
"""

from __future__ import annotations

import copy
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from onnxport.export.decisions import code_from_raw, code_from_sign
from onnxport.export.emitters.coupling import coupled
from onnxport.export.graph import Array, Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Flagged,
    Refusal,
    Valued,
    emits,
    finite_only,
    numbers_only,
)

_MAX_DENSE = 2**24  # numbers in the support vectors of a model that was fitted on a sparse matrix


def _dense(estimator: Any) -> Any:
    """The estimator with arrays for what it holds as sparse matrices."""
    if not estimator._sparse:
        return estimator
    dense = copy.copy(estimator)
    dense.support_vectors_ = estimator.support_vectors_.toarray()
    dense._dual_coef_ = estimator._dual_coef_.toarray()
    return dense


def _kernel_check(estimator: Any) -> Refusal | None:
    if estimator._sparse and np.prod(estimator.support_vectors_.shape) > _MAX_DENSE:
        return Refusal(
            "X",
            "fitted on a sparse matrix, its support vectors are too large for the file",
            "Use LinearSVC, or keep fewer terms by max_features= of the vectorizer.",
        )
    if estimator.kernel not in ("rbf", "poly", "sigmoid", "linear"):
        return Refusal(
            "kernel", "only the built-in kernels convert", "Use rbf, poly, sigmoid or linear."
        )
    return None


def _kernel(emission: Emission, estimator: Any, columns: Columns) -> str:
    """K(x, v) for every support vector v, double [N, vectors]."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph, vectors = emission.graph, estimator.support_vectors_
    emission.widen(len(vectors))
    x = graph.matrix(columns)
    if estimator.kernel == "rbf":  # distances don't change, and squares of large means would cancel
        x, vectors = (
            graph.node("Sub", x, graph.constant(vectors.mean(axis=0))),
            vectors - vectors.mean(axis=0),
        )
    product = graph.node("MatMul", x, graph.constant(vectors.T))
    if estimator.kernel == "linear":
        return product
    gamma = graph.constant(float(estimator._gamma))
    if estimator.kernel == "rbf":
        squares = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=1)
        both = graph.node("Add", squares, graph.constant((vectors**2).sum(axis=1)))
        twice = graph.node("Mul", product, graph.constant(2.0))
        distance = graph.node("Max", graph.node("Sub", both, twice), graph.constant(0.0))
        return graph.node("Exp", graph.node("Neg", graph.node("Mul", distance, gamma)))
    scaled = graph.node("Mul", product, gamma)
    shifted = graph.node("Add", scaled, graph.constant(float(estimator.coef0)))
    if estimator.kernel == "sigmoid":
        return graph.node("Tanh", shifted)
    return graph.node("Pow", shifted, graph.constant(float(estimator.degree)))


@emits(SVR, NuSVR, check=_kernel_check)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """Σ αᵥ K(x, v) + intercept."""
    graph, estimator = emission.graph, _dense(estimator)
    kernel = _kernel(emission, estimator, columns)
    total = graph.node("MatMul", kernel, graph.constant(estimator._dual_coef_.T))
    return Valued(graph.node("Add", total, graph.constant(estimator._intercept_)))


@emits(OneClassSVM, check=_kernel_check)
def emit_one_class(emission: Emission, estimator: Any, columns: Columns) -> Flagged:
    """An inlier above 0."""
    score = emit_regressor(emission, estimator, columns).value
    return Flagged(code_from_sign(emission.graph, score), score)


@emits(SVC, NuSVC, check=_kernel_check)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """A positive decision votes for the first class of a pair; the first class with most votes
    wins, or with break_ties the first with the largest decision.
    """
    graph, classes, estimator = emission.graph, len(estimator.classes_), _dense(estimator)
    kernel = _kernel(emission, estimator, columns)
    pairs = graph.node("MatMul", kernel, graph.constant(_pair_weights(estimator)))
    pairs = graph.node("Add", pairs, graph.constant(estimator._intercept_))
    against = graph.node("Neg", pairs)
    proba = coupled(emission, estimator, pairs) if hasattr(estimator, "predict_proba") else None
    if classes == 2:
        code = code_from_sign(graph, against, tie_is_positive=True)
        return Classified(code, proba, against)
    votes, confidence = _votes(emission, pairs, against, classes)
    emission.jumpy = True  # by a whole vote, where a pair's sum rounds to the other side
    size = graph.node("Add", graph.node("Abs", confidence), graph.constant(1.0))
    share = graph.node("Div", confidence, graph.node("Mul", size, graph.constant(3.0)))
    scores = graph.node("Add", votes, share)
    if estimator.decision_function_shape == "ovo":
        return Classified(code_from_raw(graph, votes), proba, pairs)
    return Classified(
        code_from_raw(graph, scores if estimator.break_ties else votes), proba, scores
    )


def _pair_weights(estimator: Any) -> Array:
    """The dual coefficient of every support vector in every pair of classes, [vectors, pairs]."""
    counts = estimator._n_support
    starts = np.concatenate([[0], np.cumsum(counts)])
    pairs = list(combinations(range(len(counts)), 2))
    weights = np.zeros((len(estimator.support_vectors_), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        own, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        weights[own, column] = estimator._dual_coef_[j - 1, own]
        weights[other, column] = estimator._dual_coef_[i, other]
    return weights


def _votes(emission: Emission, pairs: str, against: str, classes: int) -> tuple[str, str]:
    """Votes for each class, and the sum of the decisions in its favour, each double [N, classes]."""
    graph = emission.graph
    first, second = (
        np.array(
            [
                [float(pair[side] == c) for c in range(classes)]
                for pair in combinations(range(classes), 2)
            ]
        )
        for side in (0, 1)
    )
    wins = graph.to_double(graph.node("Greater", pairs, graph.constant(0.0)))
    losses = graph.node("Sub", graph.constant(1.0), wins)
    votes = graph.node(
        "Add",
        graph.node("MatMul", wins, graph.constant(first)),
        graph.node("MatMul", losses, graph.constant(second)),
    )
    return votes, graph.node("MatMul", against, graph.constant(second - first))

"""Naive Bayes: the joint log likelihood of each class, its first maximum, its softmax.

Source: `sklearn/naive_bayes.py` (`_joint_log_likelihood`, `predict`, `predict_log_proba`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from onnxport.export.decisions import multiclass_from_raw
from onnxport.export.emitters.linear import linear
from onnxport.export.graph import Columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Classified,
    Emission,
    emits,
    finite_only,
    numbers_only,
)


@emits(MultinomialNB)
def emit_multinomial(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · log p + log prior."""
    likelihood = estimator.feature_log_prob_
    raw = linear(emission, estimator, columns, likelihood, estimator.class_log_prior_)
    return multiclass_from_raw(emission.graph, raw)


@emits(ComplementNB)
def emit_complement(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · weights; the prior plays no part with several classes."""
    weights = estimator.feature_log_prob_
    raw = linear(emission, estimator, columns, weights, np.zeros(len(weights)))
    return multiclass_from_raw(emission.graph, raw)


@emits(BernoulliNB)
def emit_bernoulli(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · (log p - log(1 - p)) + Σ log(1 - p) + log prior, on binarized x."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    x = graph.matrix(columns)
    if estimator.binarize is not None:
        x = graph.to_double(graph.node("Greater", x, graph.constant(float(estimator.binarize))))
        for column in columns.items:
            emission.split_at(column.origin, float(estimator.binarize))
    negative = np.log(1 - np.exp(estimator.feature_log_prob_))
    weights = (estimator.feature_log_prob_ - negative).T
    offset = estimator.class_log_prior_ + negative.sum(axis=1)
    product = graph.node("MatMul", x, graph.constant(weights))
    return multiclass_from_raw(graph, graph.node("Add", product, graph.constant(offset)))


@emits(GaussianNB)
def emit_gaussian(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """log prior - ½ Σ log(2π var) - ½ Σ (x - θ)² / var, a class at a time: small memory."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    graph = emission.graph
    x, axes, half = graph.matrix(columns), graph.integers([1]), graph.constant(-0.5)
    scores = []
    for prior, mean, variance in zip(
        estimator.class_prior_, estimator.theta_, estimator.var_, strict=True
    ):
        apart = graph.node("Sub", x, graph.constant(mean))
        squares = graph.node("Div", graph.node("Mul", apart, apart), graph.constant(variance))
        total = graph.node("Mul", graph.node("ReduceSum", squares, axes, keepdims=1), half)
        offset = np.log(prior) - 0.5 * np.sum(np.log(2.0 * np.pi * variance))
        scores.append(graph.node("Add", total, graph.constant(offset)))
    return multiclass_from_raw(graph, graph.node("Concat", *scores, axis=1))

"""Naive Bayes: the joint log likelihood of each class, its first maximum, its softmax.

Source: `sklearn/naive_bayes.py` (`_joint_log_likelihood`, `predict`, `predict_log_proba`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from onnxport.export.decisions import multiclass_from_raw
from onnxport.export.emitters.linear import linear
from onnxport.export.graph import Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    emits,
    factors_only,
    finite_only,
    numbers_only,
)


def _zero_check(estimator: Any) -> Refusal | None:
    """Without smoothing, what never occurred has the logarithm -inf."""
    if all(np.isfinite(table).all() for table in estimator.feature_log_prob_):
        return None
    return Refusal(
        "alpha", "a feature that never occurred in a class has no finite weight", "Set alpha > 0."
    )


def _certain_check(estimator: Any) -> Refusal | None:
    if (estimator.feature_log_prob_ < 0).all():
        return _zero_check(estimator)
    return Refusal(
        "alpha", "a feature that always occurred in a class has no finite weight", "Set alpha > 0."
    )


def _variance_check(estimator: Any) -> Refusal | None:
    if (estimator.var_ > 0).all():
        return None
    return Refusal(
        "var_smoothing", "a feature that is constant in a class has no spread", "Set it above 0."
    )


@emits(MultinomialNB, check=_zero_check)
def emit_multinomial(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · log p + log prior."""
    likelihood = estimator.feature_log_prob_
    raw = linear(emission, estimator, columns, likelihood, estimator.class_log_prior_)
    return multiclass_from_raw(emission.graph, raw)


@emits(ComplementNB, check=_zero_check)
def emit_complement(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · weights; the prior plays no part with several classes."""
    weights = estimator.feature_log_prob_
    raw = linear(emission, estimator, columns, weights, np.zeros(len(weights)))
    return multiclass_from_raw(emission.graph, raw)


@emits(BernoulliNB, check=_certain_check)
def emit_bernoulli(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """x · (log p - log(1 - p)) + Σ log(1 - p) + log prior, on binarized x."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    x = graph.matrix(columns)
    if estimator.binarize is not None:
        threshold = float(estimator.binarize)
        if columns.single:  # numpy compares in float32
            threshold = float(np.float32(threshold))
        x = graph.to_double(graph.node("Greater", x, graph.constant(threshold)))
        for column in columns.items:
            emission.split_at(column.origin, threshold)
    negative = np.log(1 - np.exp(estimator.feature_log_prob_))
    weights = (estimator.feature_log_prob_ - negative).T
    offset = estimator.class_log_prior_ + negative.sum(axis=1)
    product = graph.node("MatMul", x, graph.constant(weights))
    return multiclass_from_raw(graph, graph.node("Add", product, graph.constant(offset)))


@emits(CategoricalNB, check=_zero_check)
def emit_categorical(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Σ log p of each column's category + log prior. Numbers are cut to integers; a row with one
    that isn't known is refused.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    tables = [np.asarray(table).T for table in estimator.feature_log_prob_]  # [categories, classes]
    counts = np.array([len(table) for table in tables], dtype=np.float64)
    x = graph.matrix(columns)
    for column, count in zip(columns.items, counts, strict=True):
        if column.origin is not None and column.origin.raw:
            known = emission.categories.setdefault(column.origin.feature, set())
            known.update(float(value) for value in range(int(count)))
    below = graph.node("LessOrEqual", x, graph.constant(-1.0))
    above = graph.node("GreaterOrEqual", x, graph.constant(counts))
    marks = graph.to_double(graph.node("Or", below, above))
    found = graph.node("ReduceMax", marks, graph.integers([1]), keepdims=1)
    emission.refused.append(graph.cast(found, TensorProto.BOOL))
    kept = graph.node("Where", graph.cast(marks, TensorProto.BOOL), graph.constant(0.0), x)
    places = graph.node(
        "Add",
        graph.cast(kept, TensorProto.INT64),
        graph.integers(np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)),
    )
    emission.widen(len(tables) * tables[0].shape[1])
    logs = graph.node("Gather", graph.constant(np.concatenate(tables)), places)
    total = graph.node("ReduceSum", logs, graph.integers([1]), keepdims=0)
    raw = graph.node("Add", total, graph.constant(estimator.class_log_prior_))
    return multiclass_from_raw(graph, raw)


@emits(GaussianNB, check=_variance_check)
def emit_gaussian(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """log prior - ½ Σ log(2π var) - ½ Σ (x - θ)² / var, a class at a time: small memory."""
    factors_only(emission, estimator, columns)
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

"""Calibrated probabilities.

Source: `sklearn/calibration.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from onnxport.export.decisions import code_from_raw, columns_of, expit, pair, row_sum
from onnxport.export.emitters.isotonic import isotonic
from onnxport.export.graph import Columns, Graph, number_columns
from onnxport.export.members import classified, weighted_mean
from onnxport.export.registry import (
    TOLERANT_BAR,
    Classified,
    Emission,
    Refusal,
    emits,
    finite_only,
    refuse,
)

_TINY = 1e-12  # what `_convert_to_logits` adds before the logarithm
_STEEP = 1e5  # a slope that multiplies a score's rounding beyond the exact bar
_CLOSE = 1e-5 + 1e-8  # within which it takes a sum for 1


def _method_check(estimator: Any) -> Refusal | None:
    if all(
        fold.method in (*_CALIBRATORS, "temperature") for fold in estimator.calibrated_classifiers_
    ):
        return None
    reason = "only sigmoid, isotonic and temperature are known"
    return Refusal("method", reason, "Use method='sigmoid', 'isotonic' or 'temperature'.")


@emits(CalibratedClassifierCV, check=_method_check)
def emit_calibrated(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The mean of the folds' calibrated probabilities."""
    graph, terms = emission.graph, []
    for i, fold in enumerate(estimator.calibrated_classifiers_):
        scores, width = _scores(emission, fold.estimator, columns, f"calibrated_classifiers_[{i}]")
        calibrated = _softened if fold.method == "temperature" else _one_by_one
        terms.append(calibrated(emission, fold, scores, width))
    proba = weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


def _scores(emission: Emission, inner: Any, columns: Columns, name: str) -> tuple[str, int]:
    """decision_function, else predict_proba: double [N, width], one column for two classes."""
    result = classified(emission, inner, columns, name)
    by_decision = hasattr(inner, "decision_function")
    scores = result.decision if by_decision else result.proba
    if scores is None:
        reason = "its scores don't convert"
        raise refuse(emission, inner, Refusal("", reason, "Calibrate a linear model or trees."))
    if len(inner.classes_) != 2:
        return scores, len(inner.classes_)
    if by_decision:
        return scores, 1
    graph = emission.graph
    return graph.node("Gather", scores, graph.integers([1]), axis=1), 1


def _one_by_one(emission: Emission, fold: Any, scores: str, width: int) -> str:
    """Each class by its own calibrator, then normalized; where all are 0, uniform.

    A fold that saw two classes of several has one score, which the library calls the first's.
    """
    graph, classes = emission.graph, len(fold.classes)
    shares = [
        _CALIBRATORS[fold.method](emission, calibrator, score)
        for calibrator, score in zip(
            fold.calibrators, columns_of(graph, scores, width), strict=True
        )
    ]
    if classes == 2:
        return pair(graph, shares[0])
    nothing = graph.node("Mul", shares[0], graph.constant(0.0))
    order = fold.classes.tolist()
    places = [order.index(label) for label in fold.estimator.classes_.tolist()]
    placed = dict(zip(places, shares, strict=False))
    joint = graph.node("Concat", *(placed.get(i, nothing) for i in range(classes)), axis=1)
    total = row_sum(graph, joint, classes)
    empty = graph.node("Equal", total, graph.constant(0.0))
    share = graph.node("Div", joint, graph.node("Where", empty, graph.constant(1.0), total))
    return graph.node("Where", empty, graph.constant(1.0 / classes), share)


def _sigmoid(emission: Emission, calibrator: Any, score: str) -> str:
    """Platt's sigmoid: expit(-(a · score + b))."""
    graph = emission.graph
    product = graph.node("Mul", score, graph.constant(float(calibrator.a_)))
    line = graph.node("Add", product, graph.constant(float(calibrator.b_)))
    return expit(graph, graph.node("Neg", line))


def _isotonic(emission: Emission, calibrator: Any, score: str) -> str:
    finite_only(emission, number_columns(score, 1))
    gaps, steps = np.diff(calibrator.X_thresholds_), np.diff(calibrator.y_thresholds_)
    if bool((steps > _STEEP * gaps).any()):
        emission.relax(TOLERANT_BAR)
    return isotonic(emission, calibrator, score)


_CALIBRATORS = {"sigmoid": _sigmoid, "isotonic": _isotonic}


def _softened(emission: Emission, fold: Any, scores: str, width: int) -> str:
    """softmax(β · logits), temperature scaling (Guo et al., 2017)."""
    graph = emission.graph
    if not hasattr(fold.estimator, "decision_function"):
        emission.relax(TOLERANT_BAR)  # log(1 - p + 1e-12) turns the last bit of p into digits
    if width == 1 and hasattr(fold.estimator, "decision_function"):
        logits = graph.node("Concat", graph.node("Neg", scores), scores, axis=1)
    else:
        logits = _logits(graph, pair(graph, scores) if width == 1 else scores, max(width, 2))
    beta = graph.constant(float(fold.calibrators[0].beta_))
    return graph.node("Softmax", graph.node("Mul", logits, beta), axis=1)


def _logits(graph: Graph, scores: str, width: int) -> str:
    """log(p + 1e-12) where the whole batch looks like probabilities, else the scores themselves."""
    apart = graph.node("Sub", row_sum(graph, scores, width), graph.constant(1.0))
    odd = graph.node("Greater", graph.node("Abs", apart), graph.constant(_CLOSE))
    clipped = graph.node("Clip", scores, graph.constant(0.0), graph.constant(1.0))
    outside = graph.node("Not", graph.node("Equal", scores, clipped))
    marks = graph.to_double(graph.node("Or", odd, outside))
    both = graph.integers([0, 1])
    found = graph.node("ReduceSum", marks, both, keepdims=1)
    is_proba = graph.node("Equal", found, graph.constant(0.0))
    logarithm = graph.node("Log", graph.node("Add", clipped, graph.constant(_TINY)))
    return graph.node("Where", is_proba, logarithm, scores)

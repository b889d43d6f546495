"""Classifiers of two classes with a decision threshold of their own.

Source: `sklearn/model_selection/_classification_threshold.py`; `_threshold_scores_to_class_labels`
in `sklearn/metrics/_scorer.py`.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from onnxport.export.graph import Columns
from onnxport.export.members import classified
from onnxport.export.registry import Classified, Emission, Refusal, emits, refuse


@emits(FixedThresholdClassifier)
def emit_fixed(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Without a number: 0.5 for probabilities, 0 for decision_function."""
    chosen = None if estimator.threshold == "auto" else float(estimator.threshold)
    return _thresholded(emission, estimator, columns, chosen, estimator.pos_label)


@emits(TunedThresholdClassifierCV)
def emit_tuned(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The threshold that scored best."""
    positive = estimator._curve_scorer._get_pos_label()
    return _thresholded(emission, estimator, columns, float(estimator.best_threshold_), positive)


def _thresholded(
    emission: Emission, estimator: Any, columns: Columns, threshold: float | None, positive: Any
) -> Classified:
    """Positive where the positive class's score >= threshold; the scores are the inner ones."""
    graph = emission.graph
    inner = getattr(estimator, "estimator_", estimator.estimator)
    result = classified(emission, inner, columns, "estimator_")
    by_proba = estimator.response_method != "decision_function" and hasattr(inner, "predict_proba")
    place = 1 if positive is None else inner.classes_.tolist().index(positive)
    score = result.proba if by_proba else result.decision
    if score is None:
        reason = "its scores don't convert"
        nearest = "Set response_method='predict_proba', on a classifier that has it."
        raise refuse(emission, inner, Refusal("response_method", reason, nearest))
    if by_proba:
        score = graph.node("Gather", score, graph.integers([place]), axis=1)
    elif place == 0:
        score = graph.node("Neg", score)
    if threshold is None:
        threshold = 0.5 if by_proba else 0.0
    above = graph.node("GreaterOrEqual", score, graph.constant(threshold))
    above = above if place == 1 else graph.node("Not", above)
    code = graph.node("Squeeze", graph.cast(above, TensorProto.INT64), graph.integers([1]))
    return Classified(code, result.proba, result.decision)

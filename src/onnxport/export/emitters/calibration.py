"""Calibrated probabilities.

Source: `sklearn/calibration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.calibration import CalibratedClassifierCV

from onnxport.export.decisions import (
    code_from_raw,
    expit,
    normalized,
    pair,
)
from onnxport.export.graph import Columns, Graph
from onnxport.export.members import classified, weighted_mean
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    emits,
    refuse,
)


def _calibration_check(estimator: Any) -> Refusal | None:
    if estimator.method == "sigmoid":
        return None
    return Refusal("method", f"{estimator.method!r} doesn't convert yet", "Use method='sigmoid'.")


@emits(CalibratedClassifierCV, check=_calibration_check)
def emit_calibrated(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Platt's sigmoid on each class's score, normalized; the mean over the folds."""
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, fold in enumerate(estimator.calibrated_classifiers_):
        name = f"calibrated_classifiers_[{i}]"
        inner = fold.estimator
        result = classified(emission, inner, columns, name)
        if hasattr(inner, "decision_function"):
            scores = result.decision
        else:
            scores = result.proba
        if scores is None or len(inner.classes_) != classes:
            reason = "its scores don't convert"
            raise refuse(emission, inner, Refusal("", reason, "Calibrate a linear model or trees."))
        if classes == 2 and not hasattr(inner, "decision_function"):
            scores = graph.node("Gather", scores, graph.integers([1]), axis=1)
        terms.append(_calibrated(graph, fold.calibrators, scores, classes))
    proba = weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


def _calibrated(graph: Graph, calibrators: Sequence[Any], scores: str, classes: int) -> str:
    """expit(-(a · score + b)) of each column; where all are 0, uniform."""
    slope = graph.constant([-c.a_ for c in calibrators])
    offset = graph.constant([-c.b_ for c in calibrators])
    proba = expit(graph, graph.node("Add", graph.node("Mul", scores, slope), offset))
    return pair(graph, proba) if classes == 2 else normalized(graph, proba)

"""XGBoost: the classes that convert, and a bare Booster asked like an estimator.

Sources: `xgboost/sklearn.py`, `xgboost/core.py` (Booster.predict, inplace_predict).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from onnx import TensorProto

from onnxport.export.adapted import Adapted
from onnxport.export.boosters.xgboost_adapters import (
    BoosterClassifier,
    BoosterClassifierWithShares,
    BoosterLabels,
    BoosterRegressor,
    ClassifierLabels,
    KnownCategories,
    gives_labels,
)
from onnxport.export.boosters.xgboost_dump import objective_of, read_booster
from onnxport.export.boosters.xgboost_links import LINKS, softmax
from onnxport.export.boosters.xgboost_trees import Asked, raw_scores
from onnxport.export.decisions import code_from_raw, columns_of, pair
from onnxport.export.graph import Columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Emitted,
    Refusal,
    Several,
    Valued,
    emit,
    emits,
    refuse,
)

_UNKNOWN_OBJECTIVE = Refusal(
    "objective",
    "the formula from its trees' sums to its answers isn't known",
    "Train with a built-in objective, such as binary:logistic, multi:softprob or reg:squarederror.",
)
_UNKNOWN_BOOSTER = Refusal(
    "booster",
    "it is none of gbtree, dart and gblinear",
    "Train with booster='gbtree'.",
)


def _check_classifier(estimator: Any) -> Refusal | None:
    objective = objective_of(estimator.get_booster())
    if objective == "multi:softprob" and estimator.n_classes_ == 2:
        return Refusal(
            "objective",
            "of two classes, predict takes multi:softprob for two labels a row",
            "Use objective='binary:logistic'.",
        )
    return None


@emits(KnownCategories)
def emit_known(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """The model itself: the signature keeps unknown categories away from it."""
    return emit(emission, estimator.native, columns)


def _answers(emission: Emission, estimator: Any, columns: Columns) -> tuple[str, str, str]:
    """The booster's objective, and in the graph its sums and what predict makes of them, float32
    [N, groups].
    """
    native = estimator.native if isinstance(estimator, Adapted) else estimator
    if isinstance(native, xgboost.Booster):
        booster, rounds, asked = native, None, Asked(np.nan, in_place=False)
    else:
        booster, rounds = native.get_booster(), _rounds(native)
        asked = Asked(float(native.missing), in_place=native.booster != "gblinear")
    dump = read_booster(booster, rounds)
    if dump.objective not in LINKS:
        raise refuse(emission, native, _UNKNOWN_OBJECTIVE)
    if dump.kind not in ("gbtree", "dart", "gblinear"):
        raise refuse(emission, native, _UNKNOWN_BOOSTER)
    raw = raw_scores(emission, native, columns, dump, asked)
    return dump.objective, raw, LINKS[dump.objective](emission.graph, raw)


def _rounds(model: Any) -> int | None:
    """How many rounds predict uses: after early stopping those to the best one."""
    best = getattr(model, "best_iteration", None)
    return None if best is None or model.booster == "gblinear" else best + 1


@emits(xgboost.XGBRegressor, xgboost.XGBRanker, xgboost.XGBRFRegressor, BoosterRegressor)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """What predict gives, of several targets or quantiles side by side."""
    _, _, value = _answers(emission, estimator, columns)
    return Valued(emission.graph.to_double(value))


@emits(xgboost.XGBClassifier, xgboost.XGBRFClassifier, check=_check_classifier)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """Of two classes the second where predict gives more than 0.5, whatever the objective."""
    if gives_labels(estimator):
        return _labels(emission, ClassifierLabels(estimator), columns)
    graph = emission.graph
    objective, raw, value = _answers(emission, estimator, columns)
    if objective == "multi:softmax":
        return Classified(code_from_raw(graph, raw), graph.to_double(softmax(graph, raw)))
    if objective == "multi:softprob":
        return Classified(code_from_raw(graph, value), graph.to_double(value))
    return Classified(_above(emission, value, 0.5), _pair(emission, value))


@emits(BoosterClassifier, BoosterClassifierWithShares)
def emit_booster_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    graph = emission.graph
    objective, raw, value = _answers(emission, estimator, columns)
    if objective == "multi:softmax":
        return Classified(code_from_raw(graph, raw), None)
    if objective == "multi:softprob":
        return Classified(code_from_raw(graph, value), graph.to_double(value))
    shares = _pair(emission, value) if objective == "binary:logistic" else None
    return Classified(
        _above(emission, value, 0.0 if objective == "binary:logitraw" else 0.5), shares
    )


@emits(BoosterLabels, ClassifierLabels)
def emit_labels(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each label is given where its number is above 0.5."""
    return _labels(emission, estimator, columns)


def _labels(emission: Emission, estimator: Any, columns: Columns) -> Several:
    _, _, value = _answers(emission, estimator, columns)
    targets = len(estimator.classes_)
    parts = columns_of(emission.graph, value, targets)
    return Several(tuple(_label(emission, part) for part in parts))


def _label(emission: Emission, share: str) -> Classified:
    return Classified(
        _above(emission, share, 0.5), pair(emission.graph, emission.graph.to_double(share))
    )


def _above(emission: Emission, value: str, threshold: float) -> str:
    """1 where value [N, 1] is above the threshold, compared in float32: int64 [N]."""
    graph = emission.graph
    above = graph.node("Greater", value, graph.constant(threshold, np.float32))
    return graph.node("Squeeze", graph.cast(above, TensorProto.INT64), graph.integers([1]))


def _pair(emission: Emission, share: str) -> str:
    """[1 - p, p], subtracted in float32: double [N, 2]."""
    graph = emission.graph
    other = graph.node("Sub", graph.constant(1.0, np.float32), share)
    return graph.to_double(graph.node("Concat", other, share, axis=1))

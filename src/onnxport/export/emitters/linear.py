"""Linear models and generalized linear models: one matrix product, then the library's own link and
label rule.

Sources: `sklearn/linear_model/_base.py` (decision_function, _predict_proba_lr), `_logistic.py`,
`_stochastic_gradient.py`, `_glm/glm.py`, `sklearn/discriminant_analysis.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import linear_model, svm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from onnxport.export.decisions import (
    binary_from_raw,
    code_from_raw,
    code_from_sign,
    columns_of,
    expit,
    label_from_raw,
    multiclass_from_raw,
    normalized,
    pair,
)
from onnxport.export.graph import Columns
from onnxport.export.registry import (
    ROUGH_BAR,
    Classified,
    Emission,
    Several,
    Valued,
    emits,
    factors_only,
)
from onnxport.export.sparse import product


def linear(emission: Emission, estimator: Any, columns: Columns, coef: Any, intercept: Any) -> str:
    """X · coefᵀ + intercept, double [N, rows of coef]."""
    factors_only(emission, estimator, columns)
    graph = emission.graph
    weights = np.atleast_2d(np.asarray(coef, dtype=np.float64)).T
    scores = product(graph, columns, weights)
    return graph.node("Add", scores, graph.constant(np.ravel(intercept)))


def _decision(emission: Emission, estimator: Any, columns: Columns) -> str:
    return linear(emission, estimator, columns, estimator.coef_, estimator.intercept_)


@emits(linear_model.LogisticRegression, linear_model.LogisticRegressionCV)
def emit_logistic(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Softmax, or for two classes expit; one-vs-rest where an older release fitted it so."""
    raw = _decision(emission, estimator, columns)
    if len(estimator.classes_) == 2:
        return binary_from_raw(emission.graph, raw)
    one_vs_rest = (
        getattr(estimator, "multi_class", None) == "ovr" or estimator.solver == "liblinear"
    )
    if one_vs_rest:
        return _one_vs_rest(emission, raw)
    return multiclass_from_raw(emission.graph, raw)


def _one_vs_rest(emission: Emission, raw: str) -> Classified:
    """Each class's expit, divided by their sum; the label from the raw scores."""
    graph = emission.graph
    return Classified(code_from_raw(graph, raw), normalized(graph, expit(graph, raw)), raw)


@emits(LinearDiscriminantAnalysis)
def emit_discriminant(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    raw = _decision(emission, estimator, columns)
    if len(estimator.classes_) == 2:
        return binary_from_raw(emission.graph, raw)
    return multiclass_from_raw(emission.graph, raw)


@emits(linear_model.SGDClassifier)
def emit_sgd(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The label from the decision function, never from probabilities, which saturate."""
    raw = _decision(emission, estimator, columns)
    binary = len(estimator.classes_) == 2
    if hasattr(estimator, "predict_proba"):  # on unscaled data its scores reach millions
        emission.relax(ROUGH_BAR)
    if estimator.loss == "log_loss":
        return binary_from_raw(emission.graph, raw) if binary else _one_vs_rest(emission, raw)
    if estimator.loss == "modified_huber":
        return _modified_huber(emission, raw, binary=binary)
    return _label_only(emission, raw, binary=binary)


def _modified_huber(emission: Emission, raw: str, *, binary: bool) -> Classified:
    """(clip(raw, -1, 1) + 1) / 2, normalized over several classes; where all are 0, uniform
    (Zadrozny and Elkan, 2002).
    """
    graph = emission.graph
    clipped = graph.node("Clip", raw, graph.constant(-1.0), graph.constant(1.0))
    one = graph.constant(1.0)
    share = graph.node("Div", graph.node("Add", clipped, one), graph.constant(2.0))
    if binary:
        return Classified(code_from_sign(graph, raw), pair(graph, share), raw)
    return Classified(code_from_raw(graph, raw), normalized(graph, share), raw)


@emits(
    linear_model.RidgeClassifier,
    linear_model.RidgeClassifierCV,
    linear_model.Perceptron,
    linear_model.PassiveAggressiveClassifier,
    svm.LinearSVC,
)
def emit_label_only(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """Classifiers without probabilities: the label from the decision function; of several labels
    each from its own.
    """
    raw = _decision(emission, estimator, columns)
    binarizer = getattr(estimator, "_label_binarizer", None)  # ridge classifiers only
    if binarizer is not None and binarizer.y_type_.startswith("multilabel"):
        labels = columns_of(emission.graph, raw, len(estimator.classes_))
        return Several(
            tuple(
                label_from_raw(emission.graph, label, 0.0, proba=None, decision=label)
                for label in labels
            )
        )
    return _label_only(emission, raw, binary=len(estimator.classes_) == 2)


def _label_only(emission: Emission, raw: str, *, binary: bool) -> Classified:
    graph = emission.graph
    code = code_from_sign(graph, raw) if binary else code_from_raw(graph, raw)
    return Classified(code, None, raw)


@emits(
    linear_model.LinearRegression,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.Lars,
    linear_model.LarsCV,
    linear_model.LassoLars,
    linear_model.LassoLarsCV,
    linear_model.LassoLarsIC,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.OrthogonalMatchingPursuitCV,
    linear_model.BayesianRidge,
    linear_model.ARDRegression,
    linear_model.HuberRegressor,
    linear_model.TheilSenRegressor,
    linear_model.QuantileRegressor,
    linear_model.SGDRegressor,
    linear_model.PassiveAggressiveRegressor,
    linear_model.MultiTaskLasso,
    linear_model.MultiTaskElasticNet,
    linear_model.MultiTaskLassoCV,
    linear_model.MultiTaskElasticNetCV,
    svm.LinearSVR,
)
def emit_linear_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    return Valued(_decision(emission, estimator, columns))


@emits(linear_model.PoissonRegressor, linear_model.GammaRegressor, linear_model.TweedieRegressor)
def emit_glm(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """The inverse link: exp for the log link, nothing for the identity."""
    raw = _decision(emission, estimator, columns)
    identity = type(estimator._base_loss.link).__name__ == "IdentityLink"
    return Valued(raw if identity else emission.graph.node("Exp", raw))

"""What an estimator is for: its task, and the labels that it can give to each of its targets.

Source: the estimator types of `sklearn/utils/_tags.py`; mixtures are density estimators there, and
are taken for clusterers here because they predict a component.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import Pipeline

from onnxport.errors import ExportError, UnsupportedModel
from onnxport.export.adapted import Adapted
from onnxport.export.graph import Array
from onnxport.export.registry import adapted
from onnxport.signature import Task

_OUTLIER, _INLIER = -1, 1


def read_task(estimator: Any) -> tuple[Task, tuple[Array, ...]]:
    """The task, and by target the labels in the order of their codes (none for numbers). Raises
    UnsupportedModel for an estimator that answers no rows.
    """
    last = adapted(last_of(estimator))
    estimator = last if isinstance(last, Adapted) else estimator
    predicts = hasattr(estimator, "predict")
    if is_classifier(estimator):
        return _read_classifier(estimator)
    if is_regressor(estimator) or (predicts and _ranks(estimator)):
        return "regression", ()
    if is_outlier_detector(estimator):
        if not (predicts and hasattr(estimator, "decision_function")):
            raise _refused(estimator, "it has no predict for new rows", "Set novelty=True.")
        return "outlier_detection", (np.array([_OUTLIER, _INLIER]),)
    if predicts and (is_clusterer(estimator) or hasattr(estimator, "predict_proba")):
        return "clustering", (_clusters(estimator),)
    if is_clusterer(estimator) and not hasattr(estimator, "transform"):
        raise _refused(estimator, "it has no predict for new rows", "Use KMeans.")
    if hasattr(estimator, "transform") and not predicts:
        return "transformation", ()
    raise _refused(
        estimator,
        "it is no classifier, regressor, outlier detector, clusterer or transformer",
        "Put one of these at the end of the pipeline.",
    )


def _ranks(estimator: Any) -> bool:
    """XGBRanker, LGBMRanker: their predict gives a score, and scikit-learn has no type for them."""
    return type(last_of(estimator)).__name__.endswith("Ranker")


def last_of(estimator: Any) -> Any:
    """The estimator that answers: of a pipeline the last step, of a search the best."""
    while True:
        if isinstance(estimator, Pipeline) and estimator.steps:
            inner = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            inner = estimator.best_estimator_
        else:
            return estimator
        if inner is None or isinstance(inner, str):
            return estimator
        estimator = inner


def gives_probabilities(estimator: Any) -> bool:
    """Whether predict_proba answers: a chain has the method, and fails unless all targets have two
    classes; so has one-vs-rest where one label is constant, whatever the others have.
    """
    if not hasattr(estimator, "predict_proba"):
        return False
    last = last_of(estimator)
    if isinstance(last, ClassifierChain):
        return all(len(classes) == 2 for classes in last.classes_)
    if isinstance(last, OneVsRestClassifier):
        return all(hasattr(member, "predict_proba") for member in last.estimators_)
    return True


def _read_classifier(estimator: Any) -> tuple[Task, tuple[Array, ...]]:
    last = last_of(estimator)
    binarizer = getattr(last, "label_binarizer_", getattr(last, "_label_binarizer", None))
    if getattr(binarizer, "y_type_", "").startswith("multilabel"):
        return "multioutput_classification", (np.array([0, 1]),) * len(estimator.classes_)
    classes = estimator.classes_
    if isinstance(last, ClassifierChain):  # which lists them in the order of the chain
        classes = [classes[i] for i in np.argsort(last.order_)]
    if isinstance(classes, list) and len(classes) > 1:
        return "multioutput_classification", tuple(np.asarray(each) for each in classes)
    only = np.asarray(classes[0] if isinstance(classes, list) else classes)
    if len(only) < 2:
        raise ExportError("the classifier was fitted on one class only; fit it on at least two")
    return "binary_classification" if len(only) == 2 else "multiclass_classification", (only,)


def _clusters(estimator: Any) -> Array:
    """The labels that predict can give, sorted."""
    last = last_of(estimator)
    if hasattr(last, "subcluster_labels_"):
        return np.unique(last.subcluster_labels_)
    for centers in ("cluster_centers_", "means_"):
        if hasattr(last, centers):
            return np.arange(len(getattr(last, centers)))
    if hasattr(last, "labels_"):
        return np.unique(last.labels_)
    raise _refused(last, "it doesn't tell its clusters", "Use KMeans.")


def _refused(estimator: Any, reason: str, nearest: str) -> UnsupportedModel:
    return UnsupportedModel(
        step="", estimator=type(last_of(estimator)).__name__, reason=reason, nearest=nearest
    )

"""What y says of an estimator's answers: one number, by what the estimator is for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score, r2_score

from onnxport.export.subject import Subject
from onnxport.export.tasks import last_of


def measure(subject: Subject, X: Any, y: Any) -> dict[str, float]:
    """The metric by its name, nothing where it is undefined: a classifier's accuracy (of several
    targets the share of rows that are right in all of them), a regressor's R², an outlier detector's
    accuracy where y holds -1 and 1, a clusterer's adjusted Rand index (Hubert and Arabie, 1985).

    Raises ValueError or TypeError where y doesn't fit.
    """
    measured = _measure(subject, X, y)
    return {name: value for name, value in measured.items() if np.isfinite(value)}


def _measure(subject: Subject, X: Any, y: Any) -> dict[str, float]:
    estimator = subject.estimator
    if subject.task == "transformation":
        return {}
    if subject.task == "multioutput_classification":
        given, said = _dense(y), _dense(estimator.predict(X))
        if given.shape != said.shape:
            raise ValueError(f"its shape is {given.shape}, and the predictions' {said.shape}")
        return {"subset_accuracy": float((given == said).all(axis=1).mean())}
    if subject.task == "outlier_detection":
        given = np.ravel(_dense(y))
        known = bool(np.isin(given, subject.classes[0]).all())
        return {"accuracy": float((given == estimator.predict(X)).mean())} if known else {}
    if subject.task == "clustering":
        index = adjusted_rand_score(np.ravel(_dense(y)), estimator.predict(X))
        return {"adjusted_rand": float(index)}
    if type(last_of(estimator)).__name__.endswith("Ranker"):
        return {}  # which hangs on groups of rows
    given, said = np.squeeze(_dense(y)), np.squeeze(_dense(estimator.predict(X)))
    if given.shape != said.shape:
        answers = f"{said.shape[1]} numbers" if said.ndim > 1 else "one answer"
        raise ValueError(f"the model answers {answers} a row, and y has the shape {given.shape}")
    if subject.task == "regression":
        return {"r2": float(r2_score(given, said))}
    return {"accuracy": float((given.astype(said.dtype) == said).mean())}


def _dense(values: Any) -> Any:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)

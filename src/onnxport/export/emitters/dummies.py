"""Estimators that answer the same whatever they are asked.

Source: `sklearn/dummy.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from onnxport.export.decisions import code_from_raw
from onnxport.export.graph import Array, Columns
from onnxport.export.members import repeated
from onnxport.export.registry import Classified, Emission, Refusal, Several, Valued, emits


def _random_check(estimator: Any) -> Refusal | None:
    if estimator.sparse_output_:
        return Refusal("y", "it was fitted on sparse targets", "Fit on an array.")
    if estimator._strategy in ("stratified", "uniform"):
        return Refusal(
            "strategy",
            f"{estimator._strategy!r} answers at random",
            "Set strategy='prior', 'most_frequent' or 'constant'.",
        )
    return None


@emits(DummyClassifier, check=_random_check)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified | Several:
    """The class that was most frequent or chosen, surely or as often as it was."""
    several = estimator.n_outputs_ > 1
    classes = estimator.classes_ if several else [estimator.classes_]
    priors = estimator.class_prior_ if several else [estimator.class_prior_]
    constants = [None] * len(classes)
    if estimator._strategy == "constant":
        constants = np.ravel(np.asarray(estimator.constant)).tolist()
    strategy = estimator._strategy
    parts = tuple(
        _always(emission, columns, strategy, known, np.asarray(prior, np.float64), constant)
        for known, prior, constant in zip(classes, priors, constants, strict=True)
    )
    return Several(parts) if several else parts[0]


def _always(
    emission: Emission, columns: Columns, strategy: str, classes: Array, prior: Array, constant: Any
) -> Classified:
    place = np.flatnonzero(classes == constant)[0] if strategy == "constant" else prior.argmax()
    chosen = np.eye(len(classes))[place]
    graph = emission.graph
    code = code_from_raw(graph, repeated(graph, columns, chosen.tolist()))
    shares = prior if strategy == "prior" else chosen
    return Classified(code, repeated(graph, columns, shares.tolist()))


@emits(DummyRegressor)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    constant = np.broadcast_to(estimator.constant_, (1, estimator.n_outputs_))[0]
    return Valued(repeated(emission.graph, columns, constant.astype(np.float64).tolist()))

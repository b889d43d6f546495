"""Estimators that combine others: voting, stacking, bagging.

Sources: `sklearn/ensemble/_voting.py`, `_stacking.py`, `_bagging.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)

from onnxport.export.decisions import (
    code_from_raw,
)
from onnxport.export.graph import Array, Columns, joined, number_columns
from onnxport.export.members import (
    classified,
    one_hot,
    probabilities_of,
    valued,
    weighted_mean,
    weighted_sum,
)
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    emits,
    numbers_only,
    refuse,
    transforms,
)


def _members(estimator: Any) -> list[tuple[str, Any]]:
    names = [name for name, member in estimator.estimators if member != "drop"]
    return list(zip(names, estimator.estimators_, strict=True))


def _voting_check(estimator: Any) -> Refusal | None:
    if isinstance(estimator.classes_, list):
        return Refusal("y", "multi-label targets don't convert yet", "Fit one classifier a label.")
    codes = list(range(len(estimator.classes_)))
    if estimator.voting == "hard" and any(
        member.classes_.tolist() != codes for member in estimator.estimators_
    ):
        return Refusal(
            "estimators",
            "a member that was fitted beforehand votes with labels of its own",
            "Set voting='soft', or fit the members on labels 0, 1, 2 and so on.",
        )
    return None


def _voting_transform_check(estimator: Any) -> Refusal | None:
    if estimator.voting == "soft" and not estimator.flatten_transform:
        return Refusal(
            "flatten_transform",
            "its transform has three dimensions, and a step in the middle gives a table",
            "Set flatten_transform=True.",
        )
    return _voting_check(estimator)


@emits(VotingClassifier, check=_voting_check)
def emit_voting_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """Soft: the mean of probabilities. Hard: the code with the most votes, the first of equals."""
    graph, classes = emission.graph, len(estimator.classes_)
    weights = estimator._weights_not_none
    if estimator.voting == "soft":
        terms = [
            probabilities_of(emission, member, columns, name)
            for name, member in _members(estimator)
        ]
        proba = weighted_mean(graph, terms, weights)
        return Classified(code_from_raw(graph, proba), proba)
    codes = [
        classified(emission, member, columns, name).code for name, member in _members(estimator)
    ]
    votes = [one_hot(graph, code, classes) for code in codes]
    return Classified(code_from_raw(graph, weighted_sum(graph, votes, weights)), None)


@transforms(VotingClassifier, check=_voting_transform_check)
def emit_voting_transform(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Soft: the members' probabilities side by side. Hard: their codes."""
    graph, parts = emission.graph, []
    for name, member in _members(estimator):
        result = classified(emission, member, columns, name)
        if estimator.voting == "hard":
            _note_jumps(emission, member)
            code = graph.node("Unsqueeze", result.code, graph.integers([1]))
            parts.append(number_columns(graph.to_double(code), 1, dtype="int64", finite=True))
        elif result.proba is not None:
            parts.append(number_columns(result.proba, len(estimator.classes_), exact=False))
    return joined(parts)


@emits(VotingRegressor)
def emit_voting_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [valued(emission, member, columns, name) for name, member in _members(estimator)]
    return Valued(weighted_mean(emission.graph, terms, estimator._weights_not_none))


@transforms(VotingRegressor)
def emit_voting_regressor_transform(
    emission: Emission, estimator: Any, columns: Columns
) -> Columns:
    """The members' answers side by side."""
    return joined(
        number_columns(valued(emission, member, columns, name), 1, exact=False)
        for name, member in _members(estimator)
    )


def _stacked(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What the final estimator sees: the members' answers, then X itself where passed through."""
    parts = []
    for (name, member), method in zip(_members(estimator), estimator.stack_method_, strict=True):
        parts.append(_stack_part(emission, estimator, member, columns, name, method))
    if estimator.passthrough:
        numbers_only(emission, estimator, columns)
        parts.append(columns)
    return joined(parts)


def _stack_part(
    emission: Emission, estimator: Any, member: Any, columns: Columns, name: str, method: str
) -> Columns:
    graph = emission.graph
    if not hasattr(estimator, "classes_"):
        return number_columns(valued(emission, member, columns, name), 1)
    result = classified(emission, member, columns, name)
    classes = len(estimator.classes_)
    if method == "predict_proba" and result.proba is not None:
        whole = number_columns(result.proba, classes)
        return whole.pick([1]) if classes == 2 else whole
    if method == "decision_function" and result.decision is not None:
        return number_columns(result.decision, 1 if classes == 2 else classes)
    if method == "predict":
        column = graph.node("Unsqueeze", result.code, graph.integers([1]))
        labels = graph.constant(_numeric_classes(emission, member))
        _note_jumps(emission, member)
        return number_columns(graph.node("Gather", labels, column), 1, finite=True)
    reason = f"its {method} doesn't convert"
    raise refuse(
        emission, member, Refusal("stack_method", reason, "Set stack_method='predict_proba'.")
    )


def _is_forest(member: Any) -> bool:
    """A tree or a forest, whose answers agree to the last bit."""
    return type(member).__module__.startswith(("sklearn.tree.", "sklearn.ensemble._forest"))


@contextmanager
def _behind_members(emission: Emission, estimator: Any) -> Iterator[None]:
    """Trees that are emitted inside split what the members answer, which other than forests differ
    from the library's in the last bits.
    """
    before, emission.has_trees = emission.has_trees, False
    yield
    if emission.has_trees and not all(map(_is_forest, estimator.estimators_)):
        emission.shaky_trees = True
    emission.has_trees |= before


def _stacking_check(estimator: Any) -> Refusal | None:
    if isinstance(getattr(estimator, "classes_", None), list):
        return Refusal(
            "y",
            "multi-label targets don't convert yet",
            "Use MultiOutputClassifier with a StackingClassifier inside that has a final_estimator.",
        )
    return None


def _note_jumps(emission: Emission, member: Any) -> None:
    """A label that becomes a number jumps where the member's scores tie, which hangs on their last
    bit.
    """
    emission.shaky_trees |= not _is_forest(member)


def _numeric_classes(emission: Emission, member: Any) -> Array:
    """What a member's predict answers, which the final estimator takes as numbers; one that was
    fitted beforehand has labels of its own.
    """
    classes = np.asarray(member.classes_)
    if classes.dtype.kind not in "biuf":
        reason = "the final estimator gets its labels as they are, and they are no numbers"
        nearest = "Set stack_method='predict_proba'."
        raise refuse(emission, member, Refusal("stack_method", reason, nearest))
    return classes.astype(np.float64)


@transforms(StackingClassifier, StackingRegressor, check=_stacking_check)
def emit_stacking_transform(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """What the final estimator sees."""
    return _stacked(emission, estimator, columns)


@emits(StackingClassifier, check=_stacking_check)
def emit_stacking_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    seen = _stacked(emission, estimator, columns)
    with _behind_members(emission, estimator):
        return classified(emission, estimator.final_estimator_, seen, "final_estimator_")


@emits(StackingRegressor)
def emit_stacking_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    seen = _stacked(emission, estimator, columns)
    with _behind_members(emission, estimator):
        return Valued(valued(emission, estimator.final_estimator_, seen, "final_estimator_"))


@emits(BaggingClassifier)
def emit_bagging_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The mean of the members' probabilities, or of their votes where they have none, each on its
    own subset of features.
    """
    graph, classes = emission.graph, len(estimator.classes_)
    terms = []
    for i, (member, features) in enumerate(
        zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    ):
        name, seen = f"estimators_[{i}]", columns.pick(features.tolist())
        if hasattr(member, "predict_proba"):
            proba = probabilities_of(emission, member, seen, name)
        else:
            code = classified(emission, member, seen, name).code
            proba = one_hot(graph, code, len(member.classes_))
        if len(member.classes_) != classes:
            place = np.zeros((len(member.classes_), classes))
            place[np.arange(len(member.classes_)), member.classes_] = 1.0
            proba = graph.node("MatMul", proba, graph.constant(place))
        terms.append(proba)
    proba = weighted_mean(graph, terms, None)
    return Classified(code_from_raw(graph, proba), proba)


@emits(BaggingRegressor)
def emit_bagging_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    terms = [
        valued(emission, member, columns.pick(features.tolist()), f"estimators_[{i}]")
        for i, (member, features) in enumerate(
            zip(estimator.estimators_, estimator.estimators_features_, strict=True)
        )
    ]
    return Valued(weighted_mean(emission.graph, terms, None))

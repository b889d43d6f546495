"""Several targets at once: an estimator for each, side by side or in a chain.

Source: `sklearn/multioutput.py` (_get_predictions), `sklearn/utils/_response.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)

from onnxport.export.graph import Columns, joined, number_columns, with_dtype
from onnxport.export.members import classified, valued
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Several,
    Valued,
    emits,
    finite_only,
    numbers_only,
    refuse,
)

_Said = TypeVar("_Said")


@emits(MultiOutputClassifier)
def emit_multi_output_classifier(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each target by its own classifier."""
    return Several(
        tuple(
            classified(emission, member, columns, f"estimators_[{i}]")
            for i, member in enumerate(estimator.estimators_)
        )
    )


@emits(MultiOutputRegressor)
def emit_multi_output_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """Each target by its own regressor."""
    values = [
        valued(emission, member, columns, f"estimators_[{i}]")
        for i, member in enumerate(estimator.estimators_)
    ]
    return Valued(_in_order(emission, values))


def _chain_check(estimator: Any) -> Refusal | None:
    if any(classes.dtype.kind not in "biuf" for classes in estimator.classes_):
        return Refusal(
            "y",
            "a chain feeds its labels on as numbers, and these are none",
            "Encode the labels as numbers, or use MultiOutputClassifier.",
        )
    return None


@emits(ClassifierChain, check=_chain_check)
def emit_classifier_chain(emission: Emission, estimator: Any, columns: Columns) -> Several:
    """Each classifier sees X and what those before it said: labels, or the score of the second
    class.
    """
    method = getattr(estimator, "chain_method_", "predict")

    def member(i: int, seen: Columns) -> tuple[Classified, Columns]:
        part = classified(emission, estimator.estimators_[i], seen, f"estimators_[{i}]")
        return part, _handed_on(emission, estimator.estimators_[i], part, method)

    return Several(tuple(_chained(emission, estimator, columns, member)))


@emits(RegressorChain)
def emit_regressor_chain(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """Each regressor sees X and the values before its own."""

    def member(i: int, seen: Columns) -> tuple[str, Columns]:
        value = valued(emission, estimator.estimators_[i], seen, f"estimators_[{i}]")
        return value, number_columns(value, 1, exact=False)

    return Valued(_in_order(emission, _chained(emission, estimator, columns, member)))


def _chained(
    emission: Emission,
    estimator: Any,
    columns: Columns,
    member: Callable[[int, Columns], tuple[_Said, Columns]],
) -> list[_Said]:
    """What each member says, in the order of the targets. X is an array from here on, of doubles
    wherever a column of the chain stands beside it.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    seen = with_dtype(columns, "float64")
    said: dict[int, _Said] = {}
    for i, target in enumerate(estimator.order_):
        said[int(target)], handed = member(i, seen)
        seen = joined([seen, handed])
    return [said[target] for target in sorted(said)]


def _handed_on(emission: Emission, member: Any, part: Classified, method: str) -> Columns:
    """A chain's feature for the members behind this one."""
    graph = emission.graph
    if method == "predict":
        labels = graph.node("Gather", graph.constant(member.classes_), part.code)
        column = graph.node("Unsqueeze", labels, graph.integers([1]))
        return number_columns(column, 1, finite=True)
    if method == "decision_function" and part.decision is not None:
        return number_columns(part.decision, 1, exact=False)
    if part.proba is None:
        reason = f"its {method} doesn't convert"
        raise refuse(
            emission, member, Refusal("chain_method", reason, "Use chain_method='predict'.")
        )
    share = graph.node("Gather", part.proba, graph.integers([1]), axis=1)
    if method == "predict_log_proba":
        share = graph.node("Log", share)
    return number_columns(share, 1, finite=method == "predict_proba", exact=False)


def _in_order(emission: Emission, values: list[str]) -> str:
    return values[0] if len(values) == 1 else emission.graph.node("Concat", *values, axis=1)

"""The step at which the graph leaves the estimator: one row goes through both, step after step."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from onnxport.compare import relative_difference
from onnxport.errors import ExportError, shorten
from onnxport.export.clean_run import run_clean
from onnxport.export.convert import Conversion
from onnxport.export.graph import Columns
from onnxport.export.oracle import quietly
from onnxport.export.parity import Judge, feeds
from onnxport.export.registry import Classified, Tap, Valued
from onnxport.export.rows import RowSet
from onnxport.export.sample import Table
from onnxport.signature import NULL_TOKEN
from onnxport.tensors import Arrays

log = logging.getLogger(__name__)
# Fitted parts of an estimator that are asked with its own X.
_PARTS = ("best_estimator_", "estimator_", "estimator", "regressor_", "init_")


@dataclass(frozen=True, slots=True)
class Departure:
    """The path of the step, and what there is to say of it."""

    step: str
    sentence: str


_UNKNOWN = Departure("", "Its steps can't be asked one by one, so which of them it is isn't known.")


def find_departure(judge: Judge, conversion: Conversion, table: Table) -> Departure:
    """The first step whose values differ beyond the bar on this one row, else the last step."""
    estimator, X = judge.oracle.subject(table)
    taps = {tap.step: tap for tap in reversed(conversion.emission.taps)}  # the first of each path
    inside = _inside_graph(judge, conversion, taps.values(), table)
    try:
        with quietly():
            for step, own in follow(estimator, X, taps):
                given = _values(taps[step], inside)
                column = _differing(own, given, judge.bar)
                if column is not None:
                    return _told(taps[step], column, own, given)
    except Exception:  # a step may fail in any way where it is asked by itself
        log.debug("the steps can't be asked one by one", exc_info=True)
        return _UNKNOWN
    if taps and not inside:
        return _UNKNOWN
    step, last = _last(estimator)
    return _itself(step, type(last).__name__)


def follow(
    estimator: Any, X: Any, taps: Mapping[str, Tap], path: str = ""
) -> Iterator[tuple[str, list[Any]]]:
    """What the tapped steps of an estimator give for one row, inner steps first. A step that can't
    be asked by itself is left out.
    """
    for name, part, seen in _parts_of(estimator, X, path, taps):
        yield from follow(part, seen, taps, _join(path, name))
    tap = taps.get(path)
    method = {Columns: "transform", Classified: "predict_proba", Valued: "predict"}.get(
        type(tap.result) if tap else type(None)
    )
    if method is None or not hasattr(estimator, method):
        return
    try:
        answer = getattr(estimator, method)(X)
    except Exception:  # a part that takes something else than X, or refuses the row
        return
    answer = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
    yield path, answer.ravel().tolist()


def _parts_of(
    estimator: Any, X: Any, path: str, taps: Mapping[str, Tap]
) -> Iterator[tuple[str, Any, Any]]:
    """The fitted parts of an estimator with their names, in the order of work, each with its X."""
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps:
            if _is_estimator(step):
                yield name, step, X
                X = step.transform(X) if step is not estimator.steps[-1][1] else X
    elif isinstance(estimator, ColumnTransformer):
        for name, part, columns in estimator.transformers_:
            if _is_estimator(part):
                indices = [int(i) for i in estimator._transformer_to_input_indices[name]]
                seen = X.iloc[:, indices] if hasattr(X, "iloc") else X[:, indices]
                if np.isscalar(columns):  # one column by itself, as the text vectorizers take it
                    seen = seen.iloc[:, 0] if hasattr(seen, "iloc") else seen[:, 0]
                yield name, part, seen
    elif isinstance(estimator, FeatureUnion):
        yield from ((n, part, X) for n, part in estimator.transformer_list if _is_estimator(part))
    else:
        for name, part in _members(estimator):
            if any(step.startswith(_join(path, name)) for step in taps):
                yield name, part, X


def _members(estimator: Any) -> Iterator[tuple[str, Any]]:
    yield from ((name, getattr(estimator, name)) for name in _PARTS if hasattr(estimator, name))
    yield from getattr(estimator, "named_estimators_", {}).items()
    if getattr(estimator, "estimators_features_", None) is None:  # else each has its own columns
        members = np.ravel(np.asarray(getattr(estimator, "estimators_", ()), dtype=object))
        yield from ((f"estimators_[{i}]", member) for i, member in enumerate(members))


def _is_estimator(step: Any) -> bool:
    return step is not None and not isinstance(step, str)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _last(estimator: Any, path: str = "") -> tuple[str, Any]:
    """The predictor at the end, behind pipelines and searches."""
    if isinstance(estimator, Pipeline) and _is_estimator(estimator.steps[-1][1]):
        name, last = estimator.steps[-1]
        return _last(last, _join(path, name))
    best = getattr(estimator, "best_estimator_", None)
    return (path, estimator) if best is None else _last(best, _join(path, "best_estimator_"))


def _tensors(tap: Tap) -> list[tuple[str, bool]]:
    """The tensors that a tap needs, each with whether it holds strings."""
    result = tap.result
    if isinstance(result, Columns):
        return [(c.tensor, c.kind == "string") for c in result.items if c.tensor]
    if isinstance(result, Classified):
        return [(result.proba, False)] if result.proba else []
    return [(result.value, False)] if isinstance(result, Valued) else []


def _inside_graph(judge: Judge, conversion: Conversion, taps: Any, table: Table) -> Arrays:
    """The values of all tapped tensors for the row; none where the graph can't be run so."""
    needed = dict.fromkeys(tensor for tap in taps for tensor in _tensors(tap))
    doubles = [name for name, is_string in needed if not is_string]
    strings = [name for name, is_string in needed if is_string]
    content, outputs = conversion.tapped(doubles, strings)
    try:
        got = run_clean(content, [feeds(judge.signature, RowSet("worst", table))])[0]
    except ExportError:
        return {}
    return {name: got[output] for name, output in zip([*doubles, *strings], outputs, strict=True)}


def _values(tap: Tap, inside: Arrays) -> list[Any]:
    """What the step gives in the graph for the row; empty where that isn't known."""
    if any(name not in inside for name, _ in _tensors(tap)):
        return []
    if isinstance(tap.result, Columns):
        return [inside[c.tensor][0, c.index] if c.tensor else None for c in tap.result.items]
    return [value for name, _ in _tensors(tap) for value in inside[name][0].ravel().tolist()]


def _differing(own: list[Any], given: list[Any], bar: float) -> int | None:
    """The column in which two rows differ most, if it is by more than the bar."""
    if len(own) != len(given) or not own:
        return None
    apart = [_difference(a, b) for a, b in zip(own, given, strict=True)]
    most = int(np.argmax(apart))
    return most if apart[most] > bar else None


def _difference(own: Any, given: Any) -> float:
    if isinstance(given, str):
        is_null = own is None or own != own
        return 0.0 if (is_null and given == NULL_TOKEN) or own == given else np.inf
    try:
        wanted = np.array([np.nan if own is None else float(own)])
    except (TypeError, ValueError):  # a column that nothing reads
        return 0.0
    return 0.0 if given is None else float(relative_difference(wanted, np.array([given]))[0])


def _told(tap: Tap, column: int, own: list[Any], given: list[Any]) -> Departure:
    if not isinstance(tap.result, Columns):
        return _itself(tap.step, tap.estimator)
    sentence = (
        f"The two first differ after step '{tap.step}' ({tap.estimator}), output column {column}: "
        f"{_shown(own[column])} in the estimator, {_shown(given[column])} in the graph."
    )
    return Departure(tap.step, sentence)


def _itself(step: str, estimator: str) -> Departure:
    """No transformed column differs: it is the predictor."""
    if not step:
        return Departure(step, f"The difference arises in {estimator} itself.")
    return Departure(
        step,
        f"All columns agree up to step '{step}' ({estimator}), where the difference arises.",
    )


def _shown(value: Any) -> str:
    return shorten(repr(value.item() if isinstance(value, np.generic) else value))

"""CatBoost's models: trees of float32 questions, whose leaves are added in double.

Sources: `catboost/python-package/catboost/core.py`, `catboost/libs/model/eval_processing.h`,
`catboost/libs/eval_result/eval_helpers.cpp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from catboost import (
    CatBoost,
    CatBoostClassifier,
    CatBoostError,
    CatBoostRanker,
    CatBoostRegressor,
)
from sklearn.base import ClassifierMixin, RegressorMixin

from onnxport.errors import ExportError, UnsupportedModel
from onnxport.export.adapted import Adapted
from onnxport.export.boosters.catboost_categories import known_categories, text_of
from onnxport.export.boosters.catboost_columns import tree_columns
from onnxport.export.boosters.catboost_dump import LABELS, Dump, read_dump
from onnxport.export.decisions import (
    code_from_raw,
    code_from_sign,
    columns_of,
    expit,
    label_from_raw,
    pair,
)
from onnxport.export.graph import Array, Columns
from onnxport.export.registry import (
    Check,
    Classified,
    Emission,
    Refusal,
    Several,
    Valued,
    adapts,
    emits,
    numbers_only,
    refuse,
)
from onnxport.export.trees import add_leaves, tree_input


def _refusal(native: Any) -> Refusal | None:
    """What no tree of such a model converts with."""
    if native.get_text_feature_indices():
        return Refusal(
            "text_features",
            "CatBoost makes numbers of texts by dictionaries of its own, which don't convert",
            "Put a TfidfVectorizer or CountVectorizer for these columns in front.",
        )
    if native.get_embedding_feature_indices():
        return Refusal(
            "embedding_features",
            "CatBoost makes numbers of embeddings by calculations of its own, which don't convert",
            "Pass each number of an embedding as a column.",
        )
    return None


def _classifier_refusal(native: Any) -> Refusal | None:
    if not len(native.classes_):
        return Refusal(
            "loss_function",
            "it holds a model of a regression loss, which has no classes",
            "Load it into a CatBoostRegressor.",
        )
    return _refusal(native)


def _raw(emission: Emission, native: Any, columns: Columns) -> tuple[str, Dump]:
    """What `prediction_type="RawFormulaVal"` gives, double [N, dump.width]."""
    known = known_categories(emission, native, columns)
    texts = sorted({text_of(category) for each in known.values() for category in each})
    try:
        dump = read_dump(native, texts)
    except CatBoostError as err:
        reason = f"CatBoost doesn't export it: {err}"
        nearest = (
            "Where leaves are NaN or infinite, scale y or lower learning_rate, and fit it again."
        )
        raise refuse(emission, native, Refusal("", reason, nearest)) from err
    if not dump.complete:
        reason = "it encodes categories by several targets, and CatBoost doesn't export by which"
        nearest = (
            "Set grow_policy='SymmetricTree' and leave the CTR types as they are, raise one_hot_max_size above "
            "the number of categories, or fit a model for each target."
        )
        raise refuse(emission, native, Refusal("cat_features", reason, nearest))
    numbers_only(emission, native, columns.pick(dump.numbers))
    seen = tree_columns(emission, native, columns, dump, known)
    x = tree_input(emission, native, seen, dump.trees, single=True, infinite=True)
    graph = emission.graph
    with np.errstate(over="ignore"):  # missing numbers lie beyond a border of -3.4e38, or of 3.4e38
        raw = add_leaves(emission, dump.trees, x, dump.width)
    if dump.scale != 1:
        raw = graph.node("Mul", raw, graph.constant(dump.scale))
    if dump.bias.any():
        raw = graph.node("Add", raw, graph.constant(dump.bias[None, :]))
    return raw, dump


@emits(CatBoostClassifier, check=_classifier_refusal)
def emit_classifier(emission: Emission, native: Any, columns: Columns) -> Classified | Several:
    """One raw number is the logit of the second class, several are one a class. A label of several at
    once is given by its own raw number.
    """
    raw, dump = _raw(emission, native, columns)
    graph = emission.graph
    if dump.width == 1:
        return _binary(emission, raw, dump.border)
    if dump.loss in LABELS:
        proba = columns_of(graph, expit(graph, raw), dump.width)
        raws = columns_of(graph, raw, dump.width)
        pairs = zip(raws, proba, strict=True)
        return Several(tuple(_label(emission, r, p, dump.border) for r, p in pairs))
    return _multiclass(emission, raw, dump, len(native.classes_))


def _binary(emission: Emission, raw: str, border: float) -> Classified:
    graph = emission.graph
    positive = expit(graph, raw)
    over = graph.node("Sub", raw, graph.constant(border)) if border else raw
    return Classified(code_from_sign(graph, over), pair(graph, positive), over)


def _label(emission: Emission, raw: str, proba: str, border: float) -> Classified:
    over = emission.graph.node("Sub", raw, emission.graph.constant(border)) if border else raw
    return label_from_raw(emission.graph, over, 0.0, proba=proba, decision=over)


def _multiclass(emission: Emission, raw: str, dump: Dump, classes: int) -> Classified:
    """MultiClassOneVsAll gives probabilities that don't sum to 1."""
    graph, places = emission.graph, dump.places or tuple(range(dump.width))
    if places != tuple(range(classes)):
        raw = _spread(emission, raw, places, classes)
    alone = dump.loss == "MultiClassOneVsAll"
    proba = expit(graph, raw) if alone else graph.node("Softmax", raw, axis=1)
    return Classified(code_from_raw(graph, raw), proba, raw)


def _spread(emission: Emission, raw: str, places: tuple[int, ...], classes: int) -> str:
    """The raw numbers at the places of their classes, and for a class that training lacked such as
    nothing has.
    """
    graph = emission.graph
    order = [places.index(i) if i in places else len(places) for i in range(classes)]
    padded = graph.node("Pad", raw, graph.integers([0, 0, 0, 1]), graph.constant(_NEVER))
    return graph.node("Gather", padded, graph.integers(order), axis=1)


_NEVER = -1e300


@emits(CatBoostRegressor, check=_refusal)
def emit_regressor(emission: Emission, native: Any, columns: Columns) -> Valued:
    """What its loss makes `predict` give: the raw numbers, their exponentials (Poisson, Tweedie), or a
    mean and a variance (RMSEWithUncertainty).
    """
    raw, _ = _raw(emission, native, columns)
    graph, kind = emission.graph, native._get_default_prediction_type()
    if kind == "Exponent":
        return Valued(graph.node("Exp", raw))
    if kind == "RMSEWithUncertainty":
        mean, deviation = columns_of(graph, raw, 2)
        variance = graph.node("Exp", graph.node("Mul", deviation, graph.constant(2.0)))
        return Valued(graph.node("Concat", mean, variance, axis=1))
    return Valued(raw)


@emits(CatBoost, CatBoostRanker, check=_refusal)
def emit_raw(emission: Emission, native: Any, columns: Columns) -> Valued:
    """A ranker's score; and of CatBoost itself the raw numbers, whatever its loss, as its `predict`
    gives nothing else.
    """
    return Valued(_raw(emission, native, columns)[0])


class _Native(Adapted):
    """A CatBoost model that comes alone."""

    @property
    def n_features_in_(self) -> int:
        return len(self.native.feature_names_)

    @property
    def feature_names_in_(self) -> Array:
        """object [features]. Raises AttributeError where it only counts them."""
        names = self.native.feature_names_
        if all(name.isdecimal() for name in names):
            raise AttributeError("feature_names_in_")
        return np.array(names, dtype=object)

    @property
    def categories_(self) -> list[Array]:
        """That categorical features hold strings where there is no X: which ones, nobody knows."""
        chosen = set(self.native.get_cat_feature_indices())
        return [np.array([""] * (i in chosen), dtype=object) for i in range(self.n_features_in_)]

    def get_params(self, **_: Any) -> dict[str, Any]:
        parameters: dict[str, Any] = self.native.get_params()
        return parameters

    def predict(self, X: Any) -> Array:
        return np.asarray(self.native.predict(X))


class NativeValues(RegressorMixin, _Native):  # type: ignore[misc]  # scikit-learn has no types
    """A CatBoost, CatBoostRegressor or CatBoostRanker."""


class NativeClasses(ClassifierMixin, _Native):  # type: ignore[misc]
    """A CatBoostClassifier. Of several labels at once, each is given or not."""

    @property
    def classes_(self) -> Any:
        labels = np.asarray(self.native.classes_)
        return [np.array([0, 1])] * len(labels) if _is_multilabel(self.native) else labels

    def predict_proba(self, X: Any) -> Array:
        return np.asarray(self.native.predict_proba(X))


def _is_multilabel(native: Any) -> bool:
    loss = native._get_canonized_params().get("loss_function")
    return isinstance(loss, str) and loss.startswith(LABELS)


@adapts(CatBoost, CatBoostRanker, CatBoostRegressor)
def _as_values(native: Any) -> Any:
    return NativeValues(_checked(native, _refusal))


@adapts(CatBoostClassifier)
def _as_classes(native: Any) -> Any:
    return NativeClasses(_checked(native, _classifier_refusal))


def _checked(native: Any, check: Check) -> Any:
    """The model, unless it doesn't convert: before X is read, which may hold texts and embeddings."""
    name = type(native).__name__
    if not native.is_fitted():
        raise ExportError(f"{name} is not fitted; call fit before saving")
    refusal = check(native)
    if refusal is not None:
        raise UnsupportedModel(
            step="",
            estimator=name,
            parameter=refusal.parameter,
            reason=refusal.reason,
            nearest=refusal.nearest,
        )
    return native


@emits(NativeValues)
def emit_native_values(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """As its own class."""
    native = estimator.native
    rule = emit_regressor if type(native) is CatBoostRegressor else emit_raw
    result: Valued = rule(emission, native, columns)
    return result


@emits(NativeClasses)
def emit_native_classes(
    emission: Emission, estimator: Any, columns: Columns
) -> Classified | Several:
    """As its own class."""
    result: Classified | Several = emit_classifier(emission, estimator.native, columns)
    return result

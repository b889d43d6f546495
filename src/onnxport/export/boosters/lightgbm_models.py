"""LightGBM: gradient boosted trees that compare doubles, with sets of categories and linear leaves."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from onnx import TensorProto

from onnxport.datatypes import MAX_EXACT_INTEGER
from onnxport.errors import shorten
from onnxport.export.boosters.lightgbm_boosters import (
    LightGBMBooster,
    LightGBMClassifierBooster,
    LightGBMRegressorBooster,
    adapt_booster,
)
from onnxport.export.boosters.lightgbm_categories import Features, with_codes
from onnxport.export.boosters.lightgbm_dump import LightModel, LightTree, read_model
from onnxport.export.boosters.lightgbm_links import answers, classified
from onnxport.export.boosters.lightgbm_trees import raw_scores
from onnxport.export.graph import Columns, number_columns
from onnxport.export.registry import (
    Classified,
    Emission,
    Refusal,
    Valued,
    adapts,
    emits,
    numbers_only,
    refuse,
)
from onnxport.export.treeoperator import floor_rounded

adapts(lightgbm.Booster)(adapt_booster)


def _check_prediction(estimator: Any) -> Refusal | None:
    if not _given(estimator.get_params().get("pred_early_stop", False)):
        return None
    return Refusal(
        "pred_early_stop",
        "it leaves out trees for rows that are far from the boundary, so probabilities are rough",
        "Set pred_early_stop=False; the estimator needs no new fit.",
    )


def _check_classifier(estimator: Any) -> Refusal | None:
    if callable(estimator.objective_):
        return Refusal(
            "objective",
            "with a function as objective, predict gives raw scores instead of labels and probabilities",
            "Fit with objective='binary', 'multiclass', 'multiclassova' or 'cross_entropy'.",
        )
    width = estimator.booster_.num_model_per_iteration()
    if width > 1 and width != len(estimator.classes_):
        return Refusal(
            "num_class",
            "it gives more probabilities than there were classes in y",
            "Leave num_class out: LightGBM counts the classes.",
        )
    return _check_prediction(estimator)


def _given(value: Any) -> bool:
    """A switch as LightGBM reads it."""
    return str(value).lower() in ("true", "1", "+")


@emits(lightgbm.LGBMClassifier, check=_check_classifier)
def emit_classifier(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """The first of the largest probabilities; of two classes 1 - p and p, whatever the objective."""
    return _classified(emission, estimator, columns, estimator.booster_)


@emits(lightgbm.LGBMRegressor, lightgbm.LGBMRanker, check=_check_prediction)
def emit_regressor(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """All objectives with their links; of a function, and of ranking, the raw score."""
    return _valued(emission, estimator, columns, estimator.booster_)


@emits(LightGBMClassifierBooster)
def emit_classifier_booster(emission: Emission, estimator: Any, columns: Columns) -> Classified:
    """`Booster.predict` gives p, or one probability a class."""
    return _classified(emission, estimator, columns, estimator.native)


@emits(LightGBMRegressorBooster)
def emit_regressor_booster(emission: Emission, estimator: Any, columns: Columns) -> Valued:
    """What `Booster.predict` gives."""
    return _valued(emission, estimator, columns, estimator.native)


def _classified(
    emission: Emission, estimator: Any, columns: Columns, booster: lightgbm.Booster
) -> Classified:
    raw, model = _raw(emission, estimator, columns, booster)
    return classified(emission.graph, raw, answers(emission.graph, raw, model), model)


def _valued(
    emission: Emission, estimator: Any, columns: Columns, booster: lightgbm.Booster
) -> Valued:
    raw, model = _raw(emission, estimator, columns, booster)
    return Valued(answers(emission.graph, raw, model))


def _raw(
    emission: Emission, estimator: Any, columns: Columns, booster: lightgbm.Booster
) -> tuple[str, LightModel]:
    """The sum of the trees, and the model."""
    model = read_model(booster)
    if not model.trees:
        reason = "the booster holds no trees yet"
        raise refuse(
            emission, estimator, Refusal("", reason, "Train it: lightgbm.train or update.")
        )
    framed = hasattr(estimator, "feature_names_in_")
    if framed and booster.pandas_categorical is None:
        _no_categories(emission, estimator, columns)
    features = _features(emission, estimator, columns, booster.pandas_categorical or [])
    raw = raw_scores(emission, estimator, features, model)
    if not framed:
        _mark_rounded(emission, estimator, features, model, raw)
    return raw, model


def _no_categories(emission: Emission, estimator: Any, columns: Columns) -> None:
    if any(column.categories is not None for column in columns.items):
        reason = (
            "it keeps no record of pandas' categories, so LightGBM takes for their codes what each batch has "
            "as categories"
        )
        nearest = "Pass codes as numbers, as in training, or train on the DataFrame."
        raise refuse(emission, estimator, Refusal("X", reason, nearest))


def _strings_among(columns: Columns) -> str:
    """The columns of strings by name, which may be meant."""
    named = [c.origin.feature for c in columns.items if c.kind == "string" and c.origin]
    listed = ", ".join(repr(shorten(name)) for name in named[:5])
    return f" (X has strings in {listed})" if named else ""


def _features(
    emission: Emission, estimator: Any, columns: Columns, categories: list[list[Any]]
) -> Features:
    """LightGBM takes the category columns of X, in their order, for those of training."""
    if not categories:
        numbers_only(emission, estimator, columns)
        return with_codes(emission, columns, {})
    chosen = [i for i, column in enumerate(columns.items) if column.categories is not None]
    if len(chosen) != len(categories):
        reason = (
            f"it was fitted on a DataFrame with {len(categories)} columns of dtype category, and gets "
            f"{len(chosen)}{_strings_among(columns)}"
        )
        nearest = "Pass X, the DataFrame of training, with the same columns as categories."
        raise refuse(emission, estimator, Refusal("X", reason, nearest))
    others = columns.pick([i for i in range(len(columns)) if i not in chosen])
    numbers_only(emission, estimator, others)
    for value in (value for values in categories for value in values):
        if not isinstance(value, str) and abs(value) >= MAX_EXACT_INTEGER:
            reason = f"the category {value} is beyond 2^53, where numbers turn inexact"
            nearest = "Turn the column into strings before making categories of it."
            raise refuse(emission, estimator, Refusal("categories", reason, nearest))
    return with_codes(emission, columns, dict(zip(chosen, categories, strict=True)))


def _mark_rounded(
    emission: Emission, estimator: Any, features: Features, model: LightModel, raw: str
) -> None:
    """Of arrays LightGBM takes float32 and float64 as they are, and rounds all others to float32: a batch
    of whole numbers, unless it holds a NaN and so is float64. Rows in which that shows are left unanswered.
    """
    kind = features.sources.dtype.kind
    if kind == "O" and isinstance(estimator, LightGBMBooster):
        reason = "LightGBM rounds an array of objects to float32"
        nearest = "Train on X.astype(float), or on a DataFrame, which it takes as float64."
        raise refuse(emission, estimator, Refusal("X", reason, nearest))
    if kind in "biu" and (model.linear or any(map(_tells_rounded, model.trees))):
        graph = emission.graph
        tensor = graph.rounded(graph.matrix(features.codes))
        rounded = number_columns(tensor, len(features.codes))
        other = raw_scores(emission, estimator, Features(rounded, rounded), model)
        same = graph.cast(graph.node("Equal", raw, other), TensorProto.INT64)
        every = graph.node("ReduceMin", same, graph.integers([1]), keepdims=1)
        emission.undecided.append(graph.node("Not", graph.cast(every, TensorProto.BOOL)))


def _tells_rounded(tree: LightTree) -> bool:
    """Whether a whole number is on one side of a split point, and on the other when it is rounded."""
    split = tree.threshold[~tree.categorical]
    return bool((np.floor(split) != np.floor(floor_rounded(split))).any())

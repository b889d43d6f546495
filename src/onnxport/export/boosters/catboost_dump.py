"""A CatBoost model as neutral arrays, read from the JSON that the library itself writes, whose numbers are exact.

Sources: `catboost/libs/model/model_export/json_model_helpers.cpp`, `model.cpp`, `eval_processing.h`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from catboost import Pool

from onnxport.export.boosters.catboost_ctrs import COUNTERS, Ctr, read_ctr
from onnxport.export.boosters.catboost_targets import tables_of_targets
from onnxport.export.graph import Array
from onnxport.export.treeoperator import Tree

LABELS = ("MultiLogloss", "MultiCrossEntropy")
# Losses of several targets, each of which may encode categories by itself.
OF_TARGETS = (*LABELS, "MultiRMSE", "MultiRMSEWithMissingValues", "SurvivalAft")


@dataclass(frozen=True, slots=True)
class Dump:
    """A model. numbers, categories: the places in X of its features of each kind.

    The trees' columns are the numbers, then one for each of `values` (0 or 1: the categorical feature
    has the category of this hash), then one for each of `ctrs`. width: how many raw numbers a row.
    raw = scale · Σ trees + bias. border: the raw number above which a label is given. places: of each raw
    number, which class. hashes: of categories, by their text.
    """

    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    values: tuple[tuple[int, int], ...]
    ctrs: tuple[Ctr, ...]
    trees: tuple[Tree, ...]
    width: int
    scale: float
    bias: Array
    loss: str
    border: float
    places: tuple[int, ...]
    hashes: Mapping[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """column > threshold; missing: the answer to NaN."""

    column: int
    threshold: float
    missing: bool


def read_dump(native: Any, texts: Sequence[str]) -> Dump:
    """A fitted model without text and embedding features. texts: the categories to learn the hashes of."""
    document = _document(native, texts)
    features = document["features_info"]
    numbers = features.get("float_features") or []
    categories = features.get("categorical_features") or []
    values = [(i, hash) for i, each in enumerate(categories) for hash in each.get("values") or []]
    told = features.get("ctrs") or []
    scale, bias = document["scale_and_bias"]
    info = document["model_info"]
    tables = _tables(native, texts, document)
    questions = _questions(numbers, len(values), told)
    oblivious = document.get("oblivious_trees") or []
    width = len(bias)
    trees = [_oblivious(tree, questions, width) for tree in oblivious]
    trees += [_free(tree, questions, width) for tree in document.get("trees") or []]
    found = features.get("cat_features_hash") or []
    return Dump(
        numbers=tuple(each["flat_feature_index"] for each in numbers),
        categories=tuple(each["flat_feature_index"] for each in categories),
        values=tuple((i, hash % 2**32) for i, hash in values),
        ctrs=tuple(read_ctr(c, numbers, t) for c, t in zip(told, tables or (), strict=False)),
        trees=tuple(trees) or (_lone_leaf(width),),
        width=width,
        scale=float(scale),
        bias=np.array(bias, dtype=np.float64),
        loss=_loss(info),
        border=_logit(float(info.get("binclass_probability_threshold", 0.5))),
        places=_places(info),
        hashes={each["value"]: each["hash"] for each in found},
        complete=tables is not None,
    )


def _document(native: Any, texts: Sequence[str]) -> dict[str, Any]:
    """The model's JSON. It tells the hashes of the categories in a pool that is handed to it."""
    document: dict[str, Any] = json.loads(_exported(native, texts, "json"))
    return document


def _exported(native: Any, texts: Sequence[str], form: str) -> str:
    """The model in a format of text."""
    pool = _pool(native, texts) if texts else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        native.save_model(str(path), format=form, pool=pool)
        return path.read_text("utf-8")


def _tables(
    native: Any, texts: Sequence[str], document: Mapping[str, Any]
) -> Sequence[Mapping[str, Any]] | None:
    """A table for each CTR, in their order; None where they can't be told apart by target."""
    ctrs = document["features_info"].get("ctrs") or []
    counters = all(each["ctr_type"] in COUNTERS for each in ctrs)
    if counters or _loss(document["model_info"]) not in OF_TARGETS:
        return [document["ctr_data"][each["identifier"]] for each in ctrs]
    if "trees" in document:  # the Python code knows oblivious ones only
        return None
    return tables_of_targets(_exported(native, texts, "python"), ctrs)


def _pool(native: Any, texts: Sequence[str]) -> Pool:
    """Rows with these texts in each categorical feature."""
    categories = set(native.get_cat_feature_indices())
    words, zeros = np.array(texts, dtype=object), np.zeros(len(texts))
    names = native.feature_names_
    columns = {name: words if i in categories else zeros for i, name in enumerate(names)}
    return Pool(pd.DataFrame(columns), cat_features=sorted(categories))


def _loss(info: Mapping[str, Any]) -> str:
    """The name of the loss; a sum of models keeps it elsewhere than a model."""
    found = info.get("loss_function") or info.get("params", {}).get("loss_function") or {}
    found = json.loads(found) if isinstance(found, str) and found.startswith("{") else found
    return str(found.get("type", "") if isinstance(found, dict) else found).partition(":")[0]


def _places(info: Mapping[str, Any]) -> tuple[int, ...]:
    """The class of each raw number, by its place among all: a class that training lacked has none."""
    told = info.get("class_params") or {}
    told = json.loads(told) if isinstance(told, str) else told
    return tuple(int(place) for place in told.get("class_to_label", ()))


def _logit(probability: float) -> float:
    """As `GetBinClassLogitThreshold`."""
    with np.errstate(divide="ignore"):
        return float(-np.log(1 / np.float64(probability) - 1))


def _questions(numbers: Sequence[Any], values: int, ctrs: Sequence[Any]) -> tuple[_Question, ...]:
    """All splits that trees may name, in the order of their `split_index`."""
    found = []
    for column, each in enumerate(numbers):
        missing = each["nan_value_treatment"] == "AsTrue"
        borders = np.array(each["borders"], dtype=np.float32).tolist()
        found += [_Question(column, border, missing) for border in borders]
    found += [_Question(len(numbers) + i, 0.5, False) for i in range(values)]
    for i, each in enumerate(ctrs):
        column = len(numbers) + values + i
        borders = np.array(each["borders"], dtype=np.float32).tolist()
        found += [_Question(column, border, False) for border in borders]
    return tuple(found)


@dataclass
class _Growing:
    """A tree's nodes as they are made."""

    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    questions: list[_Question] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)

    def add(self, question: _Question, value: Array) -> int:
        self.left.append(-1)
        self.right.append(-1)
        self.questions.append(question)
        self.values.append(value)
        return len(self.left) - 1

    def tree(self) -> Tree:
        return Tree(
            left=np.array(self.left),
            right=np.array(self.right),
            feature=np.array([q.column for q in self.questions]),
            threshold=np.array([q.threshold for q in self.questions], dtype=np.float64),
            default_left=np.array([not q.missing for q in self.questions]),
            value=np.stack(self.values),
        )


_NOTHING = _Question(0, 0.0, False)


def _lone_leaf(width: int) -> Tree:
    """What adds nothing."""
    growing = _Growing()
    growing.add(_NOTHING, np.zeros(width))
    return growing.tree()


def _oblivious(tree: Any, questions: Sequence[_Question], width: int) -> Tree:
    """All nodes of a level ask the same: the answer to split i is bit i of the leaf's number."""
    asked = [questions[split["split_index"]] for split in tree.get("splits") or []]
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, width)
    growing = _Growing()
    _grow(growing, asked, values, _reachable(asked))
    return growing.tree()


def _reachable(asked: Sequence[_Question]) -> Array:
    """Which leaves some row can fall into, bool [leaves]: x > 2 without x > 1 is none."""
    leaves = np.arange(2 ** len(asked))
    possible = np.ones(len(leaves), dtype=np.bool_)
    for i, low in enumerate(asked):
        for j, high in enumerate(asked):
            if i != j and low.column == high.column and low.threshold <= high.threshold:
                possible &= ~((leaves >> j & 1 == 1) & (leaves >> i & 1 == 0))
    return possible


def _grow(growing: _Growing, asked: Sequence[_Question], values: Array, possible: Array) -> int:
    """The number of the node that tells these leaves apart, the last question first."""
    known = values[possible]
    if (known == known[0]).all():
        return growing.add(_NOTHING, known[0])
    half, fewer = len(values) // 2, asked[:-1]
    if not possible[half:].any():
        return _grow(growing, fewer, values[:half], possible[:half])
    if not possible[:half].any():
        return _grow(growing, fewer, values[half:], possible[half:])
    node = growing.add(asked[-1], known[0])
    growing.left[node] = _grow(growing, fewer, values[:half], possible[:half])
    growing.right[node] = _grow(growing, fewer, values[half:], possible[half:])
    return node


def _free(tree: Any, questions: Sequence[_Question], width: int) -> Tree:
    """A tree of any form, as depthwise and lossguide growing give."""
    growing = _Growing()
    _follow(growing, tree, questions, width)
    return growing.tree()


def _follow(growing: _Growing, node: Any, questions: Sequence[_Question], width: int) -> int:
    if "split" not in node:
        return growing.add(_NOTHING, np.array(node["value"], np.float64).reshape(width))
    place = growing.add(questions[node["split"]["split_index"]], np.zeros(width))
    growing.left[place] = _follow(growing, node["left"], questions, width)
    growing.right[place] = _follow(growing, node["right"], questions, width)
    return place

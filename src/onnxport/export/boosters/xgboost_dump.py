"""XGBoost's own record of a booster, its JSON, as neutral arrays.

Sources: `doc/model.schema`, `src/tree/io_utils.h`, `src/gbm/gbtree.cc` (LoadModel),
`src/data/cat_container.cc`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from onnxport.export.graph import Array

Json = Mapping[str, Any]
# The categories of a feature, as a booster remembers them: their codes by their keys, which are
# numbers, or the bytes of a string. Of equal keys the first counts, as `enc::Recode` of
# `src/encoder/ordinal.h` finds it.
Codes = Mapping[Any, int]
_WEIGHTS = ("base_weights", "leaf_weights")


@dataclass(frozen=True, slots=True)
class Grown:
    """One tree. left, right: children, -1 at leaves. split: float32, x < split goes left. value:
    float32 [nodes, width] at leaves. sets: by node that splits categories, the codes that go right.
    group: which output a width of 1 adds to. weight: of a dropout tree.
    """

    left: Array
    right: Array
    feature: Array
    split: Array
    default_left: Array
    value: Array
    sets: Mapping[int, tuple[int, ...]]
    group: int
    weight: Any


@dataclass(frozen=True, slots=True)
class Dump:
    """A booster. kind: gblinear, gbtree (which newer versions call dart too) or dart. base: where the
    sums begin, float32 [groups]. weights: of gblinear, float32 [features + 1, groups], the bias
    last. codes: by feature, of those whose categories the booster knows.
    """

    kind: str
    objective: str
    groups: int
    features: int
    base: Array
    trees: tuple[Grown, ...]
    weights: Array | None
    codes: Mapping[int, Codes]


def objective_of(booster: xgboost.Booster) -> str:
    """The name of its objective, as XGBoost spells it now."""
    name: str = json.loads(booster.save_config())["learner"]["objective"]["name"]
    return name


def groups_of(booster: xgboost.Booster) -> int:
    """How many numbers a booster's sums have: classes or targets."""
    parameters = json.loads(booster.save_config())["learner"]["learner_model_param"]
    return _groups(parameters)


def _groups(parameters: Json) -> int:
    return max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))


def known_codes(booster: xgboost.Booster) -> dict[int, Codes]:
    """By feature, the categories that a booster remembers: since 3.1, of pandas' columns."""
    if "c" not in (booster.feature_types or ()):
        return {}
    boosted = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    return _codes(_model(boosted).get("cats", {}))


def read_booster(booster: xgboost.Booster, rounds: int | None) -> Dump:
    """Everything of a booster's first so many rounds, or of all."""
    document = json.loads(booster.save_raw("json"))
    learner = document["learner"]
    boosted, parameters = learner["gradient_booster"], learner["learner_model_param"]
    kind, groups = boosted["name"], _groups(parameters)
    features = int(parameters["num_feature"])
    linear = kind == "gblinear"
    return Dump(
        kind=kind,
        objective=learner["objective"]["name"],
        groups=groups,
        features=features,
        base=_base(booster, document, groups),
        trees=() if linear else _trees(boosted, rounds),
        weights=_weights(boosted, features, groups) if linear else None,
        codes=_codes(_model(boosted).get("cats", {})),
    )


def _weights(boosted: Json, features: int, groups: int) -> Array:
    weights = np.array(boosted["model"]["weights"], dtype=np.float32)
    return weights.reshape(features + 1, groups)


def _model(boosted: Json) -> Any:
    """The trees' own part: dropout wraps it once more."""
    return boosted.get("gbtree", boosted)["model"]


def _first_trees(model: Json, rounds: int | None) -> int:
    """How many trees the first so many rounds have."""
    starts = model.get("iteration_indptr")
    count = len(model["trees"])
    if rounds is None:
        return count
    if starts is None:
        parallel = int(model["gbtree_model_param"]["num_parallel_tree"])
        width = 1 + max(model["tree_info"], default=0)
        return min(count, rounds * parallel * width)
    return int(starts[min(rounds, len(starts) - 1)])


def _trees(boosted: Json, rounds: int | None) -> tuple[Grown, ...]:
    model = _model(boosted)
    dropped = boosted.get("weight_drop") or model.get("weight_drop") or [1.0] * len(model["trees"])
    used = range(_first_trees(model, rounds))
    return tuple(_tree(model["trees"][i], model["tree_info"][i], dropped[i]) for i in used)


def _tree(tree: Json, group: int, weight: float) -> Grown:
    left = np.array(tree["left_children"], dtype=np.int64)
    right = np.array(tree["right_children"], dtype=np.int64)
    split = np.array(tree["split_conditions"], dtype=np.float32)
    width = int(tree["tree_param"]["size_leaf_vector"])
    kept = _reachable(left, right)
    number = np.full(len(left), -1)
    number[kept] = np.arange(len(kept))
    sets = _sets(tree)
    return Grown(
        left=np.where(left < 0, -1, number[left])[kept],
        right=np.where(left < 0, -1, number[right])[kept],
        feature=np.array(tree["split_indices"], dtype=np.int64)[kept],
        split=split[kept],
        default_left=np.array(tree["default_left"], dtype=bool)[kept],
        value=(split[:, None] if width <= 1 else _vectors(tree, left, width))[kept],
        sets={int(number[node]): codes for node, codes in sets.items() if number[node] >= 0},
        group=int(group),
        weight=np.float32(weight),
    )


def _reachable(left: Array, right: Array) -> Array:
    """The nodes below the root, in order: pruned ones stay in XGBoost's arrays."""
    found = level = np.array([0])
    while len(level := level[left[level] >= 0]):
        level = np.concatenate([left[level], right[level]])
        found = np.concatenate([found, level])
    return np.sort(found)


def _emptied(boosted: Json) -> Json:
    """The same booster with nothing to add: its first round of trees with leaves of 0, or lines
    without a slope.
    """
    model = _model(boosted)
    if boosted["name"] == "gblinear":
        return {**boosted, "model": {**model, "weights": [0.0] * len(model["weights"])}}
    count = _first_trees(model, 1)
    model = {
        **model,
        "trees": [_flat(tree) for tree in model["trees"][:count]],
        "tree_info": model["tree_info"][:count],
        "gbtree_model_param": {**model["gbtree_model_param"], "num_trees": str(count)},
    }
    shorter = {"iteration_indptr": 2, "weight_drop": count}
    model |= {name: model[name][:end] for name, end in shorter.items() if name in model}
    if "gbtree" not in boosted:
        return {**boosted, "model": model}
    dropped = boosted["weight_drop"][:count]
    return {**boosted, "gbtree": {**boosted["gbtree"], "model": model}, "weight_drop": dropped}


def _flat(tree: Json) -> Json:
    splits = zip(tree["split_conditions"], tree["left_children"], strict=True)
    zeros = {name: [0.0] * len(tree[name]) for name in _WEIGHTS if name in tree}
    return {**tree, **zeros, "split_conditions": [0.0 if left < 0 else s for s, left in splits]}


def _vectors(tree: Json, left: Array, width: int) -> Array:
    """Leaves of several numbers: since 3.1 in a table of their own, to which a leaf's right child
    points; before that, in its base weights.
    """
    if "leaf_weights" not in tree:
        return np.array(tree["base_weights"], dtype=np.float32).reshape(len(left), width)
    table = np.array(tree["leaf_weights"], dtype=np.float32).reshape(-1, width)
    value: Array = table[np.where(left < 0, np.array(tree["right_children"]), 0)]
    return value


def _sets(tree: Json) -> dict[int, tuple[int, ...]]:
    codes = tree.get("categories", ())
    pieces = zip(
        tree.get("categories_nodes", ()),
        tree.get("categories_segments", ()),
        tree.get("categories_sizes", ()),
        strict=True,
    )
    return {int(node): tuple(codes[start : start + size]) for node, start, size in pieces}


def _codes(cats: Json) -> dict[int, Codes]:
    """Of the features that were pandas categories, since 3.1."""
    known = [_keys(entry) for entry in cats.get("enc", ())]
    return {
        feature: {key: code for code, key in reversed(list(enumerate(keys)))}
        for feature, keys in enumerate(known)
        if keys
    }


def _keys(entry: Json) -> tuple[Any, ...]:
    offsets, values = entry.get("offsets"), entry["values"]
    if offsets is None:
        return tuple(values)
    whole = np.array(values, dtype=np.int8).tobytes()
    return _pieces(whole, offsets)


def _pieces(whole: bytes, offsets: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(whole[start:end] for start, end in pairwise(offsets))


def keys_of(categories: Sequence[Any]) -> tuple[Any, ...]:
    """The keys that XGBoost makes of a pandas column's categories, by its own function. Up to 3.2 it
    counts a string's characters where it should count bytes, so that a key may be a piece of other
    names.
    """
    from xgboost._data_utils import pd_cat_inf  # which only versions that remember categories have

    if not all(isinstance(category, str) for category in categories):
        return tuple(categories)
    _, _, (offsets, names, *_) = pd_cat_inf(pd.Index(categories, dtype=object), pd.Series([0]))
    whole = names if isinstance(names, bytes) else names.encode()[: len(names)]
    return _pieces(whole, offsets.tolist())


def _base(booster: xgboost.Booster, document: Json, groups: int) -> Array:
    """Where the sums begin, asked of XGBoost itself: its margin where nothing is added.

    It keeps the base score as what its link gives, in a form that changed with its versions.
    """
    learner = document["learner"]
    learner = {**learner, "gradient_booster": _emptied(learner["gradient_booster"])}
    content = json.dumps({**document, "learner": learner}, ensure_ascii=False).encode()
    empty = xgboost.Booster(model_file=bytearray(content))
    row = xgboost.DMatrix(np.zeros((1, booster.num_features()), dtype=np.float32), nthread=1)
    told = empty.predict(row, output_margin=True, validate_features=False)
    return np.array(np.broadcast_to(np.ravel(told), (groups,)), dtype=np.float32)

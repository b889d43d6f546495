"""LightGBM's own model as neutral arrays, from the text that it saves.

Source: `Tree::ToString` in `src/io/tree.cpp` and `GBDT::SaveModelToString` in
`src/boosting/gbdt_model_text.cpp`, which write thresholds, leaves and coefficients with 17 digits, so that
`float` reads the same doubles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import lightgbm
import numpy as np

from onnxport.export.graph import Array

_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of decision_type; the next two are the missing type
NO_MISSING, ZERO_MISSING, NAN_MISSING = 0, 1, 2


@dataclass(frozen=True)
class Linear:
    """The linear models in the leaves of one tree. const: [leaves]. features, coefficients: of each leaf."""

    const: Array
    features: list[Array]
    coefficients: list[Array]


@dataclass(frozen=True)
class LightTree:
    """One tree. Arrays over its inner nodes, the root first, but for leaf: [leaves].

    left, right: an inner node, or ~leaf. threshold: of a categorical node a place in `sets`. sets: the
    categories that go left, by categorical node. missing: NO_MISSING, ZERO_MISSING or NAN_MISSING.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    default_left: Array
    categorical: Array
    missing: Array
    sets: dict[int, Array]
    leaf: Array
    linear: Linear | None


@dataclass(frozen=True)
class LightModel:
    """What `Booster.predict` computes with. trees: of all iterations that it uses, class by class.

    width: trees an iteration. objective: its name, "" where it was a function. options: what stands behind
    the name. average: the sum is divided by the number of iterations (boosting="rf").
    """

    trees: tuple[LightTree, ...]
    width: int
    objective: str
    options: Mapping[str, str]
    average: bool

    @cached_property
    def iterations(self) -> int:
        return len(self.trees) // self.width

    @cached_property
    def linear(self) -> bool:
        """Some leaves hold linear models."""
        return any(tree.linear is not None for tree in self.trees)


def read_model(booster: lightgbm.Booster) -> LightModel:
    """The model up to its best iteration, which is where `Booster.predict` ends."""
    text = booster.model_to_string(num_iteration=-1).partition("\nend of trees")[0]
    header, *blocks = text.split("\nTree=")
    facts = _facts(header)
    width = int(facts["num_tree_per_iteration"])
    trees = [_read_tree(_facts(block)) for block in blocks]
    best = booster.best_iteration
    if best > 0:
        trees = trees[: best * width]
    name, *options = facts.get("objective", "").split(" ")
    return LightModel(
        trees=tuple(trees),
        width=width,
        objective=name,
        options={key: value for key, _, value in (option.partition(":") for option in options)},
        average="average_output" in facts,
    )


def _facts(text: str) -> dict[str, str]:
    """The lines `key=value` of a block; a key alone has an empty value."""
    parts = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in parts}


def _read_tree(facts: Mapping[str, str]) -> LightTree:
    kinds = _integers(facts, "decision_type")
    categorical = (kinds & _CATEGORICAL) != 0
    threshold = _doubles(facts, "threshold")
    return LightTree(
        feature=_integers(facts, "split_feature"),
        threshold=threshold,
        left=_integers(facts, "left_child"),
        right=_integers(facts, "right_child"),
        default_left=(kinds & _DEFAULT_LEFT) != 0,
        categorical=categorical,
        missing=(kinds >> 2) & 3,
        sets=_read_sets(facts, categorical, threshold) if categorical.any() else {},
        leaf=_doubles(facts, "leaf_value"),
        linear=_read_linear(facts) if facts.get("is_linear") == "1" else None,
    )


def _read_sets(facts: Mapping[str, str], categorical: Array, threshold: Array) -> dict[int, Array]:
    """The categories whose bit is set, of each categorical node."""
    bounds = _integers(facts, "cat_boundaries")
    words = _integers(facts, "cat_threshold").astype("<u4")
    sets = {}
    for node in np.flatnonzero(categorical).tolist():
        place = int(threshold[node])
        chosen = words[bounds[place] : bounds[place + 1]].view(np.uint8)
        sets[node] = np.flatnonzero(np.unpackbits(chosen, bitorder="little"))
    return sets


def _read_linear(facts: Mapping[str, str]) -> Linear:
    ends = np.cumsum(_integers(facts, "num_features"))[:-1]
    return Linear(
        const=_doubles(facts, "leaf_const"),
        features=np.split(_integers(facts, "leaf_features"), ends),
        coefficients=np.split(_doubles(facts, "leaf_coeff"), ends),
    )


def _doubles(facts: Mapping[str, str], key: str) -> Array:
    return np.array([float(part) for part in facts.get(key, "").split()], dtype=np.float64)


def _integers(facts: Mapping[str, str], key: str) -> Array:
    return np.array([int(part) for part in facts.get(key, "").split()], dtype=np.int64)

"""CatBoost's statistics of the target over combinations of categories (CTRs), as tables of their values.

Sources: `TStaticCtrProvider::CalcCtrs` (`catboost/libs/model/static_ctr_provider.cpp`), `TModelCtr::Calc`
(`online_ctr.h`), which compute in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxport.export.graph import Array

_EMPTY_BUCKET = 2**64 - 1
COUNTERS = ("Counter", "FeatureFreq")  # which don't hang on the target


@dataclass(frozen=True, slots=True)
class Bit:
    """A question about one feature inside a combination: x > border of a number, or whether the category
    has this hash. feature: which of the numbers, or of the categorical features.
    """

    feature: int
    border: float | None
    hash: int
    missing: bool


@dataclass(frozen=True, slots=True)
class Combination:
    """What a CTR looks up: categorical features, and bits beside them."""

    features: tuple[int, ...]
    bits: tuple[Bit, ...]


@dataclass(frozen=True, slots=True)
class Ctr:
    """A statistic of the target over a combination. hashes: uint64 [known], of the combinations that
    training saw. values: float32 [known], and unknown for all others.
    """

    combination: Combination
    hashes: Array
    values: Array
    unknown: float


def read_ctr(told: Any, numbers: Sequence[Any], table: Mapping[str, Any]) -> Ctr:
    """One of `features_info.ctrs`, with its table as in `ctr_data`. numbers: `float_features`."""
    rows = np.array(table["hash_map"], dtype=object).reshape(-1, table["hash_stride"])
    rows = rows[[int(hash) != _EMPTY_BUCKET for hash in rows[:, 0]]]
    count, total = _counts(told, rows[:, 1:].astype(np.float32), table["counter_denominator"])
    values = _statistic(told, count, total)
    counters = told["ctr_type"] in COUNTERS
    nothing = np.array([table["counter_denominator"] if counters else 0], dtype=np.float32)
    return Ctr(
        combination=_combination(told["elements"], numbers),
        hashes=np.array([int(hash) for hash in rows[:, 0]], dtype=np.uint64),
        values=values,
        unknown=float(_statistic(told, np.zeros(1, dtype=np.float32), nothing)[0]),
    )


def _counts(told: Any, history: Array, denominator: int) -> tuple[Array, Array]:
    """What was counted, and of how many. history: float32 [known, numbers kept]."""
    kind, border = told["ctr_type"], told["target_border_idx"]
    if kind in COUNTERS:
        return history[:, 0], np.full(len(history), denominator, dtype=np.float32)
    if kind in ("BinarizedTargetMeanValue", "FloatTargetMeanValue"):
        return history[:, 0], history[:, 1]
    if kind == "Buckets":
        return history[:, border], history.sum(axis=1)
    first = border + 1 if history.shape[1] > 2 else 1
    return history[:, first:].sum(axis=1), history.sum(axis=1)


def _statistic(told: Any, count: Array, total: Array) -> Array:
    """float32 [known]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (count + np.float32(told["prior_numerator"])) / (
            total + np.float32(told["prior_denomerator"])
        )
    shifted: Array = (ratio + np.float32(told["shift"])) * np.float32(told["scale"])
    return shifted


def _combination(elements: Sequence[Any], numbers: Sequence[Any]) -> Combination:
    """Categories first, as they are hashed."""
    features, bits = [], []
    for each in elements:
        kind = each["combination_element"]
        if kind == "cat_feature_value":
            features.append(int(each["cat_feature_index"]))
        elif kind == "float_feature":
            feature = int(each["float_feature_index"])
            missing = numbers[feature]["nan_value_treatment"] == "AsTrue"
            bits.append(Bit(feature, float(np.float32(each["border"])), 0, missing))
        else:
            feature = int(each["cat_feature_index"])
            bits.append(Bit(feature, None, int(each["value"]) % 2**32, missing=False))
    return Combination(tuple(features), tuple(bits))

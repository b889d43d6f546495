"""The one way in which answers are compared: by the parity gate, the self-test at load, and
`check`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def relative_difference(expected: Array, got: Array) -> Array:
    """|expected - got| / max(1, |expected|), elementwise, as float64.

    Two equal infinities and two NaNs don't differ; a finite number against a non-finite one differs
    infinitely. Shapes must be equal; a difference of shapes raises ValueError.
    """
    if expected.shape != got.shape:
        raise ValueError(f"shapes differ: expected {expected.shape}, got {got.shape}")
    wanted, found = expected.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(wanted - found) / np.maximum(1.0, np.abs(wanted))
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    difference[same] = 0.0
    difference[np.isnan(difference)] = np.inf
    return difference


def worst(difference: Array) -> float:
    """The largest difference, 0 where there is none."""
    return float(difference.max()) if difference.size else 0.0


def by_row(array: Array) -> Array:
    """Everything after the first dimension as one: [N, ...] as [N, k], also for no rows at all."""
    return array.reshape(len(array), math.prod(array.shape[1:]))

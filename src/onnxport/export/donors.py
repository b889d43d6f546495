"""The training rows that KNNImputer takes values from, and where it can't be known which it takes.

Source: `sklearn/impute/_knn.py`, `nan_euclidean_distances` in `sklearn/metrics/pairwise.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxport.export.graph import Array

UNSURE = 1e-7  # by how much of its donors' spread a weighted mean may be off
_ULP = 2.0**-52
_TRIED, _MOST_TIED = 256, 0.01
_SEED = 7


def often_tied(estimator: Any) -> bool:
    """Whether one of the training rows with holes is undecided, or many would be if they had one
    more. Some of them are tried.
    """
    rows, known = training_of(estimator)
    rng = np.random.default_rng(_SEED)
    tied = tried = 0
    columns = np.flatnonzero(estimator._valid_mask)
    for c in columns.tolist():
        holes = rng.permutation(np.flatnonzero(~known[:, c]))[:_TRIED]
        if _undecided(estimator, rows, known, holes, c).any():
            return True
        whole = np.flatnonzero(known[:, c])
        chosen = rng.permutation(whole)[: max(8, _TRIED // len(columns))]
        tied += int(_undecided(estimator, rows, known, chosen, c).sum())
        tried += len(chosen)
    return tied > _MOST_TIED * tried


def _undecided(estimator: Any, rows: Array, known: Array, chosen: Array, column: int) -> Array:
    """Which of these training rows are undecided when the column is missing, bool [chosen]: what
    the graph computes, by numpy.
    """
    mine = known[chosen].astype(float)
    mine[:, column] = 0.0
    x, donors = rows[chosen] * mine, np.flatnonzero(known[:, column])
    y, theirs = rows[donors], known[donors].astype(float)
    together = mine @ theirs.T
    share = rows.shape[1] / np.maximum(together, 1.0)
    away = (x**2) @ theirs.T - 2 * x @ y.T + mine @ (y**2).T
    away = np.where(together == 0, np.inf, np.maximum(away, 0.0) * share)
    away[chosen[:, None] == donors] = np.inf  # a row is no donor to itself
    blur = blur_of(rows.shape[1]) * share * ((x**2).sum(1)[:, None] + (y**2).sum(1))
    k = min(estimator.n_neighbors, len(donors))
    edge = np.partition(away, k - 1, axis=1)[:, [k - 1]]
    beside = np.where(away == edge, blur, 0.0).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        near = np.abs(away - edge) <= blur + beside
    inside = (away < edge) & ~near
    several = inside.sum(axis=1) + near.sum(axis=1) > k
    undecided: Array = several & _differ(near, rows[donors, column])
    if estimator.weights == "distance":
        used, least = inside | near, np.maximum(away, blur)
        weights = np.where(used, 1 / np.sqrt(least), 0.0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        off = (weights * (1 - weights) * blur / least).sum(axis=1)
        undecided |= (off > UNSURE) & _differ(used, rows[donors, column])
    return undecided


def _differ(marked: Array, values: Array) -> Array:
    largest = np.where(marked, values, -np.inf).max(axis=1)
    return np.asarray(largest > np.where(marked, values, np.inf).min(axis=1))


def blur_of(width: int) -> float:
    """By how much of |x|² + |y|² a squared distance may be off."""
    return (width + 8) * _ULP


def training_of(estimator: Any) -> tuple[Array, Array]:
    """The training rows with 0 for what is missing, and what isn't."""
    known = ~np.asarray(estimator._mask_fit_X)
    return np.where(known, np.asarray(estimator._fit_X, np.float64), 0.0), known

"""Numbers into bins.

Source: `sklearn/preprocessing/_discretization.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import preprocessing

from onnxport.export.bisection import count_up_to, hold_to_edges
from onnxport.export.graph import Columns, joined, number_columns
from onnxport.export.registry import Emission, emits, finite_only, numbers_only


@emits(preprocessing.KBinsDiscretizer)
def emit_bins(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The number of inner edges that a value reaches, as it is or as a column of 0 and 1 each."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph = emission.graph
    edges = [np.asarray(e[1:-1], dtype=np.float64) for e in estimator.bin_edges_]
    hold_to_edges(emission, estimator, columns, edges)
    x = graph.matrix(columns)
    if estimator.dtype is not None and np.dtype(estimator.dtype) == np.float32:
        x = graph.rounded(x)
    single = columns.single if estimator.dtype is None else estimator.dtype == np.float32
    dtype = "float32" if single else "float64"
    bins = count_up_to(emission, x, edges)
    if estimator.encode == "ordinal":
        return number_columns(graph.to_double(bins), len(columns), dtype=dtype, finite=True)
    parts = []
    for i, count in enumerate(estimator.n_bins_.tolist()):
        column = graph.node("Gather", bins, graph.integers([i]), axis=1)
        hot = graph.node("Equal", column, graph.integers(np.arange(count)[None, :]))
        parts.append(number_columns(graph.to_double(hot), count, dtype=dtype, finite=True))
    return joined(parts)

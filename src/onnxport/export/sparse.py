"""Wide columns that are mostly zero: kept as entries, so that a product with weights costs what the
entries cost, and made dense only where something needs them so.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from onnxport.export.graph import Array, Column, Columns, Graph, Sparse

_MAX_OUTPUTS = 32  # with more of them, a dense product is faster
_AT_ONCE = 4  # outputs that are gathered together, so that no tensor is much wider than the entries


def scattered(graph: Graph, entries: Sparse) -> str:
    """The dense tensor, double [N, size]; remembered as these entries."""
    rows = graph.node("Shape", entries.places, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([entries.size]), axis=0)
    zeros = graph.node("Expand", graph.constant(0.0), shape)
    dense = graph.node(
        "ScatterElements", zeros, entries.places, entries.values, axis=1, reduction="add"
    )
    graph.sparse[dense] = entries
    return dense


def entries_of(graph: Graph, columns: Columns) -> Sparse | None:
    """The entries behind these columns, where they are all columns of one sparse tensor."""
    tensor = columns.items[0].tensor if columns.items else ""
    entries = graph.sparse.get(tensor)
    if entries is None:
        return None
    expected = [(tensor, i) for i in range(entries.size)]
    return entries if [(c.tensor, c.index) for c in columns.items] == expected else None


def product(graph: Graph, columns: Columns, weights: Array) -> str:
    """columns · weights, double [N, outputs]. weights: [columns, outputs]."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape[1] > _MAX_OUTPUTS or not any(c.tensor in graph.sparse for c in columns.items):
        return graph.node("MatMul", graph.matrix(columns), graph.constant(weights))
    terms, row, dense = [], 0, []
    for tensor, run in groupby(columns.items, key=lambda column: column.tensor):
        items = tuple(run)
        part, row = (items, weights[row : row + len(items)]), row + len(items)
        entries = graph.sparse.get(tensor)
        if entries is None:
            dense.append(part)
        else:
            terms.append(_of_entries(graph, entries, *part))
    if dense:
        numbers = Columns(tuple(column for items, _ in dense for column in items))
        rest = graph.constant(np.concatenate([rows for _, rows in dense]))
        terms.append(graph.node("MatMul", graph.matrix(numbers), rest))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total


def _of_entries(graph: Graph, entries: Sparse, items: tuple[Column, ...], weights: Any) -> str:
    """Σ value · weight of its place."""
    whole = np.zeros((entries.size, weights.shape[1]))
    np.add.at(whole, [column.index for column in items], weights)
    values = graph.node("Unsqueeze", entries.values, graph.integers([1]))
    parts = []
    for start in range(0, whole.shape[1], _AT_ONCE):
        some = graph.constant(whole[:, start : start + _AT_ONCE])
        gathered = graph.node("Gather", some, entries.places, axis=0)
        summed = graph.node("MatMul", values, gathered)
        parts.append(graph.node("Squeeze", summed, graph.integers([1])))
    return parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)

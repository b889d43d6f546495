"""The order in which scikit-learn's KDTree and BallTree visit the training rows for one query.

Source: `sklearn/neighbors/_binary_tree.pxi.tp` (`_query_single_depthfirst`), `_kd_tree.pyx.tp` and
`_ball_tree.pyx.tp` (`min_rdist`). Nodes that the search skips hold nothing that could still enter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import KDTree

from onnxport.export.distances import (
    Metric,
    box_distances,
    distances,
    reduced_distances,
    reduced_from,
)
from onnxport.export.graph import Array, Graph


def visits(graph: Graph, x: str, tree: Any, metric: Metric) -> str:
    """A number for each training row that grows in the order of visits, double [n, training rows]
    or [1, training rows].

    x: double [n, features]. The nearer of two children comes first; the left one, where both are
    as near.
    """
    _, rows, nodes, bounds = (np.asarray(part) for part in tree.get_arrays())
    inner = len(nodes) // 2  # children of i are 2 i + 1 and 2 i + 2, the leaves all at one depth
    leaf = np.empty(len(rows), dtype=np.int64)
    within = np.empty(len(rows))
    for number, node in enumerate(nodes[inner:]):
        members = rows[node["idx_start"] : node["idx_end"]]
        leaf[members], within[members] = number, np.arange(len(members))
    if inner == 0:
        return graph.constant(within[None, :])
    nearest = _nearest_in_nodes(graph, x, tree, nodes, bounds, metric)
    left, right = (
        graph.node("Gather", nearest, graph.integers(2 * np.arange(inner) + side), axis=1)
        for side in (1, 2)
    )
    right_first = graph.to_double(graph.node("Greater", left, right))
    ranks = graph.node(
        "Gather", _ranks(graph, right_first, inner + 1), graph.integers(leaf), axis=1
    )
    spread = graph.node("Mul", ranks, graph.constant(float(within.max() + 1)))
    return graph.node("Add", spread, graph.constant(within))


def _ranks(graph: Graph, right_first: str, leaves: int) -> str:
    """Each leaf's place in the order of visits, double [n, leaves]: on every level, the half that
    comes second waits for all leaves of the first.
    """
    numbers = np.arange(leaves)
    ranks, depth = graph.constant(numbers[None, :].astype(float)), int(np.log2(leaves))
    for level in range(depth):
        ancestors = 2**level - 1 + (numbers >> (depth - level))
        half = 2 ** (depth - level - 1)
        waits = np.where(numbers & half, -half, half)
        turned = graph.node("Gather", right_first, graph.integers(ancestors), axis=1)
        moved = graph.node("Mul", turned, graph.constant(waits))
        ranks = graph.node("Add", ranks, moved)
    return ranks


def _nearest_in_nodes(
    graph: Graph, x: str, tree: Any, nodes: Array, bounds: Array, metric: Metric
) -> str:
    """The least reduced distance that a row of each node can have, double [n, nodes]."""
    if isinstance(tree, KDTree):
        return box_distances(graph, x, bounds[0], bounds[1], metric)
    centres = distances(graph, reduced_distances(graph, x, bounds[0], metric), metric)
    outside = graph.node("Sub", centres, graph.constant(nodes["radius"]))
    return reduced_from(graph, graph.node("Max", outside, graph.constant(0.0)), metric)

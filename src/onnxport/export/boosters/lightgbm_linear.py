"""Linear models in the leaves of LightGBM's trees (`linear_tree`).

Source: `Tree::Predict` in `include/LightGBM/tree.h`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from onnxport.export.boosters.lightgbm_categories import Features
from onnxport.export.boosters.lightgbm_dump import LightModel, LightTree
from onnxport.export.graph import Array
from onnxport.export.registry import Emission


def linear_sum(emission: Emission, features: Features, model: LightModel, leaves: str) -> str:
    """Σ over trees of their leaves' models: const + Σ coefficient · x, term after term; where one of its
    features is NaN, the leaf's plain value. Added tree after tree, as ReduceSum wouldn't.
    leaves: the number of the leaf in each tree, double [N, trees].
    """
    graph, trees = emission.graph, model.trees
    const, plain, coefficients, places = _tables(trees, len(features.codes))
    terms = coefficients.shape[1]
    emission.widen(3 * len(trees) * max(terms, 1))
    starts = np.cumsum([0, *(len(tree.leaf) for tree in trees)])[:-1]
    leaf = graph.node("Add", graph.cast(leaves, TensorProto.INT64), graph.integers(starts[None, :]))
    total = graph.node("Gather", graph.constant(const), leaf)
    if terms:
        x = graph.node("Pad", graph.matrix(features.codes), graph.integers([0, 0, 0, 1]))
        wanted = graph.node("Gather", graph.integers(places), leaf)
        flat = graph.node("Reshape", wanted, graph.integers([0, len(trees) * terms]))
        found = graph.node("GatherElements", x, flat, axis=1)
        found = graph.node("Reshape", found, graph.integers([0, len(trees), terms]))
        products = graph.node(
            "Mul", graph.node("Gather", graph.constant(coefficients), leaf), found
        )
        for i in range(terms):
            total = graph.node(
                "Add", total, graph.node("Gather", products, graph.integers(i), axis=2)
            )
        missing = graph.cast(graph.node("IsNaN", found), TensorProto.INT64)
        missing = graph.node("ReduceMax", missing, graph.integers([2]), keepdims=0)
        value = graph.node("Gather", graph.constant(plain), leaf)
        total = graph.node("Where", graph.cast(missing, TensorProto.BOOL), value, total)
    shape = graph.integers([0, model.iterations, model.width])
    sums = graph.node("CumSum", graph.node("Reshape", total, shape), graph.integers(1))
    return graph.node("Gather", sums, graph.integers(model.iterations - 1), axis=1)


def _tables(trees: Sequence[LightTree], width: int) -> tuple[Array, Array, Array, Array]:
    """Of all leaves: const [leaves], plain value [leaves], coefficients and features [leaves, terms]; what
    a leaf doesn't use has the coefficient 0 and the feature behind the last.
    """
    consts, coefficients, places = [], [], []
    for tree in trees:
        if tree.linear is None:
            consts.append(tree.leaf)
            coefficients += [np.zeros(0)] * len(tree.leaf)
            places += [np.zeros(0, dtype=int)] * len(tree.leaf)
        else:
            consts.append(tree.linear.const)
            coefficients += tree.linear.coefficients
            places += tree.linear.features
    terms = max(map(len, coefficients))
    return (
        np.concatenate(consts),
        np.concatenate([tree.leaf for tree in trees]),
        np.stack([np.pad(each, (0, terms - len(each))) for each in coefficients]),
        np.stack([np.pad(p, (0, terms - len(p)), constant_values=width) for p in places]),
    )

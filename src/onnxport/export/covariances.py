"""The kernels of Gaussian processes between rows of X and the training rows.

Source: `sklearn/gaussian_process/kernels.py` (`__call__` with two arguments, and `diag`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.gaussian_process import kernels

from onnxport.export.distances import Metric, distances, reduced_distances
from onnxport.export.graph import Array, Graph

_EUCLIDEAN = Metric(2.0)
_SMOOTHNESS = (0.5, 1.5, 2.5, math.inf)


def unknown_kernel(kernel: Any) -> Any:
    """The first part that isn't known to convert, or None."""
    if type(kernel) in (kernels.Sum, kernels.Product):
        return unknown_kernel(kernel.k1) or unknown_kernel(kernel.k2)
    if type(kernel) is kernels.Exponentiation:
        return unknown_kernel(kernel.kernel)
    if type(kernel) is kernels.Matern:
        return None if kernel.nu in _SMOOTHNESS else kernel
    return None if type(kernel) in (*_KERNELS, *_CONSTANT) else kernel


def covariance(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    """k(x, rows), double [N, rows] or what broadcasts to it."""
    if type(kernel) in (kernels.Sum, kernels.Product):
        both = (covariance(graph, part, x, rows) for part in (kernel.k1, kernel.k2))
        return graph.node("Add" if type(kernel) is kernels.Sum else "Mul", *both)
    if type(kernel) is kernels.Exponentiation:
        inner = covariance(graph, kernel.kernel, x, rows)
        return graph.node("Pow", inner, graph.constant(float(kernel.exponent)))
    if type(kernel) is kernels.WhiteKernel:  # noise belongs to the training rows alone
        return graph.constant([[0.0]])
    if type(kernel) is kernels.ConstantKernel:
        return graph.constant([[float(kernel.constant_value)]])
    return _KERNELS[type(kernel)](graph, kernel, x, np.asarray(rows, dtype=np.float64))


def variance(graph: Graph, kernel: Any, x: str) -> str:
    """k(x, x), double [N, 1] or [1, 1]."""
    if type(kernel) in (kernels.Sum, kernels.Product):
        both = (variance(graph, part, x) for part in (kernel.k1, kernel.k2))
        return graph.node("Add" if type(kernel) is kernels.Sum else "Mul", *both)
    if type(kernel) is kernels.Exponentiation:
        inner = variance(graph, kernel.kernel, x)
        return graph.node("Pow", inner, graph.constant(float(kernel.exponent)))
    if type(kernel) is kernels.DotProduct:
        square = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=1)
        return graph.node("Add", square, graph.constant(float(kernel.sigma_0) ** 2))
    if type(kernel) is kernels.ConstantKernel:
        return graph.constant([[float(kernel.constant_value)]])
    if type(kernel) is kernels.WhiteKernel:
        return graph.constant([[float(kernel.noise_level)]])
    return graph.constant([[1.0]])


def _scaled_squares(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    """|(x - y) / length scale|²."""
    scale = np.squeeze(kernel.length_scale).astype(float)
    scaled = graph.node("Div", x, graph.constant(scale))
    return reduced_distances(graph, scaled, rows / scale, _EUCLIDEAN)


def _rbf(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    squares = _scaled_squares(graph, kernel, x, rows)
    return graph.node("Exp", graph.node("Mul", squares, graph.constant(-0.5)))


def _matern(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    distance = distances(graph, _scaled_squares(graph, kernel, x, rows), _EUCLIDEAN)
    if math.isinf(kernel.nu):
        half = graph.node("Mul", graph.node("Mul", distance, distance), graph.constant(0.5))
        return graph.node("Exp", graph.node("Neg", half))
    if kernel.nu == 0.5:
        return graph.node("Exp", graph.node("Neg", distance))
    away = graph.node("Mul", distance, graph.constant(math.sqrt(2 * kernel.nu)))
    factor = graph.node("Add", away, graph.constant(1.0))
    if kernel.nu == 2.5:
        third = graph.node("Div", graph.node("Mul", away, away), graph.constant(3.0))
        factor = graph.node("Add", factor, third)
    return graph.node("Mul", factor, graph.node("Exp", graph.node("Neg", away)))


def _rational_quadratic(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    squares = reduced_distances(graph, x, rows, _EUCLIDEAN)
    size = graph.constant(float(2 * kernel.alpha * kernel.length_scale**2))
    base = graph.node("Add", graph.node("Div", squares, size), graph.constant(1.0))
    return graph.node("Pow", base, graph.constant(-float(kernel.alpha)))


def _sine(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    distance = distances(graph, reduced_distances(graph, x, rows, _EUCLIDEAN), _EUCLIDEAN)
    angle = graph.node("Mul", distance, graph.constant(np.pi / kernel.periodicity))
    wave = graph.node("Div", graph.node("Sin", angle), graph.constant(float(kernel.length_scale)))
    square = graph.node("Mul", wave, wave)
    return graph.node("Exp", graph.node("Mul", square, graph.constant(-2.0)))


def _dot_product(graph: Graph, kernel: Any, x: str, rows: Array) -> str:
    product = graph.node("MatMul", x, graph.constant(rows.T))
    return graph.node("Add", product, graph.constant(float(kernel.sigma_0) ** 2))


_CONSTANT = (kernels.ConstantKernel, kernels.WhiteKernel)
_KERNELS: dict[type, Callable[[Graph, Any, str, Array], str]] = {
    kernels.RBF: _rbf,
    kernels.Matern: _matern,
    kernels.RationalQuadratic: _rational_quadratic,
    kernels.ExpSineSquared: _sine,
    kernels.DotProduct: _dot_product,
}

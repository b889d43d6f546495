"""Kernels made into columns: kernel PCA, and feature maps that approximate kernels.

Sources: `sklearn/kernel_approximation.py`, `sklearn/decomposition/_kernel_pca.py`,
`sklearn/preprocessing/_data.py` (KernelCenterer).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.kernel_approximation import (
    AdditiveChi2Sampler,
    Nystroem,
    PolynomialCountSketch,
    RBFSampler,
    SkewedChi2Sampler,
)
from sklearn.preprocessing import KernelCenterer

from onnxport.export.elementary import cosine
from onnxport.export.emitters.projection import matrix_of, projected
from onnxport.export.graph import Columns, number_columns
from onnxport.export.kernels import KERNELS, kernel_parameters, pairwise_kernel
from onnxport.export.registry import Emission, Refusal, emits, refuse_rows

_MOST_COMPONENTS = 1024


def _kernel_check(estimator: Any) -> Refusal | None:
    if isinstance(estimator.kernel, str) and estimator.kernel in KERNELS:
        return None
    return Refusal(
        "kernel",
        "a kernel of one's own can't be carried into the graph",
        "Use a kernel by its name: rbf, poly, sigmoid, linear, cosine, laplacian or chi2.",
    )


@emits(Nystroem, check=_kernel_check)
def emit_nystroem(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The kernel with the chosen rows, times the normalization."""
    x = matrix_of(emission, estimator, columns)
    parameters = dict(estimator.kernel_params or {}) | kernel_parameters(estimator)
    kernel = pairwise_kernel(
        emission, x, estimator.components_, estimator.kernel, single=columns.single, **parameters
    )
    weights = estimator.normalization_.T
    return projected(
        columns, emission.graph.node("MatMul", kernel, _constant(emission, weights)), weights
    )


def _constant(emission: Emission, value: Any) -> str:
    return emission.graph.constant(value)


@emits(KernelPCA, check=_kernel_check)
def emit_kernel_pca(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The centred kernel with the training rows, times the scaled eigenvectors."""
    x = matrix_of(emission, estimator, columns)
    kernel = pairwise_kernel(
        emission,
        x,
        estimator.X_fit_,
        estimator.kernel,
        gamma=estimator.gamma_,
        degree=estimator.degree,
        coef0=estimator.coef0,
        single=columns.single,
    )
    kernel = _centred_kernel(emission, estimator._centerer, kernel)
    values, vectors = estimator.eigenvalues_, estimator.eigenvectors_
    weights = np.zeros_like(vectors)
    kept = np.flatnonzero(values)
    weights[:, kept] = vectors[:, kept] / np.sqrt(values[kept])
    product = emission.graph.node("MatMul", kernel, _constant(emission, weights))
    return projected(columns, product, weights)


@emits(KernelCenterer)
def emit_kernel_centerer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    kernel = _centred_kernel(emission, estimator, matrix_of(emission, estimator, columns))
    dtype = "float32" if columns.single else "float64"
    return number_columns(kernel, len(columns), dtype=dtype, exact=False)


def _centred_kernel(emission: Emission, centerer: Any, kernel: str) -> str:
    """K - the columns' means - the row's mean + the mean of all."""
    graph, rows = emission.graph, centerer.K_fit_rows_
    total = graph.node("ReduceSum", kernel, graph.integers([1]), keepdims=1)
    mean = graph.node("Div", total, graph.constant(float(len(rows))))
    kernel = graph.node("Sub", graph.node("Sub", kernel, graph.constant(rows)), mean)
    return graph.node("Add", kernel, graph.constant(float(centerer.K_fit_all_)))


@emits(RBFSampler)
def emit_rbf_sampler(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """√(2 / n) · cos(x · W + b) (Rahimi and Recht, 2007)."""
    x = matrix_of(emission, estimator, columns)
    return _cosines(emission, estimator, columns, x, (2.0 / estimator.n_components) ** 0.5)


@emits(SkewedChi2Sampler)
def emit_skewed_chi2(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """√(2 / n) · cos(log(x + c) · W + b) (Li, Ionescu and Sminchisescu, 2010)."""
    graph, skew = emission.graph, float(estimator.skewedness)
    x = matrix_of(emission, estimator, columns)
    refuse_rows(emission, graph.node("LessOrEqual", x, graph.constant(-skew)))
    x = graph.node("Log", graph.node("Add", x, graph.constant(skew)))
    return _cosines(emission, estimator, columns, x, np.sqrt(2.0) / np.sqrt(estimator.n_components))


def _cosines(
    emission: Emission, estimator: Any, columns: Columns, x: str, factor: float
) -> Columns:
    graph, weights = emission.graph, estimator.random_weights_
    angle = graph.node("MatMul", x, graph.constant(weights))
    angle = graph.node("Add", angle, graph.constant(estimator.random_offset_))
    waves = graph.node("Mul", cosine(graph, angle), graph.constant(float(factor)))
    return projected(columns, waves, weights)


@emits(AdditiveChi2Sampler)
def emit_additive_chi2(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """√(x i), then √(2 x i / cosh(π j i)) times cos and sin of j i log(x), of 0 always 0 (Vedaldi
    and Zisserman, 2010).
    """
    graph = emission.graph
    x = matrix_of(emission, estimator, columns)
    zero = graph.constant(0.0)
    refuse_rows(emission, graph.node("Less", x, zero))
    empty = graph.node("Equal", x, zero)
    interval = estimator.sample_interval or {1: 0.8, 2: 0.5, 3: 0.4}[estimator.sample_steps]
    scaled = graph.node("Mul", x, graph.constant(interval))
    log = graph.node("Log", graph.node("Where", empty, graph.constant(1.0), x))
    log = graph.node("Mul", log, graph.constant(interval))
    parts = [graph.node("Sqrt", scaled)]
    for j in range(1, estimator.sample_steps):
        damped = graph.node("Mul", scaled, graph.constant(2.0 / np.cosh(np.pi * j * interval)))
        factor, angle = graph.node("Sqrt", damped), graph.node("Mul", log, graph.constant(float(j)))
        waves = [
            graph.node("Mul", factor, w) for w in (cosine(graph, angle), graph.node("Sin", angle))
        ]
        parts += [graph.node("Where", empty, zero, wave) for wave in waves]
    width = len(columns) * len(parts)
    dtype = "float32" if columns.single else "float64"
    return number_columns(graph.node("Concat", *parts, axis=1), width, dtype=dtype, exact=False)


def _sketch_check(estimator: Any) -> Refusal | None:
    if estimator.n_components > _MOST_COMPONENTS:
        return Refusal(
            "n_components",
            "its Fourier transform is written as a matrix, which grows with the square of it",
            "Set n_components to 1024 or less.",
        )
    return None


@emits(PolynomialCountSketch, check=_sketch_check)
def emit_count_sketch(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The product of the sketches' Fourier transforms, transformed back (Pham and Pagh, 2013)."""
    graph, n = emission.graph, estimator.n_components
    x = graph.node("Mul", matrix_of(emission, estimator, columns), _root(emission, estimator.gamma))
    turns = 2 * np.pi * (np.outer(np.arange(n), np.arange(n)) % n) / n
    transformed = [
        _transformed(emission, estimator, x, len(columns), places, bits, turns)
        for places, bits in zip(estimator.indexHash_, estimator.bitHash_, strict=True)
    ]
    real, imaginary = transformed[0]
    for other in transformed[1:]:
        real, imaginary = _times(emission, real, imaginary, *other)
    back = graph.node("MatMul", real, graph.constant(np.cos(turns) / n))
    away = graph.node("MatMul", imaginary, graph.constant(np.sin(turns) / n))
    return number_columns(graph.node("Sub", back, away), n, exact=False)


def _transformed(
    emission: Emission, estimator: Any, x: str, width: int, places: Any, bits: Any, turns: Any
) -> tuple[str, str]:
    """One sketch's Fourier transform, its real and its imaginary part; coef0 is a last column."""
    graph, sketch = emission.graph, np.zeros((len(places), estimator.n_components))
    sketch[np.arange(len(places)), places] = bits
    parts = []
    for wave in (np.cos(turns), -np.sin(turns)):
        part = graph.node("MatMul", x, graph.constant(sketch[:width] @ wave))
        for row in np.sqrt(estimator.coef0) * (sketch[width:] @ wave):
            part = graph.node("Add", part, graph.constant(row))
        parts.append(part)
    return parts[0], parts[1]


def _root(emission: Emission, value: float) -> str:
    return emission.graph.constant(float(np.sqrt(value)))


def _times(emission: Emission, a: str, b: str, c: str, d: str) -> tuple[str, str]:
    """(a + bi)(c + di)."""
    graph = emission.graph
    real = graph.node("Sub", graph.node("Mul", a, c), graph.node("Mul", b, d))
    return real, graph.node("Add", graph.node("Mul", a, d), graph.node("Mul", b, c))

"""Families that skl2onnx converts rightly in double precision, taken over node by node.

Codes instead of labels, no ZipMap, one leaf at a time: the structure around it is always ours.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType

from onnxport.export.graph import ML, OPSET, Columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    finite_only,
    numbers_only,
)

# skl2onnx writes no operator newer than these; none of the ones used here changed up to OPSET.
_TARGET = {"": OPSET[""], ML: 3}


@dataclass(frozen=True)
class _Embedded:
    """A converted classifier's nodes in our graph: its public outputs, and where it takes its
    maximum.
    """

    label: str
    proba: str
    argmax: str | None


def _embed(emission: Emission, estimator: Any, columns: Columns) -> _Embedded:
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)
    coded = _with_codes(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx asks for attributes that newer releases retire
        model = convert_sklearn(
            coded,
            initial_types=[("X", DoubleTensorType([None, len(columns)]))],
            options={id(coded): {"zipmap": False}},
            target_opset=_TARGET,
        )
    graph = emission.graph
    ours = graph.embed(model, {"X": graph.matrix(columns)})
    maxima = [node for node in model.graph.node if node.op_type == "ArgMax"]
    label, proba = (ours(output.name) for output in model.graph.output)
    return _Embedded(
        label=label,
        proba=proba,
        argmax=ours(maxima[0].output[0]) if len(maxima) == 1 else None,
    )


def _with_codes(estimator: Any) -> Any:
    """A copy whose classes are their codes, so that its labels are ours."""
    coded = copy.copy(estimator)
    coded.classes_ = np.arange(len(estimator.classes_))
    return coded


def probabilities(emission: Emission, estimator: Any, columns: Columns) -> str | None:
    """A support vector classifier's probabilities, if it has any: libsvm couples them in a loop,
    which ONNX Runtime's own operator repeats in float32.
    """
    if not hasattr(estimator, "predict_proba"):
        return None
    emission.relax(TOLERANT_BAR)
    return emission.graph.to_double(_embed(emission, estimator, columns).proba)

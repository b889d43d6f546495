"""What the manifest of an adopted file tells of where it comes from, and what its graph needs."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import onnx

from onnxport.errors import shorten
from onnxport.export import document
from onnxport.export.adopting import versions
from onnxport.export.adopting.preparing import Prepared
from onnxport.export.adopting.repairs import (
    copy,
)
from onnxport.export.tensor_saving import (
    TensorModel,
)

_MOST_METADATA = 32 * 1024


def tensor_model(prepared: Prepared) -> TensorModel:
    model = copy(prepared.model)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    needs = document.Needs(
        ir=model.ir_version,
        opset={entry.domain: entry.version for entry in model.opset_import},
        onnxruntime=versions.runtimes(model),
        rows_per_run=prepared.batching.slice,
    )
    return TensorModel(
        model=model,
        signature=prepared.signature,
        oracle=prepared.ask,
        row_sets=prepared.sets,
        bar=prepared.batching.bar,
        needs=needs,
        source=_source(prepared),
        original="original file",
        infers=_infers(model),
    )


def _infers(model: onnx.ModelProto) -> bool:
    """Whether onnx's checker finds the inner shapes consistent too; not every tool's are."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        RuntimeError,
    ):
        return False
    return True


def _source(prepared: Prepared) -> dict[str, Any]:
    """Where the model comes from, as far as its file tells."""
    model = prepared.original.model
    library = model.producer_name or "unknown"
    return {
        "library": shorten(library),
        "class": _class(model),
        "versions": {
            **(
                {shorten(library): shorten(model.producer_version)}
                if model.producer_version
                else {}
            ),
            "onnx": onnx.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "exporter": document.exporter(),
        "adopted": True,
        "proven_against": "the original file in ONNX Runtime",
        "sha256": prepared.original.sha256,
        "ir": model.ir_version,
        "opset": {entry.domain: entry.version for entry in model.opset_import},
        "repairs": [finding.text for finding in prepared.findings],
    }


def _class(model: onnx.ModelProto) -> str:
    """The operator that a viewer would name the model by."""
    telling = [
        node.op_type
        for node in model.graph.node
        if node.domain == "ai.onnx.ml"
        and node.op_type.endswith(("Classifier", "Regressor", "Ensemble"))
    ]
    return telling[-1] if telling else "ONNX graph"


def with_metadata(facts: document.Facts, prepared: Prepared) -> document.Facts:
    kept: dict[str, Any] = {}
    size = 0
    for key, value in prepared.found.kept.items():
        size += len(str(value)) + len(key)
        if size <= _MOST_METADATA:
            kept[key] = value
    model = prepared.original.model
    told = facts.description or model.doc_string or model.graph.doc_string or None
    return document.Facts(
        name=facts.name,
        version=facts.version,
        description=told[:1000] if told else None,
        author=facts.author,
        license=facts.license,
        metadata=kept,
    )

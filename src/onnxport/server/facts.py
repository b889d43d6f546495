"""What GET /model tells: the signature, and those facts of the manifest that a caller may see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from onnxport.predictor import Model
from onnxport.schema import json_type
from onnxport.session import describe_runtime
from onnxport.signature import Feature


def model_facts(model: Model) -> dict[str, Any]:
    """The answer of GET /model (`schema.description_schema` describes it)."""
    manifest, signature = model.manifest, model.signature
    needs = manifest.get("runtime", {})
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": signature.task,
        "description": manifest["model"].get("description"),
        "created": manifest["model"].get("created"),
        "features": [_feature_facts(feature) for feature in signature.features],
        "ignored": list(signature.ignored),
        "classes": list(signature.classes) or [list(each) for each in signature.target_classes],
        "targets": list(signature.targets),
        "outputs": [
            {"name": o.tensor, "datatype": o.datatype, "shape": list(o.shape)}
            for o in signature.outputs
            if o.shape is not None
        ],
        "parity": {"accepted_mismatch": manifest.accepted_mismatch, **manifest.get("parity", {})},
        "format": manifest["format"],
        "digest": model.file.digest,
        "runtime": {**describe_runtime(), "min_onnxruntime": needs.get("min_onnxruntime")},
    }


def _feature_facts(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "type": json_type(feature),
        "nullable": feature.nullable,
        "refuses_unknown": feature.refuses_unknown,
        "categories": None if feature.categories is None else list(feature.categories),
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "unit": feature.unit,
        "description": feature.description,
        **_tensor_facts(feature),
    }


def _tensor_facts(feature: Feature) -> dict[str, Any]:
    """What only whole tensors have, and integers with limits."""
    facts: dict[str, Any] = {}
    if feature.is_tensor:
        facts |= {"datatype": feature.dtype, "shape": list(feature.shape or ())}
    if feature.dimensions is not None:
        facts["dimensions"] = [None if d is None else asdict(d) for d in feature.dimensions]
    if feature.limits is not None:
        facts["limits"] = list(feature.limits)
    return facts

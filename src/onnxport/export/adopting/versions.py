"""Operator sets and IR versions: which ONNX Runtime knows which, and how a model is brought to older
ones.

The tables are measured: the first release of onnxruntime that opens a model stamped so (releases
1.21.1 to 1.32.0; the same as its documentation, docs/Versioning.md, as far as that goes).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx.version_converter
from onnx import TensorProto, helper

from onnxport import runtime
from onnxport.export.adopting.structure import every_node, every_tensor, opset
from onnxport.export.graph import RUNTIMES

TARGET_IR, TARGET_OPSET = 10, 21
_COMMON = 13  # since when operators take axes and shapes as inputs
OLDEST = 7  # that ONNX Runtime promises to run
_FLOOR = (1, 21, 1)
_IR = {11: (1, 23, 0), 12: (1, 24, 1), 13: (1, 24, 1), 14: (1, 32, 0)}
_OPSET = {
    22: (1, 21, 1),
    23: (1, 23, 0),
    24: (1, 24, 1),
    25: (1, 24, 1),
    26: (1, 25, 0),
    27: (1, 32, 0),
    28: (1, 32, 0),
}
# Datatypes that came after IR 10 (onnx.proto, TensorProto.DataType).
_NEWER = {"FLOAT4E2M1", "FLOAT8E8M0", "UINT2", "INT2"}


def newest_known(domain: str) -> int:
    """The newest version of an operator set that any runtime of the table knows."""
    return {"ai.onnx.ml": 5}.get(domain, max(_OPSET))


def runtimes(model: onnx.ModelProto) -> str:
    """The range of ONNX Runtime that a model needs, as the manifest declares it."""
    needed = max(_FLOOR, _IR.get(model.ir_version, _FLOOR), _OPSET.get(opset(model), _FLOOR))
    _, _, denied = RUNTIMES.partition(",")
    return f">={'.'.join(map(str, needed))},{denied}"


def opens(model: onnx.ModelProto) -> str | None:
    """None where this runtime opens the model, else its own words, for logs and hints."""
    try:
        runtime.Graph(model.SerializeToString())
    except runtime.RuntimeRefusal as err:
        return str(err)
    return None


@dataclass(frozen=True, slots=True)
class Lowered:
    """A model with other versions, and whether only the stamp changed: then nothing needs a proof."""

    model: onnx.ModelProto
    note: str


def tidy(model: onnx.ModelProto) -> None:
    """One import for each operator set that is used, in place; a default one even where none is."""
    used = {node.domain or "" for node, _ in every_node(model.graph)}
    used = {"" if domain == "ai.onnx" else domain for domain in used} | {""}
    versions = {domain: opset(model, domain) for domain in used}
    versions[""] = versions[""] or TARGET_OPSET
    del model.opset_import[:]
    model.opset_import.extend(
        helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())
    )


def lower_ir(model: onnx.ModelProto) -> None:
    """Stamps the IR of the target, in place, where no datatype needs a newer one."""
    newer = {number for name, number in TensorProto.DataType.items() if name in _NEWER}
    if not any(tensor.data_type in newer for tensor in every_tensor(model)):
        model.ir_version = TARGET_IR


def lowered(model: onnx.ModelProto) -> Lowered | None:
    """The model at the target's operator set: restamped where all its operators have the same form
    there, else by onnx's converter; None where neither opens.
    """
    version = opset(model)
    if version <= TARGET_OPSET:
        return None
    note = f"operator set {version} was lowered to {TARGET_OPSET}"
    changed = _restamped(model, TARGET_OPSET)
    return Lowered(changed, note) if changed else _converted(model, TARGET_OPSET, note)


def raised(model: onnx.ModelProto) -> Lowered | None:
    """The model at the oldest operator set that this runtime opens; restamped where that is enough."""
    version = opset(model)
    stamped = _restamped(model, _COMMON)
    if version < _COMMON and stamped is not None:
        return Lowered(stamped, f"operator set {version} was raised to {_COMMON}")
    for target in (7, 9, 11, 13, 17, TARGET_OPSET):
        if target > version:
            note = f"operator set {version} was raised to {target}"
            changed = _converted(model, target, note)
            if changed is not None:
                return changed
    return None


def _restamped(model: onnx.ModelProto, target: int) -> onnx.ModelProto | None:
    """The same model stamped with another operator set, where that changes no operator's form."""
    if not _same_forms(model, opset(model), target):
        return None
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for entry in changed.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = target
    return changed if opens(changed) is None and _valid(changed) else None


def _converted(model: onnx.ModelProto, target: int, note: str) -> Lowered | None:
    try:
        changed = onnx.version_converter.convert_version(model, target)
    except (RuntimeError, ValueError, TypeError, onnx.checker.ValidationError):
        return None
    return Lowered(changed, note) if opens(changed) is None and _valid(changed) else None


def _valid(model: onnx.ModelProto) -> bool:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError):
        return False
    return True


def _same_forms(model: onnx.ModelProto, version: int, target: int) -> bool:
    """Whether every operator takes the same inputs and attributes at both versions; what changes
    else is which datatypes are allowed.
    """
    names = {node.op_type for node, _ in every_node(model.graph) if node.domain in ("", "ai.onnx")}
    return all(_form(name, version) == _form(name, target) is not None for name in names)


def _form(name: str, version: int) -> tuple[object, ...] | None:
    try:
        schema = onnx.defs.get_schema(name, version, "")
    except (onnx.defs.SchemaError, RuntimeError, TypeError):  # no such operator, no such number
        return None
    options = sorted(
        (key, str(a.type), a.required, a.default_value.SerializeToString())
        for key, a in schema.attributes.items()
    )
    return (
        tuple(options),
        tuple((i.name, str(i.option)) for i in schema.inputs),
        tuple((o.name, str(o.option)) for o in schema.outputs),
    )

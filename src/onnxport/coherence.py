"""Whether a signature that was read holds together: features and tensors, outputs and task."""

from __future__ import annotations

from onnxport.datatypes import BY_NAME, INT64_MIN
from onnxport.signature import Signature, Task, label_key

_CLASSIFIED = frozenset({"label_code"}), frozenset({"probabilities"})
# The roles that each task's outputs must have, and may have.
_ROLES: dict[Task, tuple[frozenset[str], frozenset[str]]] = {
    "binary_classification": _CLASSIFIED,
    "multiclass_classification": _CLASSIFIED,
    "multioutput_classification": _CLASSIFIED,
    "regression": (frozenset({"value"}), frozenset()),
    "outlier_detection": (frozenset({"label_code", "score"}), frozenset()),
    "clustering": _CLASSIFIED,
    "transformation": (frozenset({"output"}), frozenset()),
    "tensor": (frozenset({"tensor"}), frozenset()),
}
_LARGEST_LABEL = 2**64 - 1  # of numpy's unsigned integers
# The fewest classes that make sense: clusters and targets of several may be alone.
_FEWEST = {"multioutput_classification": 1, "clustering": 1}


def check_signature(signature: Signature) -> None:
    """Every feature has one place in a tensor that exists, no two share a name or a place, and the
    outputs make an answer of the task. Raises ValueError with what doesn't fit.
    """
    whole = signature.whole_tensors
    widths = {t.name: 1 if t.name in whole else t.width for t in signature.tensors}
    places = [(feature.tensor, feature.column) for feature in signature.features if feature.tensor]
    places += [(text.tensor, 0) for text in signature.texts]
    if len(set(places)) != len(places) or len(signature.by_name) != len(signature.features):
        raise ValueError("two features share a name or a place")
    if len(places) != sum(widths.values()):
        raise ValueError("the features don't fill the tensors")
    for tensor, column in places:
        if not 0 <= column < widths.get(tensor, 0):
            raise ValueError(f"no column {column} in tensor {tensor!r}")
    _check_shapes(signature)
    _check_texts(signature)
    _check_answers(signature)


def _check_answers(signature: Signature) -> None:
    """The outputs make an answer of the task: labels with one probability each, values, and so on."""
    roles = [output.role for output in signature.outputs]
    if len(set(roles)) != len(roles) and signature.task != "tensor":
        raise ValueError("two outputs have one role")
    needed, may = _ROLES[signature.task]
    if not needed <= set(roles) <= needed | may | {"refused"}:
        raise ValueError("the outputs don't fit the task")
    numbers = signature.output("value") or signature.output("output")
    if numbers is not None:
        optional = signature.task == "transformation" and not signature.targets
        if not optional and numbers.width != len(signature.targets):
            raise ValueError("the values don't fit the targets")
    score = signature.output("score")
    if score is not None and score.width != 1:
        raise ValueError("a score is not one number")
    _check_classes(signature)


def _check_classes(signature: Signature) -> None:
    """Every target has labels of its own, and the outputs a place for each."""
    code, proba = signature.output("label_code"), signature.output("probabilities")
    if code is None:
        return
    several = signature.task == "multioutput_classification"
    sets = signature.class_sets
    if several != bool(signature.target_classes) or several == bool(signature.classes):
        raise ValueError("the classes don't fit the task")
    if several and not len(signature.targets) == len(sets) == code.width:
        raise ValueError("the classes don't fit the targets")
    for labels in sets:
        if not all(isinstance(label, (str, int, float, bool)) for label in labels):
            raise ValueError("a label is no string, number or boolean")
        if any(type(n) is int and not INT64_MIN <= n <= _LARGEST_LABEL for n in labels):
            raise ValueError("a label is beyond 64 bits")
        keys = {label_key(label) for label in labels}
        if len(labels) < _FEWEST.get(signature.task, 2) or len(keys) != len(labels):
            raise ValueError("the classes are fewer than two, or two have one label")
    width = sum(len(labels) for labels in sets)
    if (code.width is None) is several or (proba and proba.width != width):
        raise ValueError("the outputs don't fit the classes")


def _check_shapes(signature: Signature) -> None:
    """A whole tensor's feature has its tensor's datatype and shape, and a column stands in a matrix."""
    tensors = {tensor.name: tensor for tensor in signature.tensors}
    for feature in signature.features:
        tensor = tensors.get(feature.tensor)
        if not feature.is_tensor:
            matrix = tensor is None or (len(tensor.shape) == 1 and tensor.shape[0] is not None)
            if not matrix or feature.shape is not None:
                raise ValueError(f"the feature {feature.name!r} is no column of a matrix")
        elif tensor is None or (feature.shape, feature.dtype) != (tensor.shape, tensor.datatype):
            raise ValueError(f"the feature {feature.name!r} doesn't fit its tensor")
        dimensions = feature.dimensions
        if dimensions is not None and [d is None for d in dimensions] != [
            size is not None for size in feature.shape or ()
        ]:
            raise ValueError(f"the dimensions of the feature {feature.name!r} don't fit its shape")
        if feature.limits is not None and not feature.limits[0] <= feature.limits[1]:
            raise ValueError(f"the limits of the feature {feature.name!r} hold no number")
    names = [output.tensor for output in signature.outputs]
    if len(set(names)) != len(names):
        raise ValueError("two outputs have one name")
    for output in signature.outputs:
        if (output.role == "tensor") != (output.shape is not None):
            raise ValueError(f"the output {output.tensor!r} has no shape, or one too many")
        if output.role == "tensor" and output.datatype not in BY_NAME:
            raise ValueError(f"the output {output.tensor!r} has an unknown datatype")


def _check_texts(signature: Signature) -> None:
    """Text features are strings that are never null, and text tensors hold one of them each."""
    datatypes = {tensor.name: tensor.datatype for tensor in signature.tensors}
    fed = {text.feature for text in signature.texts}
    for feature in signature.features:
        if (feature.kind == "text") != (feature.name in fed):
            raise ValueError(f"the feature {feature.name!r} and the text tensors don't agree")
        if feature.kind == "text" and (feature.nullable or not feature.is_string):
            raise ValueError(f"the text {feature.name!r} may be null, or is no string")
        if not feature.tensor and feature.kind != "text":
            raise ValueError(f"the feature {feature.name!r} has no tensor")
    for text in signature.texts:
        if text.feature not in signature.by_name or datatypes[text.tensor] != "BYTES":
            raise ValueError(f"the text tensor {text.tensor!r} fits no feature")

"""The signature as JSON Schemas, in OpenAPI 3.1's dialect: what a request may hold and what an answer will.

A constraint stands here only where the codec refuses what breaks it; what is merely known from training goes into
descriptions and `x-` keywords.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxport.datatypes import BY_NAME, FLOAT32_OVERFLOW, INT64_MAX
from onnxport.signature import (
    Dimension,
    Feature,
    Label,
    Output,
    Signature,
    integer_range,
    label_key,
    spell_feature_shape,
    spell_shape,
)

Schema = dict[str, Any]

_INT64_BOUND = 2**63  # a power of two, so that readers who know only doubles read it right
_NO_NUL = "^[^\\u0000]*$"
_FLOAT32 = {"exclusiveMinimum": -FLOAT32_OVERFLOW, "exclusiveMaximum": FLOAT32_OVERFLOW}
_SHOWN_CATEGORIES = 20
_SHOWN_NAMES = 50
_SHOWN_ELEMENTS = 2000
_TYPES = {"numeric": "number", "integer": "integer", "boolean": "boolean", "categorical": "number"}
_FORMATS = {"number": "double", "integer": "int64"}


# ---------------------------------------------------------------------------------------- requests


def request_schema(signature: Signature, *, max_rows: int, example: Mapping[str, Any]) -> Schema:
    """What POST /predict takes: one row, or a list of at most `max_rows`."""
    row = row_schema(signature, example=example)
    told = f"Rows, at most {max_rows:,} at once."  # no maxItems: more of them is no fault of form, but 413
    return {"oneOf": [row, {"type": "array", "items": row, "title": "Rows", "description": told}]}


def row_schema(signature: Signature, *, example: Mapping[str, Any]) -> Schema:
    """One row: every feature by its real name, and nothing else."""
    return {
        "title": "Row",
        "type": "object",
        "description": "One row: every feature by its name.",
        "properties": {
            **{feature.name: feature_schema(feature) for feature in signature.features},
            **{name: {"description": "Never read; may be left out."} for name in signature.ignored},
        },
        "required": list(signature.names),
        "additionalProperties": False,
        **({"examples": [dict(example)]} if is_shown(example) else {}),
    }


def is_shown(example: Any) -> bool:
    """Whether an example is small enough for a page."""
    return _size(example) <= _SHOWN_ELEMENTS


def _size(value: Any) -> int:
    """How many elements an example holds."""
    if isinstance(value, Mapping):
        return sum(_size(part) for part in value.values())
    return sum(map(_size, value)) if isinstance(value, list) else 1


def feature_schema(feature: Feature) -> Schema:
    """What one feature takes, as strictly as the codec is, and what it was trained on."""
    if feature.is_tensor:
        return _tensor_schema(feature)
    kind = json_type(feature)
    schema: Schema = {"type": [kind, "null"] if feature.nullable else kind}
    if kind in _FORMATS:
        schema["format"] = _FORMATS[kind]
    schema |= _refusals(feature, kind)
    if text := _describe(feature):
        schema["description"] = text
    if feature.minimum is not None and feature.maximum is not None:
        schema["x-training-range"] = [feature.minimum, feature.maximum]
    if feature.categories is not None:
        schema["x-categories"] = list(feature.categories)
    return schema


def _tensor_schema(feature: Feature) -> Schema:
    """Nested lists, whose lengths are told where they are fixed; JSON Schema can't say that lists
    side by side are of one length, nor that none is empty where another one isn't.
    """
    shape = feature.shape or ()
    schema = _nested(_element(feature), shape, feature.dimensions or (None,) * len(shape))
    told = [feature.description.rstrip(".")] if feature.description else []
    told += [f"In {feature.unit}"] if feature.unit else []
    told.append(_tensor_text(feature.dtype, spell_feature_shape(feature) if shape else ""))
    return schema | {"description": "".join(f"{part}. " for part in told).rstrip()}


def _element(feature: Feature) -> Schema:
    """One element of a tensor."""
    kind = BY_NAME[feature.dtype].json
    if kind == "integer":
        low, high = integer_range(feature)
        bounds: Schema = {"minimum": low, "maximum": high}
        if high == INT64_MAX:
            bounds = {"minimum": -_INT64_BOUND, "exclusiveMaximum": _INT64_BOUND}
        return {"type": kind} | bounds
    if feature.dtype == "FP32":
        return {"type": kind} | _FLOAT32
    return {"type": kind} | ({"pattern": _NO_NUL} if kind == "string" else {})


def _nested(
    element: Schema, shape: Sequence[int | None], dimensions: Sequence[Dimension | None]
) -> Schema:
    schema = element
    for size, dimension in zip(reversed(shape), reversed(dimensions), strict=True):
        limits = {"minItems": 1} if size is None else {"minItems": size, "maxItems": size}
        if dimension is not None:
            limits = {"minItems": dimension.low}
            limits |= {} if dimension.high is None else {"maxItems": dimension.high}
        schema = {"type": "array", "items": schema, **limits}
    return schema


def json_type(feature: Feature) -> str:
    """A feature's JSON Schema type, null aside."""
    if feature.is_tensor:
        return "array" if feature.shape else BY_NAME[feature.dtype].json
    return "string" if feature.is_string else _TYPES[feature.kind]


def _refusals(feature: Feature, kind: str) -> Schema:
    if feature.refuses_unknown:
        return {"enum": [*(feature.categories or ()), *([None] if feature.nullable else [])]}
    if kind == "string":
        return {"pattern": _NO_NUL}
    if kind == "boolean":
        return {}
    if feature.limits is not None:
        return {"minimum": feature.limits[0], "maximum": feature.limits[1]}
    if kind == "integer":
        return {"minimum": -_INT64_BOUND, "exclusiveMaximum": _INT64_BOUND}
    if feature.overflow:
        return dict(_FLOAT32)
    return {}


def _describe(feature: Feature) -> str:
    parts = [feature.description.rstrip(".")] if feature.description else []
    if feature.unit:
        parts.append(f"In {feature.unit}")
    if feature.minimum is not None and feature.maximum is not None:
        parts.append(f"Trained on {feature.minimum:g} to {feature.maximum:g}")
    if feature.categories and not feature.refuses_unknown:
        shown = ", ".join(str(category) for category in feature.categories[:_SHOWN_CATEGORIES])
        more = ", …" if len(feature.categories) > _SHOWN_CATEGORIES else ""
        parts.append(f"Trained on {shown}{more}")
    if feature.nullable:
        parts.append("May be null")
    return "".join(f"{part}. " for part in parts).rstrip()


# ----------------------------------------------------------------------------------------- answers


def response_schema(signature: Signature) -> Schema:
    """What POST /predict answers: one answer to one row, a list to a list, in the same order."""
    answer = answer_schema(signature)
    return {"oneOf": [answer, {"type": "array", "items": answer, "title": "Predictions"}]}


def answer_schema(signature: Signature) -> Schema:
    """The answer to one row."""
    properties: Schema
    if signature.task == "tensor":
        properties = {o.tensor: _output_tensor(o) for o in signature.outputs if o.shape is not None}
    elif signature.output("output"):
        properties = {"output": _output(signature)}
    else:
        properties = {"prediction": _prediction(signature)}
    if signature.output("probabilities"):
        properties["probabilities"] = _probabilities(signature)
    if signature.output("score"):
        told = "The higher, the more normal; negative for outliers (`decision_function`)."
        properties["score"] = _NUMBER | {"description": told}
    return {
        "title": "Prediction",
        "type": "object",
        "description": "The answer to one row.",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _output_tensor(output: Output) -> Schema:
    """A whole tensor, as nested lists."""
    datatype = BY_NAME[output.datatype or "FP32"]
    shape = output.shape or ()
    schema: Schema = {"type": datatype.json}
    for size in reversed(shape):
        limits = {} if size is None else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **limits}
    spelt = spell_shape(shape) if shape else ""
    return schema | {"description": f"{_tensor_text(datatype.name, spelt)}."}


def _tensor_text(datatype: str, shape: str) -> str:
    return f"A tensor of {datatype}, of shape {shape}" if shape else f"One {datatype}"


def _prediction(signature: Signature) -> Schema:
    told, names = _PREDICTED[signature.task], signature.targets
    if signature.target_classes:
        each = [_label(labels) for labels in signature.class_sets]
        return {**_tuple(each), "description": f"The predicted labels, {_in_order(names)}."}
    if signature.classes:
        return {**_label(signature.classes), "description": told}
    if len(names) < 2:
        return _NUMBER | {"description": f"The predicted {names[0] if names else 'value'}."}
    return {**_list(_NUMBER, len(names)), "description": f"{told}, {_in_order(names)}."}


_NUMBER: Schema = {"type": "number", "format": "double"}
_PREDICTED = {
    "binary_classification": "The predicted label.",
    "multiclass_classification": "The predicted label.",
    "multioutput_classification": "The predicted labels",
    "regression": "The predicted values",
    "outlier_detection": "Whether the row is an outlier or an inlier.",
    "clustering": "The cluster that the row falls into.",
    "transformation": "",
    "tensor": "",
}


def _label(labels: Sequence[Label]) -> Schema:
    types = list(dict.fromkeys(_label_type(label) for label in labels))
    return {"type": types[0] if len(types) == 1 else types, "enum": list(labels)}


def _list(item: Schema, length: int) -> Schema:
    return {"type": "array", "items": item, "minItems": length, "maxItems": length}


def _tuple(items: Sequence[Schema]) -> Schema:
    """A list whose places differ; where they don't, as an ordinary one, which more tools read."""
    if all(item == items[0] for item in items):
        return _list(items[0], len(items))
    return {
        "type": "array",
        "prefixItems": list(items),
        "minItems": len(items),
        "maxItems": len(items),
    }


def _in_order(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN_NAMES else ""
    return f"in this order: {', '.join(names[:_SHOWN_NAMES])}{more}"


def _output(signature: Signature) -> Schema:
    """What a transformer alone makes of a row."""
    output = signature.output("output")
    width = (output.width if output else None) or 0
    told = f", {_in_order(signature.targets)}" if signature.targets else ""
    return {**_list(_NUMBER, width), "description": f"The row's {width} columns{told}."}


def _probabilities(signature: Signature) -> Schema:
    each = [_shares(labels) for labels in signature.class_sets]
    return _tuple(each) if signature.target_classes else each[0]


def _shares(labels: Sequence[Label]) -> Schema:
    keys = [label_key(label) for label in labels]
    return {
        "type": "object",
        "description": "The probability of each label.",
        "properties": {key: {"type": "number", "format": "double"} for key in keys},
        "required": list(keys),
        "additionalProperties": False,
    }


def _label_type(label: Label) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return names[type(label)]


# --------------------------------------------------------------------------- errors, facts, health


def error_schema() -> Schema:
    """The one shape of every error."""
    detail = {
        "title": "ErrorDetail",
        "type": "object",
        "description": "One fault: a code, a place, and a sentence that says what to do.",
        "properties": {
            "type": {"type": "string", "description": "A stable code: decide by this one."},
            "loc": {
                "type": "array",
                "items": {"type": ["string", "integer"]},
                "description": "Where: `body`, then the row's index if there was a list, then the feature; "
                "`header` and its name; `path`; `method`; empty where no part of the request is at fault.",
            },
            "msg": {"type": "string", "description": "A sentence for people; it may change."},
            "did_you_mean": {
                "type": "string",
                "description": "The feature that was meant, perhaps.",
            },
            "allowed": {
                "type": "array",
                "items": {},
                "description": "The categories that are known.",
            },
        },
        "required": ["type", "loc", "msg"],
    }
    return {
        "title": "Error",
        "type": "object",
        "properties": {
            "detail": {"type": "array", "items": detail, "minItems": 1, "maxItems": 100},
            "request_id": {
                "type": "string",
                "description": "What the server's log knows this request by.",
            },
        },
        "required": ["detail", "request_id"],
    }


def description_schema() -> Schema:
    """What GET /model answers."""
    text, nullable_text = {"type": "string"}, {"type": ["string", "null"]}
    nullable_number = {"type": ["number", "null"]}
    feature = {
        "title": "Feature",
        "type": "object",
        "properties": {
            "name": text,
            "type": {"enum": ["number", "integer", "boolean", "string", "array"]},
            "nullable": {"type": "boolean"},
            "refuses_unknown": {
                "type": "boolean",
                "description": "Whether values outside `categories` are refused.",
            },
            "categories": {"type": ["array", "null"], "items": {}},
            "minimum": nullable_number | {"description": "Smallest value in training."},
            "maximum": nullable_number | {"description": "Largest value in training."},
            "unit": nullable_text,
            "description": nullable_text,
            "datatype": text
            | {"description": "Of a whole tensor, as in the Open Inference Protocol."},
            "shape": {
                "type": "array",
                "items": {"type": ["integer", "null"]},
                "description": "Of a whole tensor, of one row; null where a dimension is dynamic.",
            },
            "dimensions": {
                "type": "array",
                "items": {"type": ["object", "null"]},
                "description": "The dynamic ones: name, and the sizes that are answered, low to high.",
            },
            "limits": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "The smallest and the largest integer that is answered.",
            },
        },
    }
    properties: Schema = {
        "name": text,
        "version": text,
        "task": text,
        "description": nullable_text,
        "created": nullable_text,
        "features": {"type": "array", "items": feature},
        "ignored": {
            "type": "array",
            "items": text,
            "description": "Columns that are never read; a row may hold them.",
        },
        "classes": {
            "type": "array",
            "items": {},
            "description": "The labels; where there are several targets, a list for each.",
        },
        "targets": {"type": "array", "items": text},
        "outputs": {
            "type": "array",
            "items": {"title": "OutputTensor", "type": "object"},
            "description": "The tensors that a network without labels answers: name, datatype, shape.",
        },
        "parity": {
            "type": "object",
            "description": "How the model file was proven equal to the estimator it was saved from.",
        },
        "format": text,
        "digest": text | {"description": "SHA-256 of the model file, as it carries it."},
        "runtime": {
            "type": "object",
            "description": "Versions that answer here, and what is needed.",
        },
    }
    return {
        "title": "Model",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def health_schema() -> Schema:
    """What the health routes answer while all is well."""
    return {
        "title": "Health",
        "type": "object",
        "properties": {"status": {"enum": ["live", "ready"]}},
        "required": ["status"],
    }


# -------------------------------------------------------------------------------------- components


def hoist(schema: Any, components: dict[str, Schema]) -> Any:
    """The schema with every titled object below it moved into `components` and referred to by its title.

    Only places where a schema can stand are walked, so that a feature called `title` stays a feature.
    """
    if not isinstance(schema, Mapping):
        return schema
    walked: Schema = dict(schema)
    for key in ("items", "additionalProperties"):
        if key in walked:
            walked[key] = hoist(walked[key], components)
    for key in ("oneOf", "anyOf", "allOf", "prefixItems"):
        if key in walked:
            walked[key] = [hoist(part, components) for part in walked[key]]
    if "properties" in walked:
        walked["properties"] = {
            name: hoist(part, components) for name, part in walked["properties"].items()
        }
    title = walked.get("title")
    if not isinstance(title, str):
        return walked
    if components.setdefault(title, walked) != walked:
        return walked
    return {"$ref": f"#/components/schemas/{title}"}

"""The types of the fields that readers of a manifest rely on; fields that nobody knows are let be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Each:
    """An object of any keys whose values have one type."""

    of: Any


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value of one of several types, with their name in messages. A boolean is no number."""

    name: str
    types: tuple[type, ...]


_STRING = OneOf("string", (str,))
_BOOLEAN = OneOf("boolean", (bool,))
_INTEGER = OneOf("integer", (int,))
_NUMBER = OneOf("number", (int, float))
_CATEGORY = OneOf("string, number or boolean", (str, int, float, bool))
_ANY = OneOf("value", (object,))
_SHAPE = [OneOf("integer or null", (int, type(None)))]
_CLASSES = {"values": [_ANY]}

# A list of one type stands for lists of it, a mapping for an object that may have these fields.
_FIELDS: Mapping[str, Any] = {
    "format": _STRING,
    "model": dict.fromkeys(
        ("name", "version", "task", "created", "description", "owner", "license"), _STRING
    ),
    "tensors": [{"name": _STRING, "datatype": _STRING, "shape": _SHAPE}],
    "inputs": [
        dict.fromkeys(("name", "kind", "dtype", "tensor", "on_unknown"), _STRING)
        | dict.fromkeys(("overflow", "unit", "description"), _STRING)
        | dict.fromkeys(("nullable", "infinite"), _BOOLEAN)
        | {"column": _INTEGER, "min": _NUMBER, "max": _NUMBER, "categories": [_CATEGORY]}
        | {"shape": _SHAPE, "limits": [_INTEGER], "dimensions": [_ANY]}
    ],
    "outputs": [{"tensor": _STRING, "role": _STRING, "shape": _SHAPE, "datatype": _STRING}],
    "classes": _CLASSES,
    "target_classes": [_CLASSES],
    "targets": [_STRING],
    "columns": [_STRING],
    "texts": [{}],
    "runtime": dict.fromkeys(("onnxruntime", "min_onnxruntime", "unicode"), _STRING)
    | {"rows_per_run": _INTEGER},
    "source": dict.fromkeys(("library", "class", "exporter"), _STRING)
    | {"versions": Each(_STRING)},
    "parity": dict.fromkeys(("rows", "label_flips", "ties", "refused"), _INTEGER)
    | dict.fromkeys(("max_abs", "tolerance"), _NUMBER)
    | {
        "row_sets": [_STRING],
        "rows_by_set": Each(_INTEGER),
        "accepted_mismatch": _BOOLEAN,
        "onnxruntime": _STRING,
    },
}


def check_fields(document: Mapping[str, Any]) -> None:
    """Every field that is there has its type. Raises ValueError that names the first which hasn't."""
    _check(document, _FIELDS, "")


def _check(value: Any, wanted: Any, where: str) -> None:
    if isinstance(wanted, OneOf):
        is_number = isinstance(value, bool) and not {bool, object} & {*wanted.types}
        if is_number or not isinstance(value, wanted.types):
            raise ValueError(f"{where} is no {wanted.name}")
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            raise ValueError(f"{where} is no list")
        for index, item in enumerate(value):
            _check(item, wanted[0], f"{where}.{index}")
    else:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        for key in value if isinstance(wanted, Each) else wanted.keys() & value.keys():
            inner = wanted.of if isinstance(wanted, Each) else wanted[key]
            _check(value[key], inner, f"{where}.{key}".removeprefix("."))

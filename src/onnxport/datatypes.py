"""The one table of datatypes: Open Inference Protocol, ONNX element type, numpy, JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Datatype:
    """One row of the table.

    name: as in the Open Inference Protocol V2. onnx: `TensorProto.DataType` number.
    runtime: how ONNX Runtime spells it. numpy: dtype name. json: JSON Schema type.
    """

    name: str
    onnx: int
    runtime: str
    numpy: str
    json: str

    @property
    def integers(self) -> tuple[int, int] | None:
        """The smallest and the largest of an integer type, else None."""
        if self.json != "integer":
            return None
        bits = int(self.name.removeprefix("U").removeprefix("INT"))
        if self.name.startswith("U"):
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


_ROWS = (
    Datatype("BOOL", 9, "tensor(bool)", "bool", "boolean"),
    Datatype("UINT8", 2, "tensor(uint8)", "uint8", "integer"),
    Datatype("UINT16", 4, "tensor(uint16)", "uint16", "integer"),
    Datatype("UINT32", 12, "tensor(uint32)", "uint32", "integer"),
    Datatype("UINT64", 13, "tensor(uint64)", "uint64", "integer"),
    Datatype("INT8", 3, "tensor(int8)", "int8", "integer"),
    Datatype("INT16", 5, "tensor(int16)", "int16", "integer"),
    Datatype("INT32", 6, "tensor(int32)", "int32", "integer"),
    Datatype("INT64", 7, "tensor(int64)", "int64", "integer"),
    Datatype("FP16", 10, "tensor(float16)", "float16", "number"),
    Datatype("FP32", 1, "tensor(float)", "float32", "number"),
    Datatype("FP64", 11, "tensor(double)", "float64", "number"),
    Datatype("BYTES", 8, "tensor(string)", "object", "string"),
)
BY_NAME = {row.name: row for row in _ROWS}

# The largest integer below which every integer has a double of its own (IEEE 754 binary64).
MAX_EXACT_INTEGER = 2**53
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# The smallest double that float32 (IEEE 754 binary32) rounds to infinity: half a step above its
# largest number.
FLOAT32_OVERFLOW = 2.0**128 - 2.0**103


def json_type(value: Any) -> str:
    """How JSON calls the type of a decoded value, with its article: for messages."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    if value is None:
        return "null"
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")

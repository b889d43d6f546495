"""Weights that an ONNX file keeps in other files beside it, brought inside.

The paths come from the file and are not to be trusted: onnx and ONNX Runtime had to close this hole
several times (page 6 of the design, "external data").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from onnxport.export.adopting.findings import Finding, cure, named, refusal
from onnxport.export.adopting.structure import every_tensor
from onnxport.modelfile import MAX_BYTES

_HALF = {TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1}
_QUARTER = {getattr(TensorProto, name, -1) for name in ("INT2", "UINT2")}


def bring_inside(model: onnx.ModelProto, path: Path) -> list[Finding]:
    """Reads all external weights into the model. Raises NotAdoptable for what isn't beside the file,
    or isn't as long as it should be.
    """
    outside = [t for t in every_tensor(model) if t.data_location == TensorProto.EXTERNAL]
    total = model.ByteSize()
    files: set[str] = set()
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = named("tensor", tensor.name)
        length = _length(tensor)
        total += length
        if total > MAX_BYTES:
            raise refusal(
                "too_large",
                place,
                "with its weights the model is larger than 2 GB, protobuf's limit for one file",
                "quantize it, or export it in float16",
            )
        file = _file(path, entries.get("location", ""), place)
        tensor.raw_data = _read(file, entries, length, place)
        del tensor.external_data[:]
        tensor.ClearField("data_location")
        files.add(file.name)
    if not outside:
        return []
    what = f"{len(outside)} weights stand in {len(files)} other file" + "s" * (len(files) > 1)
    return [cure("external_data", "", what, "they are brought inside")]


def _length(tensor: onnx.TensorProto) -> int:
    """How many bytes a tensor's values take (onnx.proto, `raw_data`)."""
    count = int(np.prod(tensor.dims, dtype=object)) if tensor.dims else 1
    if count < 0 or tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        raise refusal(
            "external_data",
            named("tensor", tensor.name),
            "it stands in another file, and has no size that could be read from there",
            "export the model again with the weights inside",
        )
    if tensor.data_type in _QUARTER:
        return (count + 3) // 4
    if tensor.data_type in _HALF:
        return (count + 1) // 2
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _file(path: Path, location: str, place: str) -> Path:
    """The file that a location names, in the model's own folder. Raises NotAdoptable."""
    told = f"its weights are said to stand in {location[:64]!r}"
    parts = location.replace("\\", "/").split("/")
    if not location or "\0" in location:
        raise refusal(
            "external_data", place, "its weights have no location", "export the model again"
        )
    folder = Path(os.path.realpath(path.parent))
    file = path.parent / location
    real = Path(os.path.realpath(file))
    absolute = location.startswith(("/", "\\")) or parts[0].endswith(":")
    if absolute or ".." in parts or not real.is_relative_to(folder):
        raise refusal(
            "external_data",
            place,
            f"{told}, outside the model's folder",
            "put the file itself beside the model, and its name as the location",
        )
    if not real.is_file():
        raise refusal(
            "external_data",
            place,
            f"{told}, and there is no such file beside the model",
            "copy it there; an ONNX file and its data travel together",
        )
    return real


def _read(file: Path, entries: Mapping[str, str], length: int, place: str) -> bytes:
    told = [entries.get("offset", "0"), entries.get("length", str(length))]
    if not all(text.isdecimal() and len(text) < 20 for text in told):
        raise refusal(
            "external_data",
            place,
            "the offset or length of its weights is no number",
            "export the model again",
        )
    offset, said = map(int, told)
    size = file.stat().st_size
    if said != length or offset + length > size:
        raise refusal(
            "external_data",
            place,
            f"its {length:,} bytes are not at {offset:,} (said to be {said:,}) of a file of {size:,}",
            "the data file is cut off or of another model; export both again",
        )
    with file.open("rb") as handle:
        handle.seek(offset)
        return handle.read(length)

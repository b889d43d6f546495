"""The model file's bytes: its metadata, its digest, and what is refused before any runtime sees
them.

An `.onnx` file is one protobuf message (`ModelProto` in onnx.proto). ONNX Runtime takes the last of
two equal metadata keys without a word, so the top level is scanned here, without the onnx package.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxport.errors import ModelFileError, shorten
from onnxport.manifest import (
    BASELINE_KEY,
    CAPS,
    DIGEST_KEY,
    FORMAT_KEY,
    MANIFEST_KEY,
    SELFTEST_KEY,
    Manifest,
    SelfTest,
    check_format,
    parse_object,
    read_manifest,
)

MAX_BYTES = 2 * 1024**3 - 1  # protobuf's own limit for one message
BLANK_DIGEST = "0" * 64
ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 14, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_ATTRIBUTE, _NODE_DOMAIN, _FUNCTION_NODE = 5, 7, 7
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = {5, 10}, {6, 11}, {22, 23}
_MAX_SUBGRAPH_DEPTH = 8
# Integer fields in a row, as many as there are: a tag below 16 of wire type 0, at most ten bytes.
_INTEGERS = re.compile(rb"(?:[\x08\x10\x18 (08@HPX`hpx][\x80-\xff]{0,9}+[\x00-\x7f])++")
_ENTRY_VALUE = 2


@dataclass(frozen=True)
class ModelFile:
    """A verified model file: its bytes and the parsed metadata. `digest` is the SHA-256 that it
    carries.
    """

    content: bytes
    manifest: Manifest
    selftest: SelfTest
    baseline: dict[str, Any]
    digest: str


def read_model_file(path: str | Path) -> ModelFile:
    """Reads and verifies a model file from disk. Raises ModelFileError with what is wrong with it."""
    try:
        path = Path(path)
        content = path.read_bytes()
    except (OSError, TypeError, ValueError) as err:
        if not isinstance(path, (str, bytes, os.PathLike)):
            kind = type(path).__name__
            raise ModelFileError(
                f"load takes a path or bytes, and got a {kind}; save it first"
            ) from err
        why = err.strerror if isinstance(err, OSError) else str(err)
        name = (path.name or str(path)) if isinstance(path, Path) else shorten(repr(path))
        raise ModelFileError(f"{name}: {why}; give the path of a model file") from err
    try:
        return parse_model_file(content)
    except ModelFileError as err:
        raise ModelFileError(f"{path.name}: {err}") from err


def parse_model_file(content: bytes) -> ModelFile:
    """Verifies a model file's bytes: format, digest, no external data, no foreign operators."""
    metadata = read_metadata(content)
    if FORMAT_KEY not in metadata:
        raise ModelFileError(
            "an ONNX file without onnxport's metadata; save the model with onnxport.save, or make a "
            "model file of this one: onnxport adopt FILE -o MODEL.onnx"
        )
    check_format(metadata[FORMAT_KEY])
    for key in (MANIFEST_KEY, BASELINE_KEY, SELFTEST_KEY, DIGEST_KEY):
        if key not in metadata:
            raise ModelFileError(f"{key} is missing; the file was rewritten, save the model again")
    for key, cap in CAPS.items():
        if len(metadata[key].encode()) > cap:
            raise ModelFileError(f"{key} is larger than the {cap} bytes allowed")
    digest = metadata[DIGEST_KEY]
    if compute_digest(content) != digest:
        raise ModelFileError(
            "the digest doesn't match: the file is damaged or was rewritten; "
            "copy it again, or save the model again"
        )
    _refuse_foreign_parts(content)
    manifest = read_manifest(metadata[MANIFEST_KEY])
    selftest = SelfTest.from_json(metadata[SELFTEST_KEY])
    selftest.check(manifest.signature)
    return ModelFile(
        content=content,
        manifest=manifest,
        selftest=selftest,
        baseline=parse_object(metadata[BASELINE_KEY], BASELINE_KEY),
        digest=digest,
    )


def read_metadata(content: bytes) -> dict[str, str]:
    """The file's `metadata_props`. Duplicate keys and bytes that are no ONNX model are refused."""
    if not content:
        raise ModelFileError("the file is empty")
    if len(content) > MAX_BYTES:
        raise ModelFileError("the file is larger than 2 GB, protobuf's limit")
    metadata: dict[str, str] = {}
    has_graph = False
    for number, value in _messages(memoryview(content)):
        has_graph = has_graph or number == _MODEL_GRAPH
        if number == _MODEL_METADATA:
            key, text = _read_entry(value)
            if key in metadata:
                raise ModelFileError(f"the metadata key {key[:64]!r} stands twice in the file")
            metadata[key] = text
    if not has_graph:
        raise ModelFileError("not an ONNX model: it has no graph")
    return metadata


def compute_digest(content: bytes) -> str:
    """SHA-256 over the whole file with the 64 characters of its own digest replaced by zeros."""
    start, end = _digest_place(content)
    blank = BLANK_DIGEST.encode()
    return hashlib.sha256(b"".join((content[:start], blank, content[end:]))).hexdigest()


def seal(content: bytes) -> bytes:
    """Puts the digest into bytes that were serialized with a blank one."""
    start, end = _digest_place(content)
    return b"".join((content[:start], compute_digest(content).encode(), content[end:]))


def _digest_place(content: bytes) -> tuple[int, int]:
    """Where the digest's value stands in the file."""
    for number, _, value, start in _fields(memoryview(content)):
        if number != _MODEL_METADATA or not isinstance(value, memoryview):
            continue
        if _read_entry(value)[0] != DIGEST_KEY:
            continue
        for part, _, text, inner in _fields(value):
            if part == _ENTRY_VALUE and isinstance(text, memoryview) and len(text) == 64:
                return start + inner, start + inner + 64
    raise ModelFileError(f"{DIGEST_KEY} doesn't hold 64 characters; save the model again")


def _read_entry(message: memoryview) -> tuple[str, str]:
    """A StringStringEntryProto: key is field 1, value is field 2."""
    parts = {1: "", 2: ""}
    for number, value in _messages(message):
        try:
            parts[number] = bytes(value).decode("utf-8")
        except UnicodeDecodeError as err:
            raise ModelFileError("the file's metadata is not UTF-8") from err
    return parts[1], parts[2]


def _refuse_foreign_parts(content: bytes) -> None:
    for number, value in _messages(memoryview(content)):
        if number == _MODEL_GRAPH:
            _walk_graph(value, 0)
        elif number == _MODEL_FUNCTIONS:
            for part, node in _messages(value):
                if part == _FUNCTION_NODE:
                    _walk_node(node, 0)


def _walk_graph(graph: memoryview, depth: int) -> None:
    if depth > _MAX_SUBGRAPH_DEPTH:
        raise ModelFileError(f"the graph nests deeper than {_MAX_SUBGRAPH_DEPTH} subgraphs")
    for number, value in _messages(graph):
        if number == _GRAPH_NODE:
            _walk_node(value, depth)
        elif number == _GRAPH_INITIALIZER:
            _walk_tensor(value)
        elif number == _GRAPH_SPARSE:
            _walk_sparse(value)


def _walk_node(node: memoryview, depth: int) -> None:
    for number, value in _messages(node):
        if (
            number == _NODE_DOMAIN
            and bytes(value).decode("utf-8", "replace") not in ALLOWED_DOMAINS
        ):
            domain = bytes(value[:64]).decode("utf-8", "replace")
            raise ModelFileError(
                f"the graph uses an operator of the domain {domain!r}, which is not allowed"
            )
        if number == _NODE_ATTRIBUTE:
            for part, inner in _messages(value):
                if part in _ATTRIBUTE_TENSORS:
                    _walk_tensor(inner)
                elif part in _ATTRIBUTE_SPARSE:
                    _walk_sparse(inner)
                elif part in _ATTRIBUTE_GRAPHS:
                    _walk_graph(inner, depth + 1)


def _walk_sparse(sparse: memoryview) -> None:
    for number, value in _messages(sparse):
        if number in (_SPARSE_VALUES, _SPARSE_INDICES):
            _walk_tensor(value)


def _walk_tensor(tensor: memoryview) -> None:
    for number, wire, value, _ in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and wire == 0 and value != 0):
            raise ModelFileError(
                "the graph keeps weights in another file (external data), which is refused; "
                "a model file is one file"
            )


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message: (field number, content)."""
    for number, _, value, _ in _fields(message, integers=False):
        if isinstance(value, memoryview):
            yield number, value


def _fields(
    message: memoryview, *, integers: bool = True
) -> Iterator[tuple[int, int, memoryview | int, int]]:
    """All fields of a message: (number, wire type, content, where it starts). Protocol Buffers'
    encoding specification.

    integers: with the integer fields, of which a forest has millions; else they are passed over.
    """
    position, end = 0, len(message)
    while position < end:
        if not integers and (run := _INTEGERS.match(message, position)):
            position = run.end()
            continue
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ModelFileError("not an ONNX model, or a damaged one: a field has the number 0")
        if wire == 0:
            value, position = _varint(message, position)
            yield number, wire, value, position
            continue
        if wire == 2:
            length, position = _varint(message, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ModelFileError("not an ONNX model, or a damaged one: an unknown wire type")
        if position + length > end:
            raise ModelFileError("not an ONNX model, or a truncated one: it ends in a field")
        yield number, wire, message[position : position + length], position
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ModelFileError("not an ONNX model, or a truncated one: it ends in a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

"""Reads an ONNX file as other tools write it, and says what a file is that is none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from onnxport.errors import ModelFileError, shorten
from onnxport.export.adopting.external import bring_inside
from onnxport.export.adopting.findings import Finding, NotAdoptable, cure, in_utf8, refusal
from onnxport.export.adopting.structure import every_graph, every_node
from onnxport.manifest import FORMAT_KEY, MANIFEST_KEY, Manifest, read_manifest
from onnxport.modelfile import MAX_BYTES, parse_model_file

# How other kinds of files begin, what they are, and what leads from them to ONNX.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras keeps models so)", "export it with tf2onnx"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull"),
    (b"CBM1", "a CatBoost model", 'save it with onnxport.save, or with save_model(format="onnx")'),
    (b"tree\nversion", "a LightGBM model", "load it as a Booster and save it with onnxport.save"),
    (b"GGUF", "a GGUF file", "adopt takes ONNX files"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"<?xml", "an XML file (OpenVINO and PMML keep models so)", "adopt takes ONNX files"),
    (b"<", "a page or an XML file, perhaps of a failed download", "download the file again"),
    (
        b"{",
        "a JSON file (XGBoost keeps models so)",
        "load the model and save it with onnxport.save",
    ),
    (b"\x93NUMPY", "a numpy array", "adopt takes ONNX files"),
)
_BY_SUFFIX = {
    ".pb": "a TensorFlow graph",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".joblib": "a pickle",
    ".pt": "a PyTorch checkpoint",
    ".pth": "a PyTorch checkpoint",
    ".keras": "a Keras model",
    ".npz": "numpy arrays",
    ".safetensors": "a safetensors file (weights without a graph)",
}
_PICKLE = (
    "load it in Python and save the object with onnxport.save, or run onnxport export FILE --trust"
)


@dataclass(frozen=True)
class Original:
    """An ONNX file as it was found, its weights brought inside.

    sha256: of the file itself. manifest: of a model file that another tool rewrote, where it can still
    be read.
    """

    path: Path
    model: onnx.ModelProto
    sha256: str
    manifest: Manifest | None
    findings: tuple[Finding, ...]


def read_original(path: str | os.PathLike[str]) -> Original:
    """Raises NotAdoptable for what is no ONNX file, is damaged, or is a model file already."""
    with in_utf8():
        return _read(path)


def _read(path: str | os.PathLike[str]) -> Original:
    try:
        place = Path(path)
    except TypeError as err:
        what = f"{shorten(repr(path))} is no path"
        raise refusal("unreadable", "", what, "give the path of an ONNX file") from err
    content = _content(place)
    model = _parse(place, content)
    manifest, findings = _own(content, model)
    findings += bring_inside(model, place)
    if model.ByteSize() > MAX_BYTES:
        raise refusal(
            "too_large",
            "",
            "with its weights the model is larger than 2 GB, protobuf's limit for one file",
            "quantize it, or export it in float16",
        )
    digest = hashlib.sha256(content).hexdigest()
    return Original(place, model, digest, manifest, tuple(findings))


def _content(path: Path) -> bytes:
    name = shorten(path.name or str(path))
    try:
        if path.is_dir():
            raise _folder(path)
        size = path.stat().st_size
        if size == 0:
            raise refusal("empty", "", f"{name} is empty", "export or download it again")
        if size > MAX_BYTES:
            raise refusal(
                "too_large",
                "",
                f"{name} is larger than 2 GB, protobuf's limit for one file",
                "an ONNX file of this size can't be whole; export it again",
            )
        return path.read_bytes()
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else str(err)
        raise refusal(
            "unreadable", "", f"{name} can't be read ({why})", "give the path of an ONNX file"
        ) from err


def _folder(path: Path) -> NotAdoptable:
    name = shorten(path.name)
    if (path / "saved_model.pb").exists():
        return refusal(
            "saved_model",
            "",
            f"{name} is a TensorFlow SavedModel",
            "convert it first: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx",
        )
    inside = sorted(each.name for each in path.glob("*.onnx"))
    hint = (
        f"give the file in it, {shorten(inside[0])}" if inside else "give the path of an ONNX file"
    )
    return refusal("folder", "", f"{name} is a folder", hint)


def _parse(path: Path, content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as err:  # protobuf's own, which isn't ours to import
        raise _foreign(path, content) from err
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise _foreign(path, content)
    if not all(isinstance(text, str) for text in _texts(model)):
        what = "a name or a text in the file is not UTF-8"
        raise refusal("damaged", "", what, "export or download it again")
    _tidy(model)
    return model


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """All names in a model; protobuf gives bytes, or raises UnicodeDecodeError, where one is no UTF-8."""
    yield from (model.producer_name, model.producer_version, model.doc_string, model.domain)
    yield from (entry.domain for entry in model.opset_import)
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    for graph in every_graph(model.graph):
        yield from (graph.name, graph.doc_string)
        for part in (graph.input, graph.output, graph.initializer):
            yield from (each.name for each in part)
    for node, _ in every_node(model.graph):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _tidy(model: onnx.ModelProto) -> None:
    """What ONNX Runtime passes over and onnx's checker doesn't: a graph without a name, and a key of
    the metadata that stands twice (the last one counts).
    """
    model.graph.name = model.graph.name or "graph"
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if len(entries) < len(model.metadata_props):
        del model.metadata_props[:]
        for key, value in entries.items():
            model.metadata_props.add(key=key, value=value)


def _foreign(path: Path, content: bytes) -> NotAdoptable:
    """What a file is that is no ONNX model, as far as its beginning and its name tell."""
    name, suffix = shorten(path.name), path.suffix.lower()
    if content[:2] == b"PK":
        what = _BY_SUFFIX.get(suffix, "a zip archive (PyTorch, Keras and numpy keep files so)")
        then = _PICKLE if b"data.pkl" in content[:4096] else "convert it to ONNX first"
        what = "a PyTorch checkpoint" if b"data.pkl" in content[:4096] else what
        return refusal("no_onnx", "", f"{name} is {what}, not ONNX", then)
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return refusal("no_onnx", "", f"{name} is a pickle, not ONNX", _PICKLE)
    if content[4:8] in (b"ORTM", b"TFL3"):
        runtimes = content[4:8] == b"ORTM"
        what = "a file in ONNX Runtime's own format" if runtimes else "a TensorFlow Lite model"
        then = "adopt the ONNX file that it was made of"
        return refusal("no_onnx", "", f"{name} is {what}", then)
    for beginning, told, then in _BEGINNINGS:
        if content.lstrip()[: len(beginning)] == beginning or content.startswith(beginning):
            return refusal("no_onnx", "", f"{name} is {told}, not ONNX", then)
    if suffix in _BY_SUFFIX:
        told = _BY_SUFFIX[suffix]
        return refusal("no_onnx", "", f"{name} is {told}, not ONNX", "convert it to ONNX first")
    return refusal(
        "no_onnx",
        "",
        f"{name} is no ONNX model, or one that is damaged or cut off",
        "export or download it again",
    )


def _own(content: bytes, model: onnx.ModelProto) -> tuple[Manifest | None, list[Finding]]:
    """The manifest of a model file of ours that another tool rewrote. Refuses an intact one."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if FORMAT_KEY not in metadata:
        return None, []
    try:
        parse_model_file(content)
    except ModelFileError:
        pass
    else:
        raise refusal(
            "model_file", "", "the file is already a model file", "serve it: onnxport serve FILE"
        )
    try:
        manifest = read_manifest(metadata[MANIFEST_KEY])
    except (KeyError, ModelFileError):
        what = "it was a model file, and its manifest can't be read any more"
        return None, [cure("manifest", "", what, "it is adopted like any other ONNX file")]
    what = "a model file that another tool rewrote: its digest doesn't match"
    return manifest, [cure("rewritten", "", what, "it is certified anew, by its own self-test")]


def metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """The file's own metadata, without what onnxport keeps there; of two equal keys the last, as
    ONNX Runtime reads them.
    """
    return {e.key: e.value for e in model.metadata_props if not e.key.startswith("onnxport.")}

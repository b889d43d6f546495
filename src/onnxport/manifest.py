"""The manifest: the JSON object that a model file carries. Written here, read here, versioned here.

The format has two numbers, `major.minor`. A reader must know the major number; a minor number may
add fields, which older readers keep and ignore, and tasks, roles and kinds of features, which they
refuse by name. Raise the major number only when an old reader would answer wrongly.

1.1 adds the tasks multioutput_classification, outlier_detection, clustering and transformation, the
roles score and output, `target_classes`, and the kind text with `texts`.
1.2 adds whole tensors: the task and the role tensor, the kind tensor with `shape`, tensors that are
no matrices, `dimensions`, and `limits` of integers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from onnxport.analysis import read_text, write_text
from onnxport.coherence import check_signature
from onnxport.datatypes import BY_NAME
from onnxport.errors import ModelFileError
from onnxport.fields import check_fields
from onnxport.signature import (
    NULL_TOKEN,
    Dimension,
    Feature,
    Kind,
    Label,
    Output,
    Role,
    Shape,
    Signature,
    Task,
    Tensor,
)
from onnxport.stored import restore, restore_some

FORMAT = "1.2"
FORMAT_KEY = "onnxport.format"
MANIFEST_KEY = "onnxport.manifest"
BASELINE_KEY = "onnxport.baseline"
SELFTEST_KEY = "onnxport.selftest"
DIGEST_KEY = "onnxport.digest"
CAPS = {
    FORMAT_KEY: 16,
    MANIFEST_KEY: 1024 * 1024,
    BASELINE_KEY: 512 * 1024,
    SELFTEST_KEY: 512 * 1024,
}
MAX_CATEGORIES = 1000
MAX_TOLERANCE = 1e-3


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, UTF-8 as it is, numbers as shortest repr, never NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


class Manifest(Mapping[str, Any]):
    """A model file's manifest: reads like the JSON object that it is, with the signature parsed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = dict(document)
        _check_facts(self._document)
        self.signature = _read_signature(self._document)

    def __getitem__(self, key: str) -> Any:
        return self._document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"Manifest({self.name!r}, version={self.version!r}, task={self.signature.task!r})"

    @property
    def name(self) -> str:
        return str(self._document["model"]["name"])

    @property
    def version(self) -> str:
        return str(self._document["model"]["version"])

    @property
    def accepted_mismatch(self) -> bool:
        """Whether the file was written although it answers differently from the estimator."""
        return bool(self._document.get("parity", {}).get("accepted_mismatch", False))

    def to_json(self) -> str:
        return canonical(self._document)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The self-test rows: inputs by feature name, the expected outputs by tensor name, and the
    tolerance.

    inputs: `{feature: [value, ...]}`, null as None, a whole tensor's row as `stored` writes it.
    expect: `{tensor: nested lists}`, likewise. tolerance: the largest difference allowed, relative to
    max(1, |expected|).
    """

    inputs: dict[str, list[Any]]
    expect: dict[str, list[Any]]
    tolerance: float

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values()), []))

    def check(self, signature: Signature) -> None:
        """Refuses rows that can't prove anything about this signature. Raises ModelFileError."""
        outputs = {o.tensor for o in signature.outputs if o.role != "refused"}
        columns = [*self.inputs.values(), *self.expect.values()]
        code = signature.output("label_code")
        codes = self.expect.get(code.tensor, []) if code else []
        known = {o.tensor for o in signature.outputs}
        if set(self.inputs) != set(signature.names) or not outputs <= set(self.expect) <= known:
            what = "its rows don't have the signature's features and outputs"
        elif {len(column) for column in columns} != {self.rows} or self.rows == 0:
            what = "it has no rows, or columns of different lengths"
        elif not all(_is_code(signature, code) for code in codes):
            what = "it expects a label that doesn't exist"
        elif not all(_holds(f, value) for f in signature.features for value in self.inputs[f.name]):
            what = "its rows hold values of other types than the signature's"
        elif not all(
            _fits(value, o.datatype, o.shape, restore_some)
            for o in signature.outputs
            if o.shape is not None
            for value in self.expect[o.tensor]
        ):
            what = "it expects tensors of other shapes or datatypes than the signature's"
        elif not 0 <= self.tolerance <= MAX_TOLERANCE:
            what = f"its tolerance is not between 0 and {MAX_TOLERANCE:g}"
        else:
            return
        raise ModelFileError(f"{SELFTEST_KEY}: {what}; save the model again")

    def row(self, index: int) -> dict[str, Any]:
        """One row as a request would hold it: tensors as nested lists."""
        return {name: _plain(values[index]) for name, values in self.inputs.items()}

    def column(self, name: str) -> list[Any]:
        """All rows' values of a feature, whole tensors as arrays."""
        return [restore(v) if isinstance(v, dict) else v for v in self.inputs[name]]

    def to_json(self) -> str:
        return canonical(
            {"inputs": self.inputs, "expect": self.expect, "tolerance": self.tolerance}
        )

    @classmethod
    def from_json(cls, text: str) -> SelfTest:
        document = parse_object(text, SELFTEST_KEY)
        try:
            tolerance = float(document["tolerance"])
            inputs, expect = (_lists(document[part]) for part in ("inputs", "expect"))
            return cls(inputs, expect, tolerance)
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise ModelFileError(f"{SELFTEST_KEY}: {_what(err)}; save the model again") from err


def _is_code(signature: Signature, code: Any) -> bool:
    """Whether this is one code for each target: an integer, or a list where there are several."""
    sets = signature.class_sets
    codes = code if signature.target_classes and isinstance(code, list) else [code]
    return len(codes) == len(sets) and all(
        type(value) is int and 0 <= value < len(labels)
        for value, labels in zip(codes, sets, strict=True)
    )


def _plain(value: Any) -> Any:
    return restore(value).tolist() if isinstance(value, dict) else value


def _holds(feature: Feature, value: Any) -> bool:
    """Whether a stored value is one that the feature may hold, or null."""
    if feature.is_tensor:
        return _fits(value, feature.dtype, feature.shape or (), restore)
    types = (str,) if feature.is_string else (bool,) if feature.kind == "boolean" else (int, float)
    return value is None or type(value) in types


def _fits(
    value: Any, datatype: str | None, shape: Shape, read: Callable[[Mapping[str, Any]], Any]
) -> bool:
    """Whether a stored tensor is one of this datatype and shape."""
    try:
        found = read(value)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return False
    sizes = found[0] if isinstance(found, tuple) else found.shape
    fits = len(sizes) == len(shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, sizes, strict=True)
    )
    return fits and value["datatype"] == datatype


def check_format(text: str) -> None:
    """Refuses a format whose major number this version doesn't know."""
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise ModelFileError(f"{FORMAT_KEY} is {text[:16]!r}, which is no version number")
    if major != FORMAT.partition(".")[0]:
        raise ModelFileError(
            f"the file has format {text}, and this onnxport reads format {FORMAT}; "
            "serve it with the onnxport that wrote it, or save the model again"
        )


def parse_object(text: str, key: str) -> dict[str, Any]:
    """A JSON object out of the file's metadata; duplicate keys and NaN are refused."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        canonical(document).encode()  # refuses lone surrogates, and numbers that are too large
    except (ValueError, RecursionError) as err:
        raise ModelFileError(f"{key} is not the JSON that onnxport writes: {err}") from err
    if not isinstance(document, dict):
        raise ModelFileError(f"{key} is not a JSON object")
    return document


def read_manifest(text: str) -> Manifest:
    """Parses the manifest; unknown fields are kept, missing ones refused."""
    document = parse_object(text, MANIFEST_KEY)
    try:
        return Manifest(document)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as err:
        raise ModelFileError(f"{MANIFEST_KEY}: {_what(err)}; save the model again") from err


def write_signature(signature: Signature, *, max_categories: int | None = None) -> dict[str, Any]:
    """The manifest's part that describes inputs and outputs; at most so many categories a feature."""
    document: dict[str, Any] = {
        "tensors": [
            {"name": t.name, "datatype": t.datatype, "shape": [None, *t.shape]}
            for t in signature.tensors
        ],
        "inputs": [_write_feature(feature, max_categories) for feature in signature.features],
        "outputs": [_write_output(output) for output in signature.outputs],
    }
    if signature.classes:
        document["classes"] = _write_classes(signature.classes)
    if signature.target_classes:
        document["target_classes"] = [_write_classes(each) for each in signature.target_classes]
    if signature.targets:
        document["targets"] = list(signature.targets)
    if signature.columns:
        document["columns"] = list(signature.columns)
    if signature.texts:
        document["texts"] = [write_text(text) for text in signature.texts]
    return document


def _write_output(output: Output) -> dict[str, Any]:
    document: dict[str, Any] = {"tensor": output.tensor, "role": output.role}
    if output.shape is not None:
        return document | {"shape": [None, *output.shape], "datatype": output.datatype}
    return document | {"shape": [None] if output.width is None else [None, output.width]}


def _write_classes(labels: tuple[Label, ...]) -> dict[str, Any]:
    kinds = {type(label).__name__ for label in labels}
    dtype = {"str": "string", "int": "int64", "float": "float64", "bool": "bool"}
    return {
        "dtype": dtype[kinds.pop()] if len(kinds) == 1 else "mixed",
        "values": list(labels),
    }


# Names that the file spells differently from Feature.
_SPELLED = {"minimum": "min", "maximum": "max"}


def _write_feature(feature: Feature, max_categories: int | None) -> dict[str, Any]:
    document = {_SPELLED.get(f.name, f.name): getattr(feature, f.name) for f in fields(Feature)}
    if feature.dimensions is not None:
        document["dimensions"] = [
            None if d is None else {"name": d.name, "low": d.low, "high": d.high}
            for d in feature.dimensions
        ]
    document["on_unknown"] = "error" if document.pop("refuses_unknown") else "accept"
    if feature.is_string:
        document["null_token"] = NULL_TOKEN
    if feature.categories is not None:
        document["categories"] = list(feature.categories[:max_categories])
        if max_categories is not None and len(feature.categories) > max_categories:
            document["categories_total"] = len(feature.categories)
    return {key: value for key, value in document.items() if value is not None}


def _read_signature(document: Mapping[str, Any]) -> Signature:
    task = document["model"]["task"]
    if task not in get_args(Task):
        raise ValueError(
            f"unknown task {task!r}, which a newer onnxport may know; serve it with that one"
        )
    signature = Signature(
        task=task,
        features=tuple(_read_feature(entry) for entry in document["inputs"]),
        tensors=tuple(_read_tensor(entry) for entry in document["tensors"]),
        outputs=tuple(_read_output(entry) for entry in document["outputs"]),
        classes=tuple(document.get("classes", {}).get("values", ())),
        targets=tuple(document.get("targets", ())),
        columns=tuple(document.get("columns", ())),
        target_classes=tuple(
            tuple(entry["values"]) for entry in document.get("target_classes", ())
        ),
        texts=tuple(read_text(entry) for entry in document.get("texts", ())),
    )
    check_signature(signature)
    return signature


def _read_tensor(entry: Mapping[str, Any]) -> Tensor:
    if entry["datatype"] not in BY_NAME:
        raise ValueError(f"unknown datatype {entry['datatype']!r}")
    return Tensor(entry["name"], entry["datatype"], _read_shape(entry["shape"][1:]))


def _read_shape(sizes: list[Any]) -> Shape:
    """Of one row: sizes of at least 0, None where a dimension is dynamic."""
    if not all(size is None or (type(size) is int and size >= 0) for size in sizes):
        raise ValueError("a size is no whole number")
    return tuple(sizes)


def _read_output(entry: Mapping[str, Any]) -> Output:
    if entry["role"] not in get_args(Role):
        raise ValueError(f"unknown output role {entry['role']!r}")
    shape = entry["shape"]
    if entry["role"] == "tensor":
        sizes = _read_shape(shape[1:])
        return Output(entry["tensor"], "tensor", shape=sizes, datatype=entry["datatype"])
    return Output(entry["tensor"], entry["role"], int(shape[1]) if len(shape) > 1 else None)


def _read_feature(entry: Mapping[str, Any]) -> Feature:
    if entry["kind"] not in get_args(Kind):
        raise ValueError(f"unknown kind {entry['kind']!r} of feature {entry['name']!r}")
    values = {
        f.name: entry[_SPELLED.get(f.name, f.name)]
        for f in fields(Feature)
        if _SPELLED.get(f.name, f.name) in entry
    }
    values["refuses_unknown"] = entry.get("on_unknown") == "error"
    if "categories" in values:
        values["categories"] = tuple(values["categories"])
    if "shape" in values:
        values["shape"] = _read_shape(values["shape"])
    if "limits" in values:
        low, high = values["limits"]
        values["limits"] = (low, high)
    if "dimensions" in values:
        values["dimensions"] = tuple(map(_read_dimension, values["dimensions"]))
    return Feature(**values)


def _read_dimension(entry: Mapping[str, Any] | None) -> Dimension | None:
    if entry is None:
        return None
    name, low, high = entry["name"], entry["low"], entry["high"]
    sizes = type(low) is int and (high is None or type(high) is int)
    if not (isinstance(name, str) and sizes and 1 <= low <= (low if high is None else high)):
        raise ValueError("a dimension's sizes are no range")
    return Dimension(name, low, high)


def _lists(document: Any) -> dict[str, list[Any]]:
    if not isinstance(document, dict) or not all(isinstance(v, list) for v in document.values()):
        raise ValueError("its inputs and expectations are not lists by name")
    return document


# What must be there for a reader to tell of a model.
_NEEDED = {
    "model": ("name", "version", "task"),
    "parity": ("rows", "row_sets", "label_flips", "max_abs", "tolerance", "onnxruntime"),
    "source": ("library", "class"),
}


def _check_facts(document: Mapping[str, Any]) -> None:
    """Everything is there, and of the type that a reader expects."""
    check_fields(document)
    for part, needed in _NEEDED.items():
        missing = [key for key in needed if part in document and key not in document[part]]
        if missing:
            raise ValueError(f"{part}.{missing[0]} is missing")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _what(err: Exception) -> str:
    return f"{err.args[0]!r} is missing" if isinstance(err, KeyError) else str(err)

"""The signature: the named, typed inputs and outputs of a model. Frozen data, no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal

from onnxport.datatypes import BY_NAME, INT64_MAX, INT64_MIN

Label = str | int | float | bool
Category = str | int | float | bool
Kind = Literal["numeric", "integer", "boolean", "categorical", "text", "tensor"]
Task = Literal[
    "binary_classification",
    "multiclass_classification",
    "multioutput_classification",
    "regression",
    "outlier_detection",
    "clustering",
    "transformation",
    "tensor",
]
Role = Literal["label_code", "probabilities", "score", "value", "output", "refused", "tensor"]
# The sizes of one row's tensor, None where a dimension is dynamic.
Shape = tuple[int | None, ...]

Analyzer = Literal["word", "char", "char_wb"]
Accents = Literal["ascii", "unicode"]

# Stands for a null in a string tensor, which has no null of its own (Unicode private use area).
NULL_TOKEN = "\ue000null"
# Stands between the n-grams of a row in a text tensor (also private use).
NGRAM_SEPARATOR = "\ue001"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One ONNX input: its name, Open Inference datatype, and the shape of one row, before which the
    batch is dimension 0: (k,) for a matrix of k columns, [N, k].
    """

    name: str
    datatype: str
    shape: Shape

    @property
    def width(self) -> int:
        """How many columns a matrix has."""
        size = self.shape[0] if len(self.shape) == 1 else None
        return 1 if size is None else size


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dynamic dimension: its name, which stands for one size in all inputs of a row, and the sizes
    that are answered, from low to high (None: no end is known).
    """

    name: str
    low: int = 1
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One named input of the signature, and what the estimator was seen to accept in it.

    name: as the user knows it. kind: what JSON may hold. dtype: the column's numpy dtype in
    training (`"string"` for text), of a tensor its Open Inference datatype. tensor, column: where it
    is fed; tensor is empty where only text tensors hold it.
    shape: of a whole tensor, of one row; dimensions: what is known of its dynamic ones, in the order
    of the shape. limits: the smallest and the largest integer that is answered.
    nullable: the estimator answers rows with null here. infinite: and rows with ±inf.
    overflow: `"float32"` where the estimator refuses numbers that float32 can't hold.
    refuses_unknown: values outside `categories` are refused (as the encoder does); otherwise they
    are documentation.
    minimum, maximum: the training range, documentation only. example: a value for documentation.
    """

    name: str
    kind: Kind
    dtype: str
    tensor: str
    column: int = 0
    nullable: bool = False
    infinite: bool = False
    overflow: str | None = None
    categories: tuple[Category, ...] | None = None
    refuses_unknown: bool = False
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    description: str | None = None
    shape: Shape | None = None
    limits: tuple[int, int] | None = None
    dimensions: tuple[Dimension | None, ...] | None = None

    @property
    def is_tensor(self) -> bool:
        """It is a whole ONNX input, not a column of one."""
        return self.kind == "tensor"

    @property
    def is_string(self) -> bool:
        return self.dtype == "string"


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a text becomes a list of n-grams: scikit-learn's parameters of the same names.

    analyzer: `"word"`, `"char"` or `"char_wb"`. strip_accents: `"ascii"`, `"unicode"` or None.
    token_pattern, stop_words: of the analyzer `"word"` alone. ngram_range: smallest and largest n.
    """

    analyzer: Analyzer
    ngram_range: tuple[int, int]
    lowercase: bool = True
    strip_accents: Accents | None = None
    token_pattern: str | None = None
    stop_words: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """One text tensor, [N, 1] strings: a feature's n-grams, joined by NGRAM_SEPARATOR."""

    tensor: str
    feature: str
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class Output:
    """One ONNX output: its tensor, its role in the answer, and its number of columns (None: one
    value a row).

    A multi-output classifier's `label_code` has a column for each target, and its `probabilities`
    hold those of all targets side by side.
    shape, datatype: of a whole tensor (role `tensor`), of one row.
    """

    tensor: str
    role: Role
    width: int | None = None
    shape: Shape | None = None
    datatype: str | None = None


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out, in the order of training.

    classes: the labels in the order of the codes (and of the probabilities' columns): a
    classifier's, an outlier detector's (-1 and 1), a clusterer's; else empty.
    target_classes: those of each target of a multi-output classifier; else empty.
    targets: the names of a regressor's or a multi-output classifier's targets, where more than one
    means that a prediction is a list; the names of a transformer's columns, empty where they would
    be too long.
    columns: all columns of training in their order, where the estimator never reads some; else empty.
    texts: the tensors that hold n-grams of a feature instead of the feature itself.
    """

    task: Task
    features: tuple[Feature, ...]
    tensors: tuple[Tensor, ...]
    outputs: tuple[Output, ...]
    classes: tuple[Label, ...] = ()
    targets: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    target_classes: tuple[tuple[Label, ...], ...] = ()
    texts: tuple[Text, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def shared_dimensions(self) -> dict[str, list[tuple[str, int]]]:
        """The places (feature, dimension) of each dynamic dimension that has several."""
        places: dict[str, list[tuple[str, int]]] = {}
        for feature in self.features:
            for axis, dimension in enumerate(feature.dimensions or ()):
                if dimension is not None:
                    places.setdefault(dimension.name, []).append((feature.name, axis))
        return {name: found for name, found in places.items() if len(found) > 1}

    @cached_property
    def whole_tensors(self) -> frozenset[str]:
        """The ONNX inputs that are one feature each."""
        return frozenset(feature.tensor for feature in self.features if feature.is_tensor)

    @cached_property
    def takes_tensors(self) -> bool:
        """A feature is a whole ONNX input."""
        return bool(self.whole_tensors)

    @cached_property
    def ignored(self) -> tuple[str, ...]:
        """Columns that the estimator was fitted on and never reads; a row may hold them."""
        return tuple(name for name in self.columns if name not in self.by_name)

    @cached_property
    def class_keys(self) -> tuple[str, ...]:
        """The labels as keys of `probabilities`: always strings."""
        return tuple(label_key(label) for label in self.classes)

    @cached_property
    def class_sets(self) -> tuple[tuple[Label, ...], ...]:
        """The labels of each target, one set where there is one target; empty without labels."""
        return self.target_classes or ((self.classes,) if self.classes else ())

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Each target's columns in the probabilities."""
        ends = list(accumulate((len(labels) for labels in self.class_sets), initial=0))
        return tuple(slice(start, end) for start, end in pairwise(ends))

    def output(self, role: Role) -> Output | None:
        """The output with this role, or None."""
        return next((output for output in self.outputs if output.role == role), None)


def label_key(label: Label) -> str:
    """A label as a JSON key: itself, or its JSON text (`"0"`, `"true"`, `"1.5"`)."""
    return label if isinstance(label, str) else json.dumps(label)


def spell_feature_shape(feature: Feature) -> str:
    """A tensor feature's shape, with the names and sizes of dynamic dimensions: [time 1…32, 4]."""
    told = []
    dimensions = feature.dimensions or (None,) * len(feature.shape or ())
    for size, dimension in zip(feature.shape or (), dimensions, strict=True):
        if dimension is None:
            told.append("?" if size is None else str(size))
        else:
            end = "" if dimension.high is None else str(dimension.high)
            told.append(f"{dimension.name} {dimension.low}…{end}")
    return f"[{', '.join(told)}]"


def spell_shape(shape: Shape) -> str:
    """A shape as messages and pages show it, such as [3, ?, ?]."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def integer_range(feature: Feature) -> tuple[int, int]:
    """The smallest and the largest integer that a tensor of integers takes."""
    low, high = BY_NAME[feature.dtype].integers or (INT64_MIN, INT64_MAX)
    if feature.limits is not None:
        low, high = max(low, feature.limits[0]), min(high, feature.limits[1])
    return low, high

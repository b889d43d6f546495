"""What a graph itself tells of its inputs: split points of trees, sizes of vocabularies, words that it
knows, whether its trees learned where nulls go.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from onnxport.datatypes import FLOAT32_OVERFLOW
from onnxport.export.adopting.structure import (
    Array,
    attributes,
    inputs,
    opset,
    origin,
    producers,
    sizes,
    texts,
)

_TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})
_TABULAR = frozenset({"skl2onnx", "onnxmltools", "catboost", "lightgbm", "xgboost"})
_MOST_POINTS = 2000
_MOST_WORDS = 2000


@dataclass(frozen=True)
class Knowledge:
    """points: split points by place among all number columns, `-1` those of no known column.
    vocabularies: by input, how many rows its Gather has. words: by input, strings that the graph
    compares with; `""` those of no known input. codes: the same of integers. nulls: trees have
    learned ways for missing values. classical: it holds operators of
    ai.onnx.ml, or was written by a tool that converts nothing but models of tables.
    """

    points: dict[int, Array]
    vocabularies: dict[str, int]
    words: dict[str, tuple[str, ...]]
    codes: dict[str, tuple[int, ...]]
    nulls: bool
    classical: bool


def know(model: onnx.ModelProto) -> Knowledge:
    words: dict[str, list[str]] = {}
    codes: dict[str, tuple[int, ...]] = {}
    vocabularies: dict[str, int] = {}
    points: dict[int, set[float]] = {}
    nulls = False
    fed = {each.name for each in inputs(model)}
    shapes, made = sizes(model.graph), producers(model.graph)
    for node in model.graph.node:
        values = attributes(node)
        if node.op_type in _TREES:
            _add_points(points, values)
            nulls |= any(values.get("nodes_missing_value_tracks_true", ()))
        elif node.op_type == "Gather" and len(node.input) == 2 and node.input[0] in shapes:
            source = origin(model.graph, node.input[1], made)
            if source in fed and shapes[node.input[0]]:
                size = shapes[node.input[0]][values.get("axis", 0)]
                vocabularies[source] = min(size, vocabularies.get(source, size))
        found = _words(values)
        if found:
            source = _feeding(model, node, made, fed)
            words.setdefault(source, []).extend(found)
        known = values.get("cats_int64s", values.get("keys_int64s"))
        if isinstance(known, list) and known:
            codes[_feeding(model, node, made, fed)] = tuple(int(code) for code in known)
    return Knowledge(
        {place: np.array(sorted(values)[:_MOST_POINTS]) for place, values in points.items()},
        vocabularies,
        {name: tuple(dict.fromkeys(listed))[:_MOST_WORDS] for name, listed in words.items()},
        codes,
        nulls,
        opset(model, "ai.onnx.ml") > 0 or model.producer_name.lower() in _TABULAR,
    )


def _add_points(points: dict[int, set[float]], values: dict[str, object]) -> None:
    """The split points of one ensemble, by feature (ai.onnx.ml, TreeEnsembleClassifier-3 and
    TreeEnsemble-5).
    """
    places = np.asarray(values.get("nodes_featureids", ()), dtype=np.int64)
    splits = values.get("nodes_splits", values.get("nodes_values_as_tensor"))
    if isinstance(splits, onnx.TensorProto):
        numbers = numpy_helper.to_array(splits).astype(np.float64)
    else:
        numbers = np.asarray(values.get("nodes_values", ()), dtype=np.float64)
    modes = values.get("nodes_modes")
    if isinstance(modes, list):
        branching = np.array([mode != b"LEAF" for mode in modes])
        places, numbers = places[branching], numbers[branching]
    for place, number in zip(places.tolist(), numbers.tolist(), strict=False):
        if not abs(number) < FLOAT32_OVERFLOW:  # "every number", as LightGBM writes it
            continue
        points.setdefault(place, set()).add(number)
        points.setdefault(-1, set()).add(number)


def _words(values: dict[str, object]) -> list[str]:
    """Strings that a node compares with: of LabelEncoder, OneHotEncoder, CategoryMapper, TfIdf."""
    found: list[str] = []
    for name in ("keys_strings", "cats_strings", "pool_strings", "string_vocabulary"):
        listed = values.get(name)
        if isinstance(listed, list):
            found += texts(listed)
    keys = values.get("keys_tensor")
    if isinstance(keys, onnx.TensorProto) and keys.data_type == onnx.TensorProto.STRING:
        found += [str(word) for word in numpy_helper.to_array(keys).ravel().tolist()]
    return [word for word in found if "\0" not in word]


def _feeding(
    model: onnx.ModelProto, node: onnx.NodeProto, made: dict[str, onnx.NodeProto], fed: set[str]
) -> str:
    """The one input that a node's strings come from, or nothing."""
    source = origin(model.graph, node.input[0], made) if node.input else ""
    steps = 0
    while source in made and steps < 20:
        before = made[source]
        if before.op_type not in ("StringNormalizer", "Concat", "Gather", "StringSplit"):
            return ""
        if before.op_type == "Concat" and len(before.input) > 1:
            return ""
        source, steps = origin(model.graph, before.input[0], made), steps + 1
    return source if source in fed else ""

"""Outputs that are no tensors: dictionaries by ZipMap and sequences of tensors, made tensors again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from onnxport.export.adopting.structure import (
    Array,
    attributes,
    outputs,
    producers,
    texts,
)


@dataclass(frozen=True, slots=True)
class View:
    """One tensor out of an output of the original.

    output: its name there. labels: the keys of its dictionaries, in the order of the columns, where
    ZipMap made them. item: its place where it is a sequence of tensors.
    """

    output: str
    labels: tuple[str | int, ...] | None = None
    item: int | None = None

    def of(self, value: Any) -> Array:
        if self.labels is not None:
            rows = value if isinstance(value, Sequence) else [value]
            return np.array([[row[label] for label in self.labels] for row in rows], np.float32)
        if self.item is not None and isinstance(value, Sequence):
            return np.asarray(value[self.item])
        return np.asarray(value)


def zipmap_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto | None:
    """The ZipMap that makes an output, if one does (ai.onnx.ml, ZipMap-1)."""
    node = producers(model.graph).get(output)
    return node if node is not None and node.op_type == "ZipMap" else None


def construct_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto | None:
    """The SequenceConstruct that makes an output, if one does."""
    node = producers(model.graph).get(output)
    return node if node is not None and node.op_type == "SequenceConstruct" else None


def zipmap_labels(node: onnx.NodeProto) -> tuple[str | int, ...]:
    values = attributes(node)
    if values.get("classlabels_strings"):
        return tuple(texts(values["classlabels_strings"]))
    return tuple(int(v) for v in values.get("classlabels_int64s", ()))


def make_tensors(model: onnx.ModelProto) -> dict[str, View]:
    """Cuts what makes no tensors off the outputs, in place; tells where each output comes from."""
    views = {}
    for each in outputs(model):
        zipmap, construct = zipmap_of(model, each.name), construct_of(model, each.name)
        if each.form != "sequence" or (zipmap is None and construct is None):
            views[each.name] = View(each.name)
        elif zipmap is not None:
            views[each.name] = View(each.name, labels=zipmap_labels(zipmap))
            _replace(model, zipmap, [each.name])
        elif construct is not None:
            names = [f"{each.name}_{i}" for i in range(len(construct.input))]
            views |= {name: View(each.name, item=i) for i, name in enumerate(names)}
            _replace(model, construct, names)
    return views


def _replace(model: onnx.ModelProto, node: onnx.NodeProto, names: list[str]) -> None:
    """The node's inputs become outputs of these names, in the place of its output."""
    old = node.output[0]
    kept = []
    for info in model.graph.output:
        if info.name != old:
            kept.append(info)
            continue
        kept += [onnx.ValueInfoProto(name=name) for name in names]
    fresh = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in kept]
    del model.graph.output[:]
    model.graph.output.extend(fresh)
    for tensor, name in zip(node.input, names, strict=True):
        model.graph.node.append(onnx.helper.make_node("Identity", [tensor], [name]))
    model.graph.node.remove(node)

"""A module's scores as labels and probabilities: of which kind they are, and the nodes that make answers of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxport.errors import ExportError, shorten
from onnxport.export.pytorch.module import unsupported
from onnxport.signature import Label, label_key
from onnxport.tensors import Array, Arrays

Kind = Literal["logits", "probabilities", "log_probabilities"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CODE, PROBABILITIES = "label_code", "probabilities"

_SUM = 1e-4  # how far from 1 the float32 sum of a row's probabilities may be
_PASSING = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
_SAID_BY: dict[str, Kind] = {
    "Softmax": "probabilities",
    "Sigmoid": "probabilities",
    "LogSoftmax": "log_probabilities",
}


@dataclass(frozen=True)
class Scores:
    """What a classifier's output is. kind: what its numbers mean. width: its columns, 1 for the
    probability (or logit) of the second label alone. source: how that was found out.
    """

    kind: Kind
    width: int
    source: str


def read_labels(labels: Any) -> tuple[Label, ...]:
    """The labels in the order of the columns; empty where none are given. Raises ExportError."""
    if labels is None:
        return ()
    if isinstance(labels, str) or not isinstance(labels, (Mapping, Sequence, np.ndarray)):
        raise ExportError("labels= takes a list in the order of the columns, or {column: label}")
    values = list(labels)
    if isinstance(labels, Mapping):
        if sorted(values, key=repr) != sorted(range(len(values)), key=repr):
            raise ExportError(
                f"labels= must name the columns 0 to {len(values) - 1}, and names "
                f"{shorten(', '.join(map(repr, values)))}"
            )
        values = [labels[code] for code in range(len(values))]
    chosen = tuple(_label(value) for value in values)
    if len(chosen) < 2:
        raise ExportError(f"labels= holds {len(chosen)} labels, and a classifier has two at least")
    keys = [label_key(label) for label in chosen]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ExportError(f"two classes would have the label {twice!r}; give each its own")
    return chosen


def _label(value: Any) -> Label:
    value = value.item() if isinstance(value, np.generic) else value
    if (
        not isinstance(value, (str, int, float, bool))
        or value != value
        or value in (np.inf, -np.inf)
    ):
        raise ExportError(
            f"labels= holds {shorten(repr(value))}; labels are strings, finite numbers or booleans"
        )
    return value


def check_shape(module: Any, answers: Arrays, labels: Sequence[Label]) -> int:
    """How many columns of scores there are. Raises UnsupportedModel where they aren't those of a
    classifier with these labels.
    """
    if len(answers) != 1:
        raise unsupported(
            module,
            f"it answers {len(answers)} tensors ({', '.join(answers)}), and labels need one of scores",
            "Return the scores alone, or leave labels= out.",
            "labels",
        )
    (scores,) = answers.values()
    width = scores.shape[1] if scores.ndim == 2 else 1
    fits = width == len(labels) or (width == 1 and len(labels) == 2)
    if scores.ndim > 2 or not fits or scores.dtype.kind != "f":
        told = f"[rows{''.join(f', {size}' for size in scores.shape[1:])}] of {scores.dtype}"
        raise unsupported(
            module,
            f"its answer is {told}, and {len(labels)} labels need [rows, {len(labels)}] of scores"
            + (" (or [rows] of one)" if len(labels) == 2 else ""),
            "Pass one label for each column, or leave labels= out.",
            "labels",
        )
    return width


def decide(module: Any, model: onnx.ModelProto, scores: Array, width: int, asked: Any) -> Scores:
    """Which kind of scores a module gives: as the caller says, else by the last operator of the graph
    and by the values, which must agree.

    scores: [rows] or [rows, width], many and of all sizes.
    """
    if asked is not None and asked not in KINDS:
        raise ExportError(
            f"outputs= takes {', '.join(map(repr, KINDS))}, and is {shorten(repr(asked))}"
        )
    rows = scores.reshape(len(scores), -1).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise unsupported(
            module, "it answers no finite score", "Check the weights for NaN and infinity."
        )
    by_values = _by_values(rows)
    if asked is not None:
        _check_asked(module, asked, rows, by_values)
        return Scores(asked, width, "said by outputs=")
    operator = _last_operator(model)
    by_operator = _SAID_BY.get(operator, "logits")
    if by_operator == by_values and (by_operator != "logits" or not _all_shares(rows)):
        return Scores(by_values, width, f"found: {_evidence(by_values, operator, width)}")
    if by_values != "logits" and width > 1 and operator not in _SAID_BY:
        return Scores(by_values, width, f"found: {_evidence(by_values, operator, width)}")
    raise _ambiguous(module, operator, rows)


def _by_values(rows: Array) -> Kind:
    if rows.shape[1] == 1:
        return "probabilities" if _all_shares(rows) else "logits"
    if _all_shares(rows) and _sum_to_one(rows):
        return "probabilities"
    with np.errstate(over="ignore"):
        if bool((rows <= 0).all()) and _sum_to_one(np.exp(rows)):
            return "log_probabilities"
    return "logits"


def _all_shares(rows: Array) -> bool:
    return bool(((rows >= 0) & (rows <= 1)).all())


def _sum_to_one(rows: Array) -> bool:
    return bool((np.abs(rows.sum(axis=1) - 1) <= _SUM).all())


def _evidence(kind: Kind, operator: str, width: int) -> str:
    ends = f"it ends in {operator}"
    if width == 1 and kind == "probabilities":
        return f"{ends}, and its values lie in [0, 1]"
    if kind == "logits":
        return f"{ends}, and its rows are no probabilities"
    share = "rows" if kind == "probabilities" else "exponentials of its rows"
    return f"{ends}, and {share} lie in [0, 1] and sum to 1"


def _check_asked(module: Any, asked: Kind, rows: Array, by_values: Kind) -> None:
    fits = asked == "logits" or by_values == asked
    if asked == "log_probabilities" and rows.shape[1] == 1:
        fits = bool((rows <= 0).all())
    if not fits:
        sums = rows.sum(axis=1) if asked == "probabilities" else np.exp(rows).sum(axis=1)
        worst = sums[np.argmax(np.abs(sums - 1))]
        raise unsupported(
            module,
            f"its rows are no {asked.replace('_', ' ')}: their values go from {rows.min():.4g} to "
            f"{rows.max():.4g}, and one sums to {worst:.4g}",
            "Say outputs='logits', or leave labels= out.",
            "outputs",
        )


def _last_operator(model: onnx.ModelProto) -> str:
    """The operator that the only output comes from."""
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers.get(model.graph.output[0].name)
    while node is not None and node.op_type in _PASSING and node.input[0] in makers:
        node = makers[node.input[0]]
    return "nothing" if node is None else str(node.op_type)


def _ambiguous(module: Any, operator: str, rows: Array) -> Any:
    if operator == "Sigmoid" and rows.shape[1] > 1:
        return unsupported(
            module,
            "it ends in a Sigmoid for each column, and its rows don't sum to 1: each label is a "
            "question of its own, where one prediction names one label",
            "Leave labels= out to get the numbers themselves, or end in a softmax.",
            "labels",
        )
    return unsupported(
        module,
        f"its scores may be logits or probabilities: it ends in {operator}, and its values go from "
        f"{rows.min():.4g} to {rows.max():.4g}",
        "Say which: outputs='logits', 'probabilities' or 'log_probabilities'.",
        "outputs",
    )


def labelled(scores: Scores, values: Array) -> Arrays:
    """Codes int64 [rows] and probabilities float64 [rows, labels] of scores, as the graph has to give
    them.
    """
    rows = values.reshape(len(values), scores.width)
    found = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if scores.kind == "log_probabilities":
            found = np.exp(found)
        elif scores.kind == "logits" and scores.width == 1:
            found = _sigmoid(found)
        elif scores.kind == "logits":
            found = np.exp(found - found.max(axis=1, keepdims=True, initial=-np.inf))
            found = found / found.sum(axis=1, keepdims=True)
    if scores.width == 1:
        code = (found[:, 0] > 0.5).astype(np.int64)
        return {CODE: code, PROBABILITIES: np.column_stack([1 - found, found])}
    return {CODE: rows.argmax(axis=1).astype(np.int64), PROBABILITIES: found}


def _sigmoid(values: Array) -> Array:
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))


def add_labels(model: onnx.ModelProto, scores: Scores) -> onnx.ModelProto:
    """The graph with `label_code` and `probabilities` in place of its only output: the exponentials in
    float64, the label the first of the largest scores.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    raw = graph.output[0].name
    shape = "labels/shape"
    graph.initializer.append(numpy_helper.from_array(np.array([-1, scores.width]), shape))
    nodes = [
        helper.make_node("Reshape", [raw, shape], ["labels/scores"]),
        helper.make_node("Cast", ["labels/scores"], ["labels/double"], to=onnx.TensorProto.DOUBLE),
    ]
    one = scores.width == 1
    share = "labels/share" if one else PROBABILITIES
    if scores.kind == "logits":
        nodes += (
            [helper.make_node("Sigmoid", ["labels/double"], [share])]
            if one
            else [helper.make_node("Softmax", ["labels/double"], [share], axis=1)]
        )
    else:
        step = "Exp" if scores.kind == "log_probabilities" else "Identity"
        nodes.append(helper.make_node(step, ["labels/double"], [share]))
    if one:
        nodes += _of_one_column(graph, share)
    else:
        nodes += _first_of_largest(graph)
    graph.node.extend(nodes)
    del graph.output[:]
    labels = 2 if one else scores.width
    graph.output.extend(
        [
            helper.make_tensor_value_info(CODE, onnx.TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.DOUBLE, ["rows", labels]),
        ]
    )
    return found


def _first_of_largest(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """As numpy and torch have it: what is no number is larger than any."""
    kind = graph.output[0].type.tensor_type.elem_type
    largest = np.array(np.inf, dtype=helper.tensor_dtype_to_np_dtype(kind))
    graph.initializer.append(numpy_helper.from_array(largest, "labels/infinite"))
    ranked = ["labels/nan", "labels/infinite", "labels/scores"]
    return [
        helper.make_node("IsNaN", ["labels/scores"], ["labels/nan"]),
        helper.make_node("Where", ranked, ["labels/ranked"]),
        helper.make_node("ArgMax", ["labels/ranked"], [CODE], axis=1, keepdims=0),
    ]


def _of_one_column(graph: onnx.GraphProto, share: str) -> list[onnx.NodeProto]:
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(1.0), "labels/one"),
            numpy_helper.from_array(np.array(0.5), "labels/half"),
            numpy_helper.from_array(np.array([-1]), "labels/flat"),
        ]
    )
    return [
        helper.make_node("Sub", ["labels/one", share], ["labels/other"]),
        helper.make_node("Concat", ["labels/other", share], [PROBABILITIES], axis=1),
        helper.make_node("Greater", [share, "labels/half"], ["labels/second"]),
        helper.make_node("Cast", ["labels/second"], ["labels/codes"], to=onnx.TensorProto.INT64),
        helper.make_node("Reshape", ["labels/codes", "labels/flat"], [CODE]),
    ]

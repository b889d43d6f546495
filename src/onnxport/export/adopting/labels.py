"""Which outputs are a classifier's label and probabilities, and which labels its codes stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from onnxport.errors import shorten
from onnxport.export.adopting.findings import counted, listed, named, refusal
from onnxport.export.adopting.sequences import View
from onnxport.export.adopting.structure import (
    PASSING,
    Array,
    Port,
    attributes,
    constants,
    outputs,
    producers,
    texts,
)
from onnxport.signature import Label

Own = tuple[str | int, ...]
Arrays = Mapping[str, Array]
_CLASSIFIERS = frozenset({"TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"})
_SUM, _SLACK = 1e-3, 1e-6


@dataclass(frozen=True)
class Classifier:
    """label, scores: the outputs, where there are such. own: the labels as the graph answers them,
    in the order of the scores' columns. form: what the scores are: "probabilities", "logits", or
    "second" (the probability of the second class alone). left_out: outputs that aren't answered.
    """

    label: str | None
    scores: str | None
    own: Own
    form: str
    labels: tuple[Label, ...]
    left_out: tuple[str, ...] = ()


def classify(
    model: onnx.ModelProto,
    views: Mapping[str, View],
    answers: Sequence[Arrays],
    wanted: Sequence[Label] | Mapping[Label, Label] | None,
    found: Own,
) -> Classifier | None:
    """How the outputs make a classifier, or None: then each is answered as it is.

    answers: the original's, to all kinds of rows. wanted: the caller's labels. found: labels from
    metadata. Raises NotAdoptable where the labels don't fit.
    """
    ports = outputs(model)
    columns = {each.name: _columns(each, answers) for each in ports}
    given = [each for each in ports if _is_label(each, answers)]
    scored = [each for each in ports if each.is_float and (columns[each.name] or 0) >= 1]
    label = given[0].name if len(given) == 1 else None
    own = _own(model, views, label) if label else ()
    expected = len(own) or len(wanted or ()) or len(found)
    scores = _scores(scored, views, columns, expected)
    if len(given) > 1 or (label is None and scores is None):
        _check_unwanted(wanted, ports)
        return None
    if label is None and not wanted and not found:
        return None
    graphs_own = bool(own)
    if label and not own and (wanted or found):
        own = _assumed(label, answers, wanted, found)
    if label is None and scores is not None:
        own = _counted(columns[scores])
        if not wanted and len(found) != len(own):
            return None
    if not own or len(own) < 2:
        _check_unwanted(wanted, ports)
        return None
    if label is not None:
        _check_labels(label, own, answers)
    names = _names(own, wanted, found)
    form = _form(model, scores, label, answers, own, graphs_own) if scores else ""
    if scores and not form:
        scores = None
    if label is None and scores is None:
        _check_unwanted(wanted, ports)
        return None
    left = tuple(each.name for each in ports if each.name not in (label, scores))
    return Classifier(label, scores, own, form, names, left)


def _check_unwanted(wanted: object, ports: Sequence[Port]) -> None:
    """No classifier; which is wrong only where the caller gave labels."""
    if wanted:
        raise refusal(
            "labels",
            "",
            f"labels were given, and no one of the outputs {listed(p.name for p in ports)} is a label "
            "a row, or a row of scores as wide as they are many",
            "name the outputs that make the classifier: --output LABEL --output SCORES",
        )


def _check_labels(label: str, own: Own, answers: Sequence[Arrays]) -> None:
    """Every label that was answered is one that is known."""
    known = set(own)
    for answer in answers:
        for said in np.ravel(answer[label]).tolist():
            if said not in known:
                raise refusal(
                    "labels",
                    f"output {shorten(repr(label))}",
                    f"it answered {shorten(repr(said))}, which is none of {listed(map(str, own), 10)}",
                    "the file contradicts itself: convert the model again, or name its other outputs with --output",
                )


def _is_label(port: Port, answers: Sequence[Arrays]) -> bool:
    """One integer or string a row."""
    if not (port.is_text or port.element in (TensorProto.INT64, TensorProto.INT32)):
        return False
    return all(a[port.name].size == len(a[port.name]) for a in answers)


def _columns(port: Port, answers: Sequence[Arrays]) -> int | None:
    """How many numbers a row an output has, where it is a matrix: [N, C] or [N, C, 1, 1]."""
    shapes = {answer[port.name].shape[1:] for answer in answers}
    if len(shapes) != 1:
        return None
    shape = next(iter(shapes))
    return shape[0] if shape and int(np.prod(shape[1:])) == 1 else None


def _scores(
    scored: Sequence[Port],
    views: Mapping[str, View],
    columns: Mapping[str, int | None],
    expected: int,
) -> str | None:
    """The one output that holds a score for each class; of several matrices the one that is as wide
    as the classes are many.
    """
    mapped = [each.name for each in scored if views[each.name].labels is not None]
    fitting = [each.name for each in scored if columns[each.name] == expected]
    for names in (mapped, [each.name for each in scored], fitting):
        if len(names) == 1:
            return names[0]
    return None


# ------------------------------------------------------------------------------------------- the graph's own labels


def _own(model: onnx.ModelProto, views: Mapping[str, View], label: str) -> Own:
    """The labels that a label output is made of: ZipMap's keys, or those at its end of the graph."""
    for view in views.values():
        if view.labels:
            return view.labels
    made, known = producers(model.graph), constants(model.graph)
    tensor, steps = label, 0
    while tensor in made and steps < 50:
        node = made[tensor]
        found = _labels_of(node, known, made)
        if found:
            return found
        if node.op_type not in PASSING:
            return ()
        tensor, steps = node.input[0], steps + 1
    return ()


def _labels_of(
    node: onnx.NodeProto, known: Mapping[str, Array], made: Mapping[str, onnx.NodeProto]
) -> Own:
    """ai.onnx.ml: classlabels of the classifiers, ArrayFeatureExtractor over constant labels (as
    skl2onnx ends its graphs), LabelEncoder; Gather over constants.
    """
    values = attributes(node)
    if node.op_type in _CLASSIFIERS:
        strings = values.get("classlabels_strings", values.get("classlabels_ints_strings"))
        numbers = values.get("classlabels_int64s", values.get("classlabels_ints"))
        return tuple(texts(strings)) if strings else tuple(int(n) for n in numbers or ())
    if node.op_type in ("ArrayFeatureExtractor", "Gather") and node.input[0] in known:
        picked = made.get(node.input[1])
        array = known[node.input[0]].ravel()
        fits = picked is not None and len(array) <= 100_000
        return _plain(array) if fits and array.dtype.kind in "iOSU" else ()
    if node.op_type == "LabelEncoder":
        for name in ("values_strings", "values_int64s"):
            listed_values = values.get(name)
            if listed_values:
                kept = texts(listed_values) if name == "values_strings" else listed_values
                return tuple(dict.fromkeys(kept))
    return ()


def _plain(array: Array) -> Own:
    return tuple(
        v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.tolist()
    )


def _assumed(
    label: str,
    answers: Sequence[Arrays],
    wanted: Sequence[Label] | Mapping[Label, Label] | None,
    found: Own,
) -> Own:
    """0, 1, 2, ... where all answers are such codes; the keys where the caller names the classes.

    Raises NotAdoptable where a list of labels can't stand for the answers.
    """
    said = np.concatenate([np.ravel(answer[label]) for answer in answers])
    whole = said.dtype.kind in "iu"
    if isinstance(wanted, Mapping):
        keys = [str(key) for key in wanted]
        numbers = all(key.removeprefix("-").isdecimal() for key in keys)
        return tuple(map(int, keys)) if whole and numbers else tuple(keys)
    count = len(wanted or ()) or len(found)
    if whole and len(said) and said.min() >= 0 and said.max() < count:
        return tuple(range(count))
    if wanted:
        seen = sorted({str(value) for value in said.tolist()})
        raise refusal(
            "labels",
            f"output {shorten(repr(label))}",
            f"it answered {listed(seen, 10)}, and a list of {count} labels stands for 0 to {count - 1}",
            "name the classes by what it answers: --labels FILE.json with {class: name}",
        )
    return ()


def _counted(width: int | None) -> Own:
    """Scores without a label: the codes are their columns."""
    if width is None:
        return ()
    return tuple(range(2 if width == 1 else width))


def _names(
    own: Own, wanted: Sequence[Label] | Mapping[Label, Label] | None, found: Own
) -> tuple[Label, ...]:
    """What the API calls the classes: the caller's names, those of the graph, those of the metadata."""
    if isinstance(wanted, Mapping):
        named = {str(key): name for key, name in wanted.items()}
        unknown = [key for key in named if key not in map(str, own)]
        if unknown:
            raise refusal(
                "labels",
                "",
                f"the labels name {shorten(repr(unknown[0]))}, which is no class of the model",
                f"its classes are {listed(map(str, own), 10)}",
            )
        return tuple(named.get(str(label), label) for label in own)
    if wanted:
        if len(wanted) != len(own):
            raise refusal(
                "labels",
                "",
                f"{counted(len(wanted), 'label')} given, and the model has {len(own)} classes",
                f"give one for each of {listed(map(str, own), 10)}, in this order",
            )
        return tuple(wanted)
    numbered = own == tuple(range(len(own)))
    return tuple(found) if numbered and len(found) == len(own) else own


# ------------------------------------------------------------------------------------------- what scores are


def _form(
    model: onnx.ModelProto,
    scores: str,
    label: str | None,
    answers: Sequence[Arrays],
    own: Own,
    graphs_own: bool,
) -> str:
    """What the scores are, by the graph's end and by all answers; "" where they are no probabilities
    and nothing allows to make some of them.

    graphs_own: the labels stand in the graph, as ai.onnx.ml's classifiers have them; what they answer
    beside a label may be the values of a decision function.
    """
    rows = np.concatenate([answer[scores].reshape(len(answer[scores]), -1) for answer in answers])
    rows = rows.astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.any():
        return ""
    within = rows[finite]
    bounded = bool(((within >= -_SLACK) & (within <= 1 + _SLACK)).all())
    if rows.shape[1] == 1 and len(own) == 2:
        ends = (
            _last(model, scores) == "Sigmoid" if label is None else _agree(label, scores, answers)
        )
        return "second" if bounded and ends else ""
    if rows.shape[1] != len(own):
        return ""
    if bounded and (label is not None or bool((np.abs(within.sum(axis=1) - 1) <= _SUM).all())):
        return "probabilities"
    if label is None:
        if bounded or _last(model, scores) == "Sigmoid":
            raise refusal(
                "several_labels",
                named("output", scores),
                "its scores lie between 0 and 1 and don't sum to 1: each label is a question of its "
                "own, where one prediction names one label",
                "leave --labels out to get the numbers themselves",
            )
        return "logits"
    said = np.concatenate([np.ravel(answer[label]) for answer in answers])
    largest = np.array(own, dtype=said.dtype)[rows.argmax(axis=1)]
    return "logits" if not graphs_own and bool((said == largest)[finite].all()) else ""


def _agree(label: str, scores: str, answers: Sequence[Arrays]) -> bool:
    """Whether the label is one where the score is over a half, and the other elsewhere."""
    said = np.concatenate([np.ravel(answer[label]) for answer in answers])
    over = np.concatenate([np.ravel(answer[scores]) for answer in answers]) > 0.5
    kinds = set(said.tolist())
    return all(len(set(said[over == side].tolist())) <= 1 for side in (True, False)) and (
        len(kinds) <= 2
    )


def _last(model: onnx.ModelProto, tensor: str) -> str:
    """The operator that made an output's values."""
    made = producers(model.graph)
    while tensor in made and made[tensor].op_type in PASSING:
        tensor = made[tensor].input[0]
    return made[tensor].op_type if tensor in made else ""

"""From a file as it was found to a graph that is ready to be proven, with its signature and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from onnxport import runtime
from onnxport.errors import shorten
from onnxport.export.adopting import versions
from onnxport.export.adopting.batching import Batching, settle
from onnxport.export.adopting.doctor import diagnose
from onnxport.export.adopting.drawing import draw
from onnxport.export.adopting.ends import expected, with_ends
from onnxport.export.adopting.features import Inputs, read_inputs, with_nulls
from onnxport.export.adopting.findings import (
    Finding,
    NotAdoptable,
    cure,
    in_utf8,
    listed,
    named,
    refusal,
)
from onnxport.export.adopting.knowledge import Knowledge, know
from onnxport.export.adopting.labels import Classifier, classify
from onnxport.export.adopting.oracles import (
    Oracle,
    Unbatched,
    Uneven,
    open_original,
    refused,
)
from onnxport.export.adopting.proving import (
    Remembered,
    RowSets,
    able_to_take_null,
    lowers,
    row_sets,
)
from onnxport.export.adopting.reading import Original, metadata
from onnxport.export.adopting.repairs import (
    describe_outputs,
    element_of,
    repair,
    select,
)
from onnxport.export.adopting.samples import read_rows
from onnxport.export.adopting.slots import Layout, datatype, lay_out, plain_slots
from onnxport.export.adopting.sources import Found, find
from onnxport.export.adopting.structure import Array, Dimension, opset
from onnxport.export.adopting.structure import outputs as ports_out
from onnxport.export.tensor_saving import (
    Ask,
    rows_per_run,
    tensor_signature,
)
from onnxport.signature import Feature, Label, Output, Signature

Arrays = dict[str, Array]
Progress = Callable[[str], None]
Names = Sequence[str] | Mapping[str, Mapping[str, str]]
Labels = Sequence[Label] | Mapping[Label, Label]

_TASKS_WITH_LABELS = ("", "classify")


@dataclass(frozen=True)
class Wishes:
    """What the caller says of the model: see `adopt`."""

    features: Names | None = None
    labels: Labels | None = None
    sample: Path | None = None
    nullable: Sequence[str] = ()
    outputs: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A graph that is ready to be proven. findings: all of them, curable ones alone."""

    original: Original
    model: onnx.ModelProto
    signature: Signature
    ask: Ask
    sets: RowSets
    batching: Batching
    found: Found
    findings: tuple[Finding, ...]


def prepare(original: Original, wishes: Wishes, tell: Progress, *, alone: bool = False) -> Prepared:
    """Diagnoses, repairs and tries a file. Raises NotAdoptable for the first incurable finding.

    alone: a batch that is fixed to one row stays so.
    """
    try:
        with in_utf8():
            return _prepare(original, wishes, tell, alone=alone)
    except (Uneven, Unbatched) as err:
        raise refusal(
            "uneven_output",
            named("output", str(err)),
            "its size hangs on what is in a row, so the answers to several rows don't fit together",
            "leave it out with --output, or export the model with a fixed number of entries",
        ) from err
    except runtime.RuntimeRefusal as err:
        raise refusal(
            "no_row",
            "",
            f"a drawn row doesn't run in the original ({refused(err)})",
            "give rows that do: --sample FILE.npz, .json or .csv",
        ) from err


def _prepare(original: Original, wishes: Wishes, tell: Progress, *, alone: bool) -> Prepared:
    tell("diagnosing and repairing it")
    source = select(original.model, wishes.outputs)
    findings = [*original.findings, *diagnose(source)]
    for finding in findings:
        if not finding.curable:
            raise NotAdoptable(finding)
    repaired = repair(source)
    graph = open_original(source, repaired)
    knowledge = know(repaired.model)
    found = find(metadata(original.model), original.path)
    inputs = read_inputs(
        repaired, plain_slots(repaired, knowledge), knowledge, wishes.features, found
    )
    sample = [] if wishes.sample is None else read_rows(wishes.sample, inputs)
    layout = lay_out(repaired, graph, knowledge, sample)
    inputs = read_inputs(repaired, layout.slots, knowledge, wishes.features, found)
    tell("trying batches of rows")
    exact = any(not feature.is_tensor for feature in inputs.features)
    trial = _trial_rows(layout, ("drawn", "wide"))
    vast = _trial_rows(layout, ("vast",)) if exact else None
    batching = _in_slices(settle(repaired, graph, trial, vast=vast, alone=alone), trial)
    batching = _at_target(batching, layout)
    features = _nullable(batching.oracle, layout, inputs, knowledge, wishes)
    tell("asking the original file")
    sets = row_sets(batching, layout, features, sample)
    remembered = Remembered(batching.oracle, sets)
    answers = remembered.every()
    if not answers:
        raise refusal(
            "no_row",
            "",
            "the original answers none of the rows",
            "give rows that it does: --sample",
        )
    labelled = found.labels if found.task in _TASKS_WITH_LABELS else ()
    repaired.model = batching.model
    _describe(batching, answers)
    classifier = classify(batching.model, batching.oracle.views, answers, wishes.labels, labelled)
    told = [*findings, *repaired.findings, *inputs.findings, *map(_told, batching.notes)]
    return _assembled(
        original, batching, features, inputs, classifier, remembered, sets, found, told
    )


def _told(note: str) -> Finding:
    return cure("batch", "", note, "proven by running both")


def _trial_rows(layout: Layout, styles: Sequence[str]) -> Callable[[int], list[Arrays]]:
    def rows(count: int) -> list[Arrays]:
        rng = np.random.default_rng(3)
        return [
            draw(layout.slots, sizes, count, rng, style)
            for sizes in layout.sizes
            for style in styles
        ]

    return rows


def _in_slices(batching: Batching, trial: Callable[[int], list[Arrays]]) -> Batching:
    """The original is asked in the same slices of rows as the graph will run: sums of float32 hang on
    how many rows are multiplied at once.
    """
    if batching.rows_per_run is not None:
        return batching
    most = min(rows_per_run(rows, batching.oracle(rows)) for rows in trial(1))
    oracle = batching.oracle
    if oracle.rows is None:
        oracle = replace(oracle, slice=most)
    return replace(batching, oracle=oracle, slice=most)


def _at_target(batching: Batching, layout: Layout) -> Batching:
    """The graph at an operator set that older runtimes know, where it still answers the same."""
    if opset(batching.model) <= versions.TARGET_OPSET:
        return batching
    lowered = versions.lowered(batching.model)
    if lowered is None or not lowers(batching, lowered.model.SerializeToString(), layout):
        note = f"it needs onnxruntime {versions.runtimes(batching.model)}"
        return replace(batching, notes=(*batching.notes, note))
    return replace(batching, model=lowered.model, notes=(*batching.notes, lowered.note))


def _nullable(
    oracle: Oracle, layout: Layout, inputs: Inputs, knowledge: Knowledge, wishes: Wishes
) -> tuple[Feature, ...]:
    if not wishes.nullable and not knowledge.nulls:
        return inputs.features
    able = able_to_take_null(oracle, layout, inputs.features)
    return with_nulls(inputs.features, tuple(wishes.nullable) or ("*",), able)


def _describe(batching: Batching, answers: Sequence[Arrays]) -> None:
    """Writes types and shapes of all outputs into the graph, as the runtime and all answers tell."""
    graph = runtime.Graph(batching.model.SerializeToString())
    declared = {each.name: each.shape for each in graph._session.get_outputs()}
    described: dict[str, tuple[int, Sequence[Dimension]]] = {}
    for name, kind in graph.outputs.items():
        seen = [answer[name].shape[1:] for answer in answers]
        ranks = {len(shape) for shape in seen}
        if len(ranks) != 1:
            raise refusal(
                "output_shape",
                f"output {shorten(repr(name))}",
                "its answers have different numbers of dimensions",
                "name the other outputs with --output",
            )
        said = declared[name][1:] if len(declared[name]) == 1 + len(seen[0]) else seen[0]
        dims: list[Dimension] = [None]
        for axis, size in enumerate(said):
            sizes = {shape[axis] for shape in seen}
            dims.append(size if isinstance(size, int) and sizes == {size} else None)
        described[name] = (element_of(kind), dims)
    describe_outputs(batching.model, described)


def _assembled(
    original: Original,
    batching: Batching,
    features: tuple[Feature, ...],
    inputs: Inputs,
    classifier: Classifier | None,
    oracle: Ask,
    sets: RowSets,
    found: Found,
    findings: list[Finding],
) -> Prepared:
    if classifier is None:
        model, outputs, ask = batching.model, _tensors(batching.model), oracle
    else:
        model, outputs = with_ends(batching.model, classifier)
        ask = _asked(oracle, classifier, outputs)
        findings += _about(classifier)
    labels = () if classifier is None else classifier.labels
    signature = tensor_signature(features, inputs.tensors, outputs, labels)
    return Prepared(original, model, signature, ask, sets, batching, found, tuple(findings))


def _asked(oracle: Ask, classifier: Classifier, outputs: tuple[Output, ...]) -> Ask:
    return lambda arrays: expected(oracle(arrays), classifier, outputs)


def _about(classifier: Classifier) -> list[Finding]:
    """What a user should know of how a classifier's answer is made."""
    told = []
    if classifier.left_out:
        what = f"the outputs {listed(classifier.left_out)} are no part of a classifier's answer"
        told.append(cure("left_out", "", what, "they are left out; --output names them alone"))
    if classifier.form == "logits":
        place = f"output {shorten(repr(classifier.scores))}"
        what = "its rows are no probabilities"
        told.append(cure("logits", place, what, "they are taken for logits, and a softmax follows"))
    return told


def _tensors(model: onnx.ModelProto) -> tuple[Output, ...]:
    """Every output as a tensor under its own name. Raises NotAdoptable for one text a row, which is
    kept for labels.
    """
    for each in ports_out(model):
        if each.is_text and len(each.shape or ()) == 1:
            raise refusal(
                "text_output",
                named("output", each.name),
                "it is one text a row, and nothing in the file tells which labels there are",
                "give them as {text: name}: --labels FILE.json, or name other outputs with --output",
            )
    return tuple(
        Output(
            each.name,
            "tensor",
            shape=tuple(d if isinstance(d, int) else None for d in (each.shape or ())[1:]),
            datatype=datatype(each).name,
        )
        for each in ports_out(model)
    )

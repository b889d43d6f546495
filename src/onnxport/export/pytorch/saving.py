"""`onnxport.save` for a PyTorch module: from example inputs to a model file that is proven to answer like it."""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from onnxport import runtime
from onnxport.errors import ExportError, ParityError, shorten
from onnxport.export import document
from onnxport.export.clean_run import run_clean
from onnxport.export.describe import read_feature_options
from onnxport.export.pytorch.behaviour import example_rows, padding_hint
from onnxport.export.pytorch.description import (
    check_targets,
    choices,
    describe_inputs,
    describe_needs,
    describe_outputs,
    describe_source,
    describe_tensors,
    describe_training,
)
from onnxport.export.pytorch.examples import Examples, read_examples, read_scalings
from onnxport.export.pytorch.limits import narrowed
from onnxport.export.pytorch.made import Made, make
from onnxport.export.pytorch.module import (
    Flat,
    Refused,
    Scaling,
    private_copy,
    read_module,
    unsupported,
)
from onnxport.export.pytorch.rounding import BAR, comparable, find_bar, of_refused
from onnxport.export.pytorch.rows import EDGES, Rows, row_sets
from onnxport.export.pytorch.scores import (
    PROBABILITIES,
    Scores,
    add_labels,
    check_shape,
    decide,
    labelled,
    read_labels,
)
from onnxport.export.report import Report
from onnxport.export.tensor_saving import TensorModel, save_tensors, tensor_signature
from onnxport.export.ties import margins
from onnxport.export.written import check_path
from onnxport.signature import Label
from onnxport.tensors import Array, Arrays

_MOST_ROWS, _FEWEST_ROWS, _SECONDS = 2000, 64, 5.0
_CLEAR = 1e-3  # how far the best label of a stored row is before the second
_STORED = 32
_SEED = 32
_TRIED = 3  # refused rows of a set that are shown to the graph


@dataclass(frozen=True)
class _Wish:
    """What the caller asks for beside the module and its examples."""

    labels: tuple[Label, ...]
    outputs: str | None
    notes: Mapping[str, Mapping[str, str]]
    scalings: tuple[Scaling | None, ...]
    targets: Any
    sample_rows: Any


def save_module(
    model: Any,
    path: str | os.PathLike[str],
    X: Any = None,
    y: Any = None,
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    author: str | None = None,
    license: str | None = None,
    labels: Sequence[Label] | Mapping[int, Label] | None = None,
    features: Sequence[str] | Mapping[str, Mapping[str, str]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    sample_rows: Any = None,
    redact: Sequence[str] = (),
    allow_mismatch: bool = False,
    progress: Callable[[str], None] | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    preprocessing: Mapping[str, Mapping[str, Any]] | None = None,
    outputs: str | None = None,
) -> Report:
    """Saves a torch.nn.Module; parameters as those of `onnxport.save`, and:

    X: example inputs: a tensor, a tuple of tensors, or a dict {parameter of forward: tensor}, the rows
    in dimension 0; numpy arrays too. A list holds several such examples, and dimensions in which they
    differ are dynamic. y: the codes or labels of X's rows, for the accuracy.
    labels: what the columns of the module's only output stand for: a list, or {column: label}.
    features: names for the inputs, or {input: {"description": ..., "unit": ...}}.
    dynamic_axes: {input: {dimension: name}} or {input: [dimension]}; the batch always is.
    preprocessing: {input: {"scale": number, "mean": [...], "std": [...]}} by channel (dimension 1): the
    graph computes (x * scale - mean) / std in float32 first, and X holds the values before that.
    outputs: with labels, what the module's numbers are: "logits", "probabilities" or
    "log_probabilities"; found out where it isn't said.
    """
    tell = progress or _say_nothing
    if not callable(tell):
        raise ExportError("progress= takes a function of one line, such as print")
    if isinstance(redact, str):
        raise ExportError(f"redact= takes a list of features; pass [{redact!r}]")
    if importlib.util.find_spec("onnxscript") is None:
        raise ExportError("torch.onnx needs the package onnxscript; pip install 'onnxport[torch]'")
    target = check_path(path)
    chosen = read_labels(labels)
    if outputs is not None and not chosen:
        raise ExportError("outputs= says what the scores of labels are; pass labels= too")
    options = read_feature_options(features)
    module = read_module(model)
    examples = read_examples(module, X, options.names, dynamic_axes)
    _check_names(examples, (*redact, *options.notes))
    _check_finite(examples)
    if y is not None:
        check_targets(y, len(examples.batches[0][0]), chosen)
    scalings = read_scalings(preprocessing, examples)
    facts = document.read_facts(
        target,
        name=name,
        version=version,
        description=description,
        author=author,
        license=license,
        metadata=metadata,
    )
    tell(f"converting {type(module).__name__}")
    with private_copy(module) as private:
        keywords = [each.parameter for each in examples.inputs] if examples.keywords else None
        made = make(Flat(private, keywords, scalings).eval(), examples)
        tell("asking the module about the hardest rows")
        wish = _Wish(chosen, outputs, options.notes, scalings, y, sample_rows)
        save = partial(_save, wish=wish, target=target, facts=facts, tell=tell)
        try:
            return save(made, allow_mismatch=allow_mismatch and not _narrower(made))
        except ParityError as err:
            if _narrower(made) and err.row_set.startswith(EDGES):
                return save(_within_32_bits(made), allow_mismatch=allow_mismatch)
            if allow_mismatch:
                return save(made, allow_mismatch=True)
            _explain(module, err)
            raise


def _narrower(made: Made) -> bool:
    """An input takes integers beyond 32 bits."""
    return any(
        a is not None and b is not None and a.hull != b.hull
        for a, b in zip(made.limits, _within_32_bits(made).limits, strict=True)
    )


def _within_32_bits(made: Made) -> Made:
    return replace(made, limits=tuple(map(narrowed, made.limits)))


def _say_nothing(_: str) -> None:
    pass


def _explain(module: Any, err: ParityError) -> None:
    """Raises the error again with what is known to be its cause."""
    hint = padding_hint(module)
    if hint:
        raise ParityError(
            f"{err}{hint}",
            row=err.row,
            row_set=err.row_set,
            column=err.column,
            expected=err.expected,
            got=err.got,
        ) from err


def _check_names(examples: Examples, names: Sequence[str]) -> None:
    for name in names:
        if name not in examples.names:
            raise ExportError(
                f"there is no feature {shorten(repr(name))}; the inputs are "
                f"{', '.join(map(repr, examples.names))}"
            )


def _check_finite(examples: Examples) -> None:
    """Rows are drawn around the examples, and there is nothing around NaN."""
    for batch in examples.batches:
        for name, array in zip(examples.names, batch, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ExportError(
                    f"the example of {shorten(repr(name))} holds NaN or infinity; pass rows of finite "
                    "numbers, like those that it was trained on"
                )


def _save(
    made: Made,
    *,
    wish: _Wish,
    target: Path,
    facts: document.Facts,
    allow_mismatch: bool,
    tell: Callable[[str], None],
) -> Report:
    _check_opens(made)
    drawn = list(row_sets(made.draw, _row_count(made)))
    scores = _scores(made, wish, drawn)
    bar = find_bar(made.rounding, _refusals_out(made, drawn[0][1]))
    model = made.model if scores is None else add_labels(made.model, scores)
    kept = _comparable(made, drawn, bar)
    if scores is not None:
        kept = _comparable_shares(made, scores, model, kept, bar)
    left_out = sum(len(rows[0]) for _, rows in drawn) - sum(len(rows[0]) for _, rows in kept)
    oracle = made.oracle(scores)
    outputs = describe_outputs(made, model, wish.labels)
    told = choices(made, scores, wish.scalings, bar, left_out)
    return save_tensors(
        TensorModel(
            model=model,
            signature=tensor_signature(
                describe_inputs(made, wish.notes), describe_tensors(made), outputs, wish.labels
            ),
            oracle=oracle,
            row_sets=[(name, made.by_tensor(rows)) for name, rows in [*kept, *_no_rows(made)]],
            bar=bar,
            needs=describe_needs(made, model, oracle),
            source=describe_source(made.answers.flat.module),
            original="module",
            training=describe_training(made, wish.labels, oracle, wish.targets),
        ),
        target,
        replace(facts, metadata={**told, **facts.metadata}),
        allow_mismatch=allow_mismatch,
        progress=tell,
        stored=_stored(made, scores, wish.sample_rows),
    )


def _check_opens(made: Made) -> None:
    """Refuses a graph for which ONNX Runtime lacks an operator, most often one in float64."""
    try:
        runtime.Graph(made.model.SerializeToString())
    except runtime.RuntimeRefusal as err:
        weights = {weight.dtype for weight in made.answers.flat.parameters()}
        said = re.sub(r"^\[ONNXRuntimeError\][^:]*: *\d* *: *\w* *: *", "", str(err))
        raise unsupported(
            made.answers.flat.module,
            f"ONNX Runtime {runtime.VERSION} can't open its graph: {shorten(said, 200)}",
            _way_out(made, double=torch.float64 in weights),
        ) from err


def _way_out(made: Made, *, double: bool) -> str:
    if double:
        return "Call module.float() and save that."
    if any(each.datatype == "INT32" for each in made.examples.inputs):
        return "Pass integers as int64."
    return "Write this step with other operators."


def _row_count(made: Made) -> int:
    """As many rows as the module answers in a few seconds."""
    rows = [np.resize(array, (16, *array.shape[1:])) for array in example_rows(made.examples)]
    start = time.perf_counter()
    made.answers.ask(rows)
    each = (time.perf_counter() - start) / len(rows[0])
    return max(_FEWEST_ROWS, min(_MOST_ROWS, int(_SECONDS / max(each, 1e-9))))


def _scores(made: Made, wish: _Wish, drawn: Sequence[tuple[str, Rows]]) -> Scores | None:
    """What the module's only output is, where there are labels, judged by all rows drawn."""
    if not wish.labels:
        return None
    module = made.answers.flat.module
    answers = made.answers.named(example_rows(made.examples))
    width = check_shape(module, answers, wish.labels)
    seen = []
    for _, rows in drawn:
        try:
            (found,) = made.answers.ask(rows)
        except Refused:
            continue
        seen.append(found.reshape(len(found), width))
    return decide(module, made.model, np.concatenate(seen), width, wish.outputs)


def _refusals_out(made: Made, rows: Rows) -> Rows:
    """The rows that the module answers. Raises ExportError where it answers few of them."""

    def fine(some: Rows) -> Array:
        made.answers.ask(some)
        return np.zeros(len(some[0]), dtype=bool)

    answered = ~of_refused(fine, rows)
    if answered.mean() < 0.5:
        raise ExportError(
            f"the module refuses {int((~answered).sum())} of {len(answered)} rows drawn around the "
            "examples, so nothing can be proven; pass several rows like those it was trained on"
        )
    return [array[answered] for array in rows]


def _comparable(
    made: Made, drawn: Sequence[tuple[str, Rows]], bar: float
) -> list[tuple[str, Rows]]:
    content = made.model.SerializeToString()

    def run(rows: Rows) -> list[Array]:
        return list(run_clean(content, [made.by_tensor(rows)])[0].values())

    kept = []
    for name, rows in drawn:
        _check_refused(made, run, name, rows)
        fair = of_refused(partial(comparable, made.rounding, run, bar, name), rows)
        if fair.any():
            kept.append((name, [array[fair] for array in rows]))
    return kept


def _comparable_shares(
    made: Made, scores: Scores, model: onnx.ModelProto, sets: Sequence[tuple[str, Rows]], bar: float
) -> list[tuple[str, Rows]]:
    """The same for probabilities: of large logits, which agree, the last bits make a difference."""
    content = model.SerializeToString()

    def shares(found: list[Array]) -> list[Array]:
        return [labelled(scores, found[0])[PROBABILITIES]]

    def run(rows: Rows) -> list[Array]:
        return [run_clean(content, [made.by_tensor(rows)])[0][PROBABILITIES]]

    kept, rounding = [], replace(made.rounding, made_of=shares)
    for name, rows in sets:
        fair = of_refused(partial(comparable, rounding, run, bar, name), rows)
        if fair.any():
            kept.append((name, [array[fair] for array in rows]))
    return kept


def _check_refused(made: Made, run: Callable[[Rows], list[Array]], name: str, rows: Rows) -> None:
    """The graph must not answer what the module refuses, of integers and sizes that the API takes."""
    try:
        made.answers.ask(rows)
        return
    except Refused:
        places = [row for row in range(len(rows[0])) if _why_refused(made, rows, row)]
    for row in places[:_TRIED]:
        try:
            got = run([array[row : row + 1] for array in rows])
        except ExportError:
            continue
        if all(np.isfinite(values.astype(np.float64)).all() for values in got):
            raise unsupported(
                made.answers.flat.module,
                f"it refuses a row of the set {name!r} that its graph would answer: "
                f"{_why_refused(made, rows, row)}{padding_hint(made.answers.flat.module)}",
                "Leave the check out of forward, or refuse such rows before the model.",
            )


def _why_refused(made: Made, rows: Rows, row: int) -> str:
    try:
        made.answers.ask([array[row : row + 1] for array in rows])
    except Refused as err:
        return str(err)
    return ""


def _no_rows(made: Made) -> list[tuple[str, Rows]]:
    """A batch of no rows, if module and graph both answer it."""
    rows = [array[:0] for array in example_rows(made.examples)]
    try:
        expected = made.answers.ask(rows)
        got = run_clean(made.model.SerializeToString(), [made.by_tensor(rows)])[0]
    except (Refused, ExportError):
        return []
    same = all(a.shape == b.shape for a, b in zip(expected, got.values(), strict=True))
    return [("batch 0", rows)] if same else []


def _stored(made: Made, scores: Scores | None, sample_rows: Any) -> Arrays:
    """Rows for the self-test: drawn ones, never an example itself, certain and with a clear label."""
    if sample_rows is not None:
        return _given(made, sample_rows)
    shapes = [array.shape[1:] for array in made.examples.batches[0]]
    rows = made.draw.rows(4 * _STORED, np.random.default_rng(_SEED), shapes)
    unfit = of_refused(lambda some: ~_certain(made, scores, some), rows)
    places = np.flatnonzero(~unfit)[:_STORED]
    if not len(places):
        raise ExportError(
            "no drawn row has an answer that could test the file; pass rows as sample_rows="
        )
    return made.by_tensor([array[places] for array in rows])


def _certain(made: Made, scores: Scores | None, rows: Rows) -> Array:
    """Rows with finite answers that rounding hardly moves, bool [rows]."""
    answers = made.oracle(scores)(made.by_tensor(rows))
    fine: Array = made.rounding.noise(rows) <= BAR / 4
    for values in answers.values():
        fine &= np.isfinite(values.astype(np.float64)).reshape(len(values), -1).all(axis=1)
    return fine if scores is None else fine & (margins(answers[PROBABILITIES]) > _CLEAR)


def _given(made: Made, sample_rows: Any) -> Arrays:
    module = made.answers.flat.module
    try:
        read = read_examples(module, sample_rows, made.examples.names, None)
    except ExportError as err:
        raise ExportError(f"sample_rows=: {err}") from err
    for own, other in zip(made.examples.inputs, read.inputs, strict=True):
        sizes = len(own.sizes) == len(other.sizes) and all(
            a is None or a == b for a, b in zip(own.sizes, other.sizes, strict=True)
        )
        if own.datatype != other.datatype or not sizes:
            raise ExportError(
                f"sample_rows= must have the datatype and the shape of the examples of {own.name!r}"
            )
    return made.by_tensor([array[:_STORED] for array in read.batches[0]])

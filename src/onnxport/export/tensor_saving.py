"""What networks and adopted files share: from a graph, its signature and the rows that it is held to, to a proven model
file or to a refusal.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxport import runtime
from onnxport.compare import by_row, relative_difference
from onnxport.errors import ExportError, ModelFileError, ParityError, RequestError, shorten
from onnxport.export import document
from onnxport.export.clean_run import run_clean
from onnxport.export.company import coupled
from onnxport.export.graph import Array
from onnxport.export.parity import Parity
from onnxport.export.report import Report
from onnxport.export.tensor_selftest import make_selftest
from onnxport.export.ties import margins
from onnxport.export.written import write_file
from onnxport.manifest import SelfTest
from onnxport.predictor import load
from onnxport.signature import Feature, Label, Output, Signature, Task, Tensor
from onnxport.tensors import Arrays


class Coupled(ExportError):
    """The answer to a row hangs on the rows beside it."""


Ask = Callable[[Arrays], Arrays]
Progress = Callable[[str], None]

_RUN_BYTES = 64 * 1024**2
_INNER = 16  # how much more than its input and output a row may take inside the graph
_SHOWN = 6


@dataclass(frozen=True)
class TensorModel:
    """A graph of whole tensors or of matrices, and what it must be equal to.

    model: its inputs and outputs are named as in the signature. oracle: what the original answers to
    stacked inputs, by the names of the graph's outputs; it may raise where the original refuses.
    row_sets: named inputs [rows, *shape]; the first must be answered, and self-test rows come from it.
    bar: the largest |difference| / max(1, |answer|) of a number. needs: what the graph runs on. source:
    library, class, versions, exporter. original: what messages call it, such as "module" or "file".
    """

    model: onnx.ModelProto
    signature: Signature
    oracle: Ask
    row_sets: Sequence[tuple[str, Arrays]]
    bar: float
    needs: document.Needs
    source: Mapping[str, Any]
    original: str
    infers: bool = True
    training: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Difference:
    """The row that differs most: in which set, where in it, in which output, and both answers."""

    row_set: str
    row: int
    output: str
    size: float
    expected: Any
    got: Any


def tensor_signature(
    features: Sequence[Feature],
    tensors: Sequence[Tensor],
    outputs: Sequence[Output],
    labels: Sequence[Label],
) -> Signature:
    """With labels a classifier's, else one that answers its outputs by name."""
    task: Task = "tensor"
    if labels:
        task = "binary_classification" if len(labels) == 2 else "multiclass_classification"
    return Signature(task, tuple(features), tuple(tensors), tuple(outputs), tuple(labels))


def rows_per_run(row: Arrays, answer: Arrays) -> int:
    """How many rows like these may go through a graph at once, so that its memory stays bounded."""
    size = sum(array[:1].nbytes for array in (*row.values(), *answer.values()))
    return max(1, min(runtime.ROWS_PER_RUN, _RUN_BYTES // max(1, _INNER * size)))


def save_tensors(
    made: TensorModel,
    path: Path,
    facts: document.Facts,
    *,
    allow_mismatch: bool,
    progress: Progress,
    stored: Arrays | None = None,
) -> Report:
    """Compares graph and original on every row set, and writes the model file. stored: rows to keep
    for the self-test instead of the first set's. Raises ParityError with the worst row where they
    differ, ExportError where nothing can be proven.
    """
    content = made.model.SerializeToString()
    check_company(made)
    progress(f"comparing {sum(map(_rows, _arrays(made))):,} rows with the graph")
    parity, worst = _prove(made, content)
    if worst is not None:
        error = _error(made, parity, worst)
        if not allow_mismatch:
            raise error
        warnings.warn(
            f"SAVED WITH A MISMATCH: worst difference {parity.max_abs:.3g}. This file answers "
            f"differently from the {made.original}, and will say so wherever it is used.",
            stacklevel=3,
        )
        parity = replace(parity, accepted_mismatch=True)
    progress("choosing self-test rows and describing the model")
    ask = made.oracle
    if parity.accepted_mismatch:
        ask = _graph(content, made.needs.rows_per_run)
    rows = made.row_sets[0][1] if stored is None else stored
    selftest = make_selftest(made.signature, rows, ask, parity.tolerance)
    manifest = document.describe(
        facts, made.signature, parity, made.source, made.needs, made.training or {}
    )
    nothing: dict[str, Any] = {"columns": {}, "output": {}}
    sealed = document.write(made.model, manifest, selftest, nothing, infers=made.infers)
    progress(f"opening the file of {len(sealed):,} bytes as a server would")
    report = _reopened(sealed, path, parity, selftest)
    write_file(path, sealed)
    return report


def check_company(made: TensorModel) -> None:
    """Refuses a graph whose answer to a row changes with the rows beside it. Raises Coupled."""
    rows = made.row_sets[0][1]
    content, run = made.model.SerializeToString(), made.needs.rows_per_run
    where = coupled(content, made.signature, rows, made.bar, run)
    if where is not None:
        raise Coupled(
            f"the {made.original}'s output {shorten(where)!r} answers a row otherwise beside other rows "
            "(of larger numbers, or more of them), so an answer would hang on who else asks; let each "
            "row be computed by itself: no maximum, mean or size over dimension 0"
        )


def _arrays(made: TensorModel) -> list[Arrays]:
    return [arrays for _, arrays in made.row_sets]


def _rows(arrays: Arrays) -> int:
    return len(next(iter(arrays.values())))


def _graph(content: bytes, rows: int) -> Ask:
    """The graph's own answers, where a mismatch was accepted."""
    return lambda arrays: run_clean(content, [arrays], rows_per_run=rows)[0]


def _prove(made: TensorModel, content: bytes) -> tuple[Parity, _Difference | None]:
    """The certificate, and the worst row where the graph answers differently."""
    asked, refused = [], 0
    for name, arrays in made.row_sets:
        kept = _answered(made, name, arrays)
        refused += _rows(arrays) - (0 if kept is None else _rows(kept[0]))
        if kept is not None:
            asked.append((name, *kept))
    flips = ties = 0
    largest, worst = 0.0, None
    answers = run_clean(
        content, [arrays for _, arrays, _ in asked], rows_per_run=made.needs.rows_per_run
    )
    for (name, _, expected), got in zip(asked, answers, strict=True):
        found, tied, flipped = _compare(made, name, expected, got)
        ties, flips = ties + tied, flips + flipped
        for each in found:
            largest = max(largest, each.size if math.isfinite(each.size) else 0.0)
            if worst is None or each.size > worst.size:
                worst = each
    by_set: dict[str, int] = {}
    for name, arrays, _ in asked:
        by_set[name] = by_set.get(name, 0) + _rows(arrays)
    parity = Parity(
        rows=sum(by_set.values()),
        row_sets=tuple(by_set),
        label_flips=flips,
        max_abs=largest,
        tolerance=made.bar,
        onnxruntime=runtime.VERSION,
        ties=ties,
        refused=refused,
        rows_by_set=by_set,
    )
    differs = worst is not None and (flips or worst.size > made.bar)
    return parity, worst if differs else None


def _answered(made: TensorModel, name: str, arrays: Arrays) -> tuple[Arrays, Arrays] | None:
    """The rows that the original answers, and its answers; None where it answers none of them.

    An original may refuse with any exception; then each row is asked alone.
    """
    try:
        return arrays, made.oracle(arrays)
    except Exception as err:
        kept = [row for row in range(_rows(arrays)) if _answers(made, arrays, row)]
        first = name == made.row_sets[0][0]
        if not kept and first:
            raise ExportError(
                f"the {made.original} refuses the rows that it should be compared on: "
                f"{shorten(str(err), 200)}"
            ) from err
        if not kept or len(kept) == _rows(arrays):  # what it answers alone, it refuses as a batch
            return None
        some = {key: value[kept] for key, value in arrays.items()}
        return some, made.oracle(some)


def _answers(made: TensorModel, arrays: Arrays, row: int) -> bool:
    try:
        made.oracle({key: value[row : row + 1] for key, value in arrays.items()})
    except Exception:  # see above
        return False
    return True


def _compare(
    made: TensorModel, name: str, expected: Arrays, got: Arrays
) -> tuple[list[_Difference], int, int]:
    """Each output's worst row, and how many rows differ in their label: as a tie, or as a flip."""
    found, ties, flips = [], 0, 0
    for output in made.signature.outputs:
        wanted, told = expected[output.tensor], got[output.tensor]
        if wanted.shape != told.shape:
            raise ExportError(
                f"the graph's output {shorten(output.tensor)!r} has the shape {told.shape} where the "
                f"{made.original}'s has {wanted.shape}, for rows of the set {name!r}"
            )
        if not len(wanted):
            continue
        difference = _apart(wanted, told)
        if output.role == "label_code":
            tied = _tied(made, expected) & (difference > 0)
            ties, flips = ties + int(tied.sum()), flips + int((difference[~tied] > 0).sum())
            difference = np.where(tied, 0.0, np.where(difference > 0, np.inf, 0.0))
        row = int(difference.argmax())
        found.append(
            _Difference(name, row, output.tensor, float(difference[row]), wanted[row], told[row])
        )
    return found, ties, flips


def _apart(wanted: Array, told: Array) -> Array:
    """Each row's largest difference; what is no number is equal or infinitely different."""
    if wanted.dtype.kind in "OUb" or told.dtype.kind in "OUb":
        same = by_row(wanted.astype(np.str_) == told.astype(np.str_)).all(axis=1)
        return np.where(same, 0.0, np.inf)
    numbers: Array = by_row(relative_difference(wanted, told)).max(axis=1, initial=0.0)
    return numbers


def _tied(made: TensorModel, expected: Arrays) -> Array:
    """Rows whose two best probabilities are as good as equal in the original itself."""
    proba = made.signature.output("probabilities")
    if proba is None:
        return np.zeros(len(next(iter(expected.values()))), dtype=bool)
    tied: Array = margins(expected[proba.tensor]) <= made.bar
    return tied


def _error(made: TensorModel, parity: Parity, worst: _Difference) -> ParityError:
    wanted, told = _shown(worst.expected), _shown(worst.got)
    message = (
        f"the graph answers differently from the {made.original}: worst difference "
        f"{parity.max_abs:.3g} (allowed {parity.tolerance:g}), {parity.label_flips} label flips in "
        f"{parity.rows} rows. Worst row: {worst.row} of the set {worst.row_set!r}, output "
        f"{shorten(worst.output)!r}: the {made.original} says {wanted}, the graph {told}. Nothing was "
        "written. Scale large inputs, and leave out what answers at random; if it should convert, "
        "please report it"
    )
    return ParityError(
        message,
        row={},
        row_set=worst.row_set,
        column=None,
        expected=wanted,
        got=told,
    )


def _shown(value: Any) -> str:
    """The first elements of an answer."""
    flat = np.ravel(value).tolist()
    more = ", …" if len(flat) > _SHOWN else ""
    listed = ", ".join(
        f"{v:.6g}" if isinstance(v, float) else shorten(str(v)) for v in flat[:_SHOWN]
    )
    return f"[{listed}{more}]" if len(flat) > 1 else listed


def _reopened(sealed: bytes, path: Path, parity: Parity, selftest: SelfTest) -> Report:
    """Opens what is about to be written, as a server would, and asks it about a stored row."""
    try:
        model = load(sealed)
        model.predict(selftest.row(0))
    except (ModelFileError, RequestError) as err:
        raise ExportError(
            f"the file that was made doesn't answer its own rows: {err}. Please report the model"
        ) from err
    return Report(path=path, size=len(sealed), parity=parity, manifest=model.manifest)


def batches(rows: Arrays, sizes: Sequence[int]) -> Iterator[tuple[str, Arrays]]:
    """Row sets of these sizes, named for them, of these rows repeated as often as needed."""
    for size in sizes:
        places = np.arange(size) % max(_rows(rows), 1)
        yield f"batch {size}", {name: array[places] for name, array in rows.items()}

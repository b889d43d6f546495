"""What a module must be before a graph can stand for it: tensors all of its answer, the same answer twice, one row for
one row.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from onnxport.compare import relative_difference, worst
from onnxport.errors import ExportError
from onnxport.export.pytorch.examples import Examples
from onnxport.export.pytorch.module import (
    DATATYPES,
    Flat,
    Refused,
    as_tensor,
    ask,
    by_name,
    hushed,
    named_tensors,
    unsupported,
)
from onnxport.export.pytorch.rows import Rows
from onnxport.export.sample_errors import library_says
from onnxport.tensors import Array, Arrays

_CHUNK = 257
_TRIED = 4  # rows that are asked one by one
_SAME = 1e-6
_APART, _APART_DOUBLE = 1e-4, 1e-9


@dataclass(frozen=True)
class Answers:
    """A module's outputs: their names, datatypes and numbers of dimensions, the batch included.

    squeezed: a batch of one row loses its first dimension in the module; it gets it back here.
    """

    flat: Flat
    names: tuple[str, ...]
    datatypes: tuple[str, ...]
    dimensions: tuple[int, ...]
    squeezed: bool = False

    def ask(self, rows: Rows) -> list[Array]:
        """[rows, ...] of each output. Raises Refused."""
        count = len(rows[0])
        if count <= _CHUNK:
            return self._ask(rows)
        parts = [
            self._ask([array[at : at + _CHUNK] for array in rows]) for at in range(0, count, _CHUNK)
        ]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _ask(self, rows: Rows) -> list[Array]:
        found = ask(self.flat, rows)
        if len(found) != len(self.names):
            raise Refused(f"it answers {len(found)} tensors in place of {len(self.names)}")
        if self.squeezed and len(rows[0]) == 1:
            found = [
                answer[None] if answer.ndim == wanted - 1 else answer
                for answer, wanted in zip(found, self.dimensions, strict=True)
            ]
        for name, answer in zip(self.names, found, strict=True):
            if not answer.ndim or len(answer) != len(rows[0]):
                raise Refused(f"{name} has the shape {answer.shape} for {len(rows[0])} rows")
        return found

    def named(self, rows: Rows) -> Arrays:
        return by_name(self.names, self.ask(rows))


def example_rows(examples: Examples) -> Rows:
    """Three rows at least: that many of the first example, from its start again where it has fewer."""
    batch = examples.batches[0]
    places = np.arange(max(3, min(len(batch[0]), 5))) % len(batch[0])
    return [array[places] for array in batch]


def read_answers(flat: Flat, examples: Examples) -> Answers:
    """Asks the module about its examples. Raises UnsupportedModel, or ExportError where it refuses
    them.
    """
    module = flat.module
    for batch in examples.batches:
        _asked(flat, batch)
    rows = example_rows(examples)
    answer = _of_other_size(flat, rows, len(examples.batches[0][0]))
    try:
        tensors = named_tensors(answer)
    except TypeError as err:
        raise unsupported(
            module,
            f"its forward answers {err}, which is no tensor",
            "Answer a tensor, or a tuple or dict of tensors.",
        ) from err
    if not tensors:
        raise unsupported(
            module, "its forward answers nothing", "Answer a tensor, or a tuple or dict of tensors."
        )
    names = [name for name, _ in tensors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise unsupported(
            module, f"two of its outputs are called {twice!r}", "Give each a name of its own."
        )
    for name, tensor in tensors:
        _check_tensor(module, name, tensor, len(rows[0]))
    answers = Answers(
        flat,
        tuple(names),
        tuple(DATATYPES[tensor.dtype] for _, tensor in tensors),
        tuple(tensor.dim() for _, tensor in tensors),
    )
    return _of_one_row(answers, rows)


def _asked(flat: Flat, batch: Sequence[Array]) -> Any:
    try:
        with hushed():
            return flat.answered(*map(as_tensor, batch))
    except Exception as err:  # a module may refuse with any exception
        raise ExportError(
            f"{type(flat.module).__name__} refuses the example inputs: {library_says(err)}; pass "
            "rows like those it was trained on"
        ) from err


_SIZES = "Take sizes from the input (x.shape[0], or -1 in reshape) instead of writing them down"


def _of_other_size(flat: Flat, rows: Rows, known: int) -> Any:
    """What it answers to another number of rows than the example has."""
    try:
        with hushed():
            return flat.answered(*map(as_tensor, rows))
    except Exception as err:  # as above
        raise unsupported(
            flat.module,
            f"it answers {known} rows, and refuses {len(rows[0])}: {library_says(err)}",
            f"{_SIZES}.",
        ) from err


def _check_tensor(module: Any, name: str, tensor: Any, rows: int) -> None:
    dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_nested
    if not dense or tensor.dtype not in DATATYPES:
        kind = str(tensor.dtype).removeprefix("torch.") if dense else "sparse, nested or quantized"
        raise unsupported(
            module,
            f"its output {name!r} is {kind}, which an answer can't carry",
            "Answer a dense tensor of float32, float64, integers or booleans.",
        )
    shape = tuple(tensor.shape)
    if shape[:1] == (rows,):
        if 0 in shape:
            raise unsupported(
                module,
                f"its output {name!r} has the shape {shape} and holds nothing",
                "Leave it out.",
            )
        return
    place = shape.index(rows) if rows in shape else None
    raise unsupported(
        module,
        f"its output {name!r} has the shape {list(shape)} for {rows} rows: "
        + ("one answer for all rows" if place is None else f"the rows are dimension {place} of it"),
        "Answer one entry a row, in dimension 0"
        + ("." if place is None else f", by .transpose(0, {place})."),
    )


def _of_one_row(answers: Answers, rows: Rows) -> Answers:
    """The answers, once it is known whether a batch of one row loses its first dimension."""
    module = answers.flat.module
    try:
        single = ask(answers.flat, [array[:1] for array in rows])
    except Refused as err:
        raise unsupported(
            module,
            f"it refuses a batch of one row: {err}",
            f"{_SIZES}, and use squeeze(dim) instead of squeeze().",
        ) from err
    squeezed = any(a.ndim == d - 1 for a, d in zip(single, answers.dimensions, strict=True))
    found = replace(answers, squeezed=squeezed)
    try:
        found.ask([array[:1] for array in rows])
    except Refused as err:
        raise unsupported(
            module, f"of a batch of one row, {err}", "Answer one entry a row, in dimension 0."
        ) from err
    return found


def check_steady(answers: Answers, rows: Rows) -> None:
    """Refuses a module that answers differently each time, or that changes while it answers."""
    module = answers.flat.module
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    torch.manual_seed(1)
    first = answers.ask(rows)
    torch.manual_seed(2)
    again = answers.ask(rows)
    if any(a.shape != b.shape for a, b in zip(first, again, strict=True)) or any(
        worst(relative_difference(a, b)) > _SAME for a, b in zip(first, again, strict=True)
    ):
        raise unsupported(
            module,
            "it answers the same rows differently each time",
            "Pass training=self.training to functional.dropout, draw no random numbers in forward, "
            "and keep no state between calls.",
        )
    for name, buffer in module.named_buffers():
        if name not in before or not torch.equal(_plain(before[name]), _plain(buffer)):
            raise unsupported(
                module,
                f"its forward changes its buffer {name}, which a graph can't",
                "Change it only where self.training is true.",
            )


def _plain(tensor: Any) -> Any:
    return torch.nan_to_num(tensor) if tensor.is_floating_point() else tensor


def check_rows_apart(answers: Answers, exact: Answers | None, rows: Rows) -> None:
    """Refuses a module whose answer to a row depends on the other rows of its batch. exact: the same
    module in float64, where that answers.
    """
    asked, allowed = (answers, _APART) if exact is None else (exact, _APART_DOUBLE)
    some = _varied([array[:_TRIED] for array in rows])
    given = some if exact is None else in_double(some)
    try:
        together = asked.ask(given)
    except Refused:
        given = [array[:_TRIED] for array in (rows if exact is None else in_double(rows))]
        together = asked.ask(given)
    single = [asked.ask([array[i : i + 1] for array in given]) for i in range(len(given[0]))]
    for name, whole, parts in zip(answers.names, together, zip(*single, strict=True), strict=True):
        if any(part.shape[1:] != whole.shape[1:] for part in parts) or (
            worst(relative_difference(whole, np.concatenate(parts))) > allowed
        ):
            raise unsupported(
                answers.flat.module,
                f"its output {name!r} for a row depends on the other rows of the batch, so that a "
                f"request would change the answer to another{padding_hint(answers.flat.module)}",
                "Take the first dimension for the batch throughout (batch_first=True), and means or "
                "softmax over the others.",
            )


def _varied(rows: Rows) -> Rows:
    """Rows that differ where the example may hold one alone: numbers with noise, the rest mixed."""
    rng = np.random.default_rng(0)
    return [
        (array + (0.1 * array.std() + 0.01) * rng.standard_normal(array.shape)).astype(array.dtype)
        if array.dtype.kind == "f"
        else rng.choice(array.ravel(), array.shape)
        for array in rows
    ]


def in_double(rows: Rows) -> Rows:
    return [array.astype(np.float64) if array.dtype.kind == "f" else array for array in rows]


def double_precision(answers: Answers, rows: Rows) -> Answers | None:
    """The same module in float64, if it answers these rows in it."""
    try:
        with hushed():
            found = replace(answers, flat=copy.deepcopy(answers.flat).double())
        exact = found.ask(in_double(rows))
        same = all(a.shape == b.shape for a, b in zip(exact, answers.ask(rows), strict=True))
    except (Refused, RuntimeError, TypeError):
        return None
    return found if same else None


def padding_hint(module: Any) -> str:
    nested = [
        part
        for part in module.modules()
        if isinstance(part, torch.nn.TransformerEncoder)
        and getattr(part, "use_nested_tensor", False)
    ]
    if not nested:
        return ""
    return " (TransformerEncoder cuts padding by the longest row: set enable_nested_tensor=False)"

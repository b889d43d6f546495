"""How many rows a graph answers at once: a fixed batch made dynamic where that can be proven, else
row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from onnxport import runtime
from onnxport.compare import relative_difference, worst
from onnxport.errors import shorten
from onnxport.export.adopting.findings import named, refusal
from onnxport.export.adopting.oracles import Oracle, Unbatched, Uneven
from onnxport.export.adopting.repairs import Feed, Repaired, copy, default_opset, sort
from onnxport.export.adopting.sequences import View
from onnxport.export.adopting.structure import (
    Array,
    add_constant,
    add_node,
    attributes,
    constants,
    every_graph,
    every_node,
    free_name,
    inputs,
    outputs,
)

Arrays = dict[str, Array]
Rows = Callable[[int], list[Arrays]]

STRICT, TOLERANT = 1e-6, 1e-5
_BARS = (STRICT, TOLERANT, 1e-4, 1e-3)  # the last is the most that a model file may allow
BATCHES = (1, 2, 5)
MANY = 65
_RECURRENT = frozenset({"RNN", "LSTM", "GRU", "Scan"})
_DYNAMIC_SCALE = frozenset({"DynamicQuantizeLinear"})


@dataclass(frozen=True)
class Batching:
    """model: the graph as it will be served. oracle: the original, asked as it can be. rows_per_run:
    1 where the graph is served row by row. bar: the difference that batches may make. freed: its
    batch was fixed, and was made dynamic. slice: how many rows go through it at once.
    """

    model: onnx.ModelProto
    oracle: Oracle
    rows_per_run: int | None
    bar: float
    notes: tuple[str, ...]
    freed: bool = False
    slice: int = 1


def settle(
    repaired: Repaired,
    original: runtime.Graph,
    rows: Rows,
    *,
    vast: Rows | None = None,
    alone: bool = False,
) -> Batching:
    """rows: makes so many rows, in each of the sizes that dynamic dimensions may have. vast: rows of
    any magnitude, where columns may hold them: then a fixed batch is made dynamic only where that
    changes no bit, because where large numbers cancel out, the order of a sum tells. alone: never.
    Raises NotAdoptable where rows can't be told apart.
    """
    oracle = Oracle(original, repaired.feeds, repaired.views)
    fixed = {each.shape[0] for each in inputs(repaired.model) if each.shape}
    numbers = {size for size in fixed if isinstance(size, int)}
    if not numbers:
        return _of_any(repaired, oracle, rows)
    size = max(numbers)
    oracle = replace(oracle, rows=size)
    whole = _whole(repaired, oracle, rows) if size == 1 else frozenset()
    if not whole and not (alone and size == 1):
        made = _made_dynamic(repaired, oracle, rows, vast, size)
        if made is not None:
            return made
    if size > 1:
        raise refusal(
            "fixed_batch",
            "",
            f"the graph was exported for exactly {size} rows, and can't be made to take any number",
            "export it with a dynamic first dimension",
        )
    return _row_by_row(repaired, replace(oracle, whole=whole), "its batch is fixed to one row")


def _of_any(repaired: Repaired, oracle: Oracle, rows: Rows) -> Batching:
    """A graph that takes any number of rows, if each is answered as if it were alone."""
    alone = replace(oracle, rows=1)
    sets = rows(2 * max(BATCHES))
    for arrays in sets:
        alone.each(arrays)
    operators = {node.op_type for node, _ in every_node(repaired.model.graph)}
    try:
        apart, where = _in_company(oracle, sets)
        noise, size_matters = _against(alone, oracle, rows(max(BATCHES)))
    except Unbatched as err:
        _check_not_sequence(operators, str(err))
        whole = _whole(repaired, alone, rows)
        why = f"output {shorten(repr(str(err)))} has no entry a row"
        return _row_by_row(repaired, replace(alone, whole=whole), why)
    except runtime.RuntimeRefusal:
        whole = _whole(repaired, alone, rows)
        return _row_by_row(repaired, replace(alone, whole=whole), "it refuses several rows at once")
    if apart <= TOLERANT and noise <= _BARS[-1]:
        bar = next(bar for bar in _BARS if noise <= bar)
        return Batching(repaired.model, oracle, None, bar, ())
    _check_not_sequence(operators, where or size_matters)
    if operators & _DYNAMIC_SCALE:
        why = "it quantizes by the range of a whole batch"
        return _row_by_row(repaired, alone, why)
    raise refusal(
        "no_batch",
        named("output", where or size_matters),
        "the answer to one row hangs on the rows beside it" + _by(max(apart, noise)),
        "export the model with independent rows in the first dimension of every input",
    )


def _in_company(oracle: Oracle, sets: Sequence[Arrays]) -> tuple[float, str]:
    """The largest difference that other rows beside it make to a row, and in which output; how many
    they are stays the same, because sums of float32 hang on that.
    """
    largest, where = 0.0, ""
    for arrays in sets:
        count = len(next(iter(arrays.values()))) // 2
        first = oracle({name: array[:count] for name, array in arrays.items()})
        for row in range(count):
            mixed = {name: array[count:].copy() for name, array in arrays.items()}
            for name, array in arrays.items():
                mixed[name][row] = array[row]
            for name, got in oracle(mixed).items():
                difference = difference_of(first[name][row : row + 1], got[row : row + 1])
                if difference > largest:
                    largest, where = difference, name
    return largest, where


def _by(apart: float) -> str:
    return f" (by {apart:.3g})" if np.isfinite(apart) else ""


def _check_not_sequence(operators: set[str], output: str) -> None:
    if operators & _RECURRENT:
        raise refusal(
            "no_batch",
            named("output", output),
            "the first dimension isn't that of the rows, but of the steps of a sequence",
            "export the model batch first (in PyTorch: batch_first=True)",
        )


def difference_of(wanted: Array, got: Array) -> float:
    """The largest relative difference; infinite where strings, whole numbers or shapes differ."""
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.dtype == object or wanted.dtype.kind in "iubUS":
        return 0.0 if (wanted == got).all() else float("inf")
    return worst(relative_difference(wanted, got))


def _whole(repaired: Repaired, oracle: Oracle, rows: Rows) -> frozenset[str]:
    """Outputs of which all is the answer to one row: those that don't begin with one entry for it."""
    declared = {each.name: each.shape for each in outputs(repaired.model)}
    shapes: dict[str, set[int | None]] = {name: set() for name in repaired.views}
    for arrays in rows(2):
        for at in range(len(next(iter(arrays.values())))):
            answers = oracle.run({name: array[at : at + 1] for name, array in arrays.items()})
            for name, value in answers.items():
                shapes[name].add(value.shape[0] if value.ndim else None)
    symbols = {each.shape[0] for each in inputs(repaired.model) if each.shape}
    whole = set()
    for name, seen in shapes.items():
        shape = declared.get(name)
        said = shape[0] if shape else None
        own = isinstance(said, str) and said not in symbols and not said.startswith("unk__")
        if seen != {1} or (own and len(symbols) == 1 and isinstance(next(iter(symbols)), str)):
            whole.add(name)
    return frozenset(whole)


def _row_by_row(repaired: Repaired, oracle: Oracle, why: str) -> Batching:
    """The graph as it is, one row a run; outputs without a batch dimension get one."""
    model = copy(repaired.model)
    for name in sorted(oracle.whole):
        _wrap(model, name)
    sort(model)
    note = f"it is served a row at a time: {why}"
    return Batching(model, oracle, 1, STRICT, (note,))


def _wrap(model: onnx.ModelProto, name: str) -> None:
    """The output gets a first dimension of 1, under its own name."""
    inner = free_name(model, f"{name}_whole")
    for graph in every_graph(model.graph):
        for node in graph.node:
            for part in (node.input, node.output):
                for i, tensor in enumerate(part):
                    if tensor == name:
                        part[i] = inner
    if default_opset(model) >= 13:
        axes = add_constant(model, "onnxport_axes", np.array([0]))
        add_node(model, "Unsqueeze", inner, axes, output=name)
    else:
        add_node(model, "Unsqueeze", inner, output=name, axes=[0])
    for info in model.graph.output:
        if info.name == name:
            info.type.tensor_type.ClearField("shape")


# ------------------------------------------------------------------------------------------- a batch made dynamic


def _made_dynamic(
    repaired: Repaired, oracle: Oracle, rows: Rows, vast: Rows | None, size: int
) -> Batching | None:
    """The graph with a dynamic batch, if it answers batches as the original answers row by row."""
    allowed = TOLERANT if vast is None else 0.0
    sets = rows(max(BATCHES)) if vast is None else [*rows(MANY), *vast(MANY)]
    for with_shapes in (False, True):
        model = dynamic(repaired.model, size, with_shapes=with_shapes)
        try:
            graph = runtime.Graph(model.SerializeToString())
            same = {each.name: Feed(each.name) for each in inputs(model)}
            changed = Oracle(graph, same, {name: View(name) for name in repaired.views})
            apart, _ = _against(oracle, changed, sets)
        except (runtime.RuntimeRefusal, Unbatched, Uneven):
            continue
        if apart <= allowed:
            bar = STRICT if apart <= STRICT else TOLERANT
            note = f"its batch, fixed to {size}, was made dynamic"
            return Batching(model, oracle, None, bar, (note,), freed=True)
    return None


def _against(oracle: Oracle, changed: Oracle, sets: Sequence[Arrays]) -> tuple[float, str]:
    largest, where = 0.0, ""
    for arrays in sets:
        wanted = oracle(arrays)
        for size in {*BATCHES, len(next(iter(arrays.values())))}:
            some = changed({name: array[:size] for name, array in arrays.items()})
            for name, got in some.items():
                difference = difference_of(wanted[name][:size], got)
                if difference > largest:
                    largest, where = difference, name
    return largest, where


def dynamic(model: onnx.ModelProto, size: int, *, with_shapes: bool) -> onnx.ModelProto:
    """A copy whose first dimension is symbolic: of inputs and outputs, and, on request, of the
    targets of Reshape that begin with the fixed size.
    """
    made = copy(model)
    fed = {each.name for each in inputs(made)}
    for info in (*made.graph.input, *made.graph.output):
        shape = info.type.tensor_type.shape
        is_input = info.name in fed
        if shape.dim and (is_input or shape.dim[0].dim_value == size or shape.dim[0].dim_param):
            shape.dim[0].dim_param = "N"
    for graph in every_graph(made.graph):
        del graph.value_info[:]
    if with_shapes:
        _free_targets(made, size)
    return made


def _free_targets(model: onnx.ModelProto, size: int) -> None:
    """Reshape([size, ...]) becomes Reshape([-1, ...]), or [0, ...] where another is -1 already."""
    known = constants(model.graph)
    for node in list(model.graph.node):
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] not in known:
            continue
        target = known[node.input[1]]
        if target.ndim != 1 or not len(target) or target[0] != size:
            continue
        zero = attributes(node).get("allowzero", 0)
        if -1 in target.tolist() and zero:
            continue
        fresh = target.copy()
        fresh[0] = 0 if -1 in target.tolist() else -1
        node.input[1] = add_constant(model, "onnxport_shape", fresh)

"""A small typed builder of ONNX graphs, and the columns that flow through one.

Everything computes in double precision. `Columns` is what a scikit-learn step sees as X: an ordered
list of number columns (each a column of some [N, width] double tensor) and string columns (each an
[N, 1] string tensor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxport.errors import ExportError
from onnxport.export.origin import Origin

Array = np.ndarray[Any, Any]

ML = "ai.onnx.ml"
OPSET = {"": 21, ML: 5}
IR_VERSION = 10
# What these operator sets need: v5 TreeEnsemble runs from 1.21.1; 1.26 and 1.27 gave wrong labels
# for correct files.
RUNTIMES = ">=1.21.1,!=1.26.*,!=1.27.*"
# A protobuf message ends at 2 GiB; what isn't a constant or a tree's table takes far less than this.
MAX_BYTES = 2**31 - 2**24


# One turn of a loop: an inner graph and the state to whether there is another, and the next state.
Step = Callable[["Graph", Sequence[str]], tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of what a step sees: where it is, its dtype in scikit-learn's eyes, and where it
    came from.

    origin: the feature it derives from by a monotone map that can be inverted, or None.
    finite: it can't overflow, whatever the features. exact: it equals the library's to the last
    bit. null: the Python value (None, NaN or pandas.NA) that the null token of a string column, or
    the NaN of a number column of dtype object, stands for. categories: those of pandas, in their order,
    of a feature that is a Categorical in X. sparse: the step sees a sparse matrix, in which zeros
    aren't stored.
    """

    tensor: str
    index: int
    width: int
    kind: Literal["number", "string"]
    dtype: str = "float64"
    origin: Origin | None = None
    finite: bool = True
    exact: bool = True
    null: Any = None
    categories: tuple[Any, ...] | None = None
    sparse: bool = False

    @property
    def missing(self) -> Any:
        """The Python value of a null here: only strings and objects have another than NaN."""
        return self.null if self.dtype == "object" else np.nan


@dataclass(frozen=True, slots=True)
class Columns:
    """An ordered list of columns."""

    items: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.items)

    def pick(self, indices: Iterable[int]) -> Columns:
        return Columns(tuple(self.items[i] for i in indices))

    @property
    def strings(self) -> tuple[int, ...]:
        return tuple(i for i, column in enumerate(self.items) if column.kind == "string")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype to which numpy would bring these columns together."""
        if self.strings or not self.items:
            return np.dtype(object if self.strings else np.float64)
        return np.result_type(*(np.dtype(column.dtype) for column in self.items))

    @property
    def single(self) -> bool:
        """scikit-learn computes on these in float32."""
        return self.dtype == np.float32

    @property
    def finite(self) -> bool:
        return all(column.finite for column in self.items)

    @property
    def exact(self) -> bool:
        return all(column.exact for column in self.items)

    @property
    def sparse(self) -> bool:
        """They stand in one sparse matrix."""
        return any(column.sparse for column in self.items)

    @property
    def raw(self) -> bool:
        """Nothing was computed yet: these are features as they came in."""
        return all(column.origin is not None and column.origin.raw for column in self.items)


@dataclass(frozen=True, slots=True)
class Sparse:
    """The entries of a mostly-zero matrix of `size` columns: int64 and double tensors [N, entries].

    A row names a place once, in rising order; what it doesn't use has place 0 and value 0.
    counts: the values are whole numbers of at least 0.
    """

    places: str
    values: str
    size: int
    counts: bool = False


class Graph:
    """Collects nodes and constants, and makes one model of what the outputs need."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0
        self._bytes = 0
        self.sparse: dict[str, Sparse] = {}  # what dense tensors were made of

    def name(self, hint: str) -> str:
        """A tensor name that isn't taken."""
        self._count += 1
        return f"{hint.lower()}_{self._count}"

    def constant(self, value: Any, dtype: type | str = np.float64) -> str:
        """A constant tensor; equal ones are kept once."""
        array = np.asarray(value, dtype=dtype)
        self._check_room(array.nbytes)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._bytes += array.nbytes
            self._constants[key] = self.name("c")
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def text(self, value: str) -> str:
        """A string constant, a scalar."""
        name = self.name("c")
        array = np.array(value, dtype=object)
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, values: int | Sequence[int] | Array) -> str:
        """An int64 constant."""
        return self.constant(values, np.int64)

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the output's name."""
        output = self.name(op)
        size = sum(_size(value) for value in attributes.values())
        self._check_room(size)
        self._bytes += size
        node = helper.make_node(
            op, list(inputs), [output], name=output, domain=domain, **attributes
        )
        self._nodes.append(node)
        return output

    def several(self, op: str, count: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Adds a node with so many outputs and returns their names."""
        outputs = tuple(self.name(op) for _ in range(count))
        node = helper.make_node(op, list(inputs), list(outputs), name=outputs[0], **attributes)
        self._nodes.append(node)
        return outputs

    def loop(self, start: str, state: Mapping[str, int], step: Step) -> tuple[str, ...]:
        """Repeats `step` as long as it says so, and returns the last state.

        start: bool, whether to begin. state: matrices as they begin, with their element types. step:
        from an inner graph and the state's names there to "once more" (bool) and the next state;
        it may read any tensor of this graph.
        """
        inner = Graph()
        inner._count = self._count
        types = [
            (TensorProto.INT64, 0),
            (TensorProto.BOOL, 0),
            *((kind, 2) for kind in state.values()),
        ]
        inputs = [inner.name("state") for _ in types]
        more, after = step(inner, inputs[2:])
        outputs = [inner.node("Identity", tensor) for tensor in (more, *after)]
        self._count = inner._count
        body = helper.make_graph(
            inner._nodes,
            inner.name("body"),
            [_info(name, *kind) for name, kind in zip(inputs, types, strict=True)],
            [_info(name, *kind) for name, kind in zip(outputs, types[1:], strict=True)],
            inner._initializers,
        )
        return self.several("Loop", len(state), "", start, *state, body=body)

    def _check_room(self, size: int) -> None:
        """Refuses a model that no ONNX file can hold, before memory is spent on it."""
        if self._bytes + size > MAX_BYTES:
            raise ExportError(
                "the model needs more than the 2 GB that an ONNX file can hold; train a smaller one "
                "(fewer or shallower trees, fewer training rows for neighbours and kernels)"
            )

    def cast(self, tensor: str, to: int) -> str:
        return self.node("Cast", tensor, to=to)

    def to_double(self, tensor: str) -> str:
        return self.cast(tensor, TensorProto.DOUBLE)

    def rounded(self, tensor: str) -> str:
        """A double tensor with every value rounded to float32."""
        return self.to_double(self.cast(tensor, TensorProto.FLOAT))

    def matrix(self, columns: Columns) -> str:
        """The number columns as one [N, width] double tensor."""
        runs: list[list[Column]] = []
        for column in columns.items:
            if runs and runs[-1][0].tensor == column.tensor:
                runs[-1].append(column)
            else:
                runs.append([column])
        parts = [self._part(run) for run in runs]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def _part(self, run: list[Column]) -> str:
        indices = [column.index for column in run]
        if indices == list(range(run[0].width)):
            return run[0].tensor
        return self.node("Gather", run[0].tensor, self.integers(indices), axis=1)

    def needed(self, outputs: Iterable[str]) -> set[str]:
        """The names of all tensors, inputs too, that these outputs hang on."""
        names = set(outputs)
        for node in reversed(self._nodes):
            if names.intersection(node.output):
                names.update(_read(node))
        return names

    def build(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """The model, without the nodes and constants that no output needs."""
        needed = self.needed(output.name for output in outputs)
        kept = [node for node in self._nodes if needed.intersection(node.output)]
        initializers = [i for i in self._initializers if i.name in needed]
        graph = helper.make_graph(kept, name, inputs, outputs, initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def rename(self, tensor: str, name: str) -> str:
        """The same tensor under a name of choice."""
        node = helper.make_node("Identity", [tensor], [name])
        self._nodes.append(node)
        return name


def _info(name: str, kind: int, rank: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [None] * rank)


def _read(node: onnx.NodeProto) -> set[str]:
    """All tensors that a node reads, in its subgraphs too."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _read(inner)
    return names


def _size(attribute: Any) -> int:
    """About how many bytes a node's attribute takes in the file."""
    if isinstance(attribute, onnx.TensorProto):
        return int(attribute.ByteSize())
    return 2 * len(attribute) if isinstance(attribute, (list, np.ndarray)) else 0


def number_columns(
    tensor: str,
    width: int,
    *,
    dtype: str = "float64",
    origins: Sequence[Origin | None] | None = None,
    finite: bool = False,
    exact: bool = True,
) -> Columns:
    """All columns of a [N, width] double tensor."""
    known = origins or [None] * width
    return Columns(
        tuple(
            Column(tensor, i, width, "number", dtype, known[i], finite, exact) for i in range(width)
        )
    )


def joined(parts: Iterable[Columns]) -> Columns:
    """Columns side by side."""
    return Columns(tuple(column for part in parts for column in part.items))


def with_dtype(columns: Columns, dtype: str) -> Columns:
    """The same columns after they were brought together in one array of this dtype."""
    return Columns(tuple(replace(column, dtype=dtype) for column in columns.items))

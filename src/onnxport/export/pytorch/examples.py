"""Example inputs as `save` is given them: which input of the module each is, and which dimensions may vary."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onnxport.errors import ExportError, shorten
from onnxport.export.pytorch.module import DATATYPES, Scaling, as_tensor
from onnxport.tensors import Array

_WANTED = "a tensor, a tuple of tensors, or a dict {input: tensor}, rows in dimension 0"


@dataclass(frozen=True)
class Input:
    """One input of the module. parameter: what `forward` calls it. name: what the API calls it.

    sizes: of one row, None where the size may vary. symbols: what the caller calls these dimensions.
    """

    parameter: str
    name: str
    datatype: str
    sizes: tuple[int | None, ...]
    symbols: Mapping[int, str]


@dataclass(frozen=True)
class Examples:
    """inputs: in the order of `forward`. batches: each a list of arrays, one an input, [rows, *sizes].
    keywords: the inputs go in by their names.
    """

    inputs: tuple[Input, ...]
    batches: tuple[tuple[Array, ...], ...]
    keywords: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.inputs)


def read_examples(module: Any, X: Any, names: Sequence[str] | None, dynamic_axes: Any) -> Examples:
    """Reads `example_inputs`, `features=[...]` and `dynamic_axes=`. Raises ExportError."""
    if X is None:
        raise ExportError(
            f"a {type(module).__name__} doesn't say what it takes; pass example_inputs: {_WANTED}"
        )
    several = list(X) if isinstance(X, list) else [X]
    if not several:
        raise ExportError(f"example_inputs is an empty list; pass {_WANTED}")
    read = [_read_one(module, example, several=isinstance(X, list)) for example in several]
    parameters = tuple(read[0])
    for other in read[1:]:
        if tuple(other) != parameters:
            raise ExportError(
                f"the examples hold different inputs: {list(parameters)} and {list(other)}; "
                "give each of them all"
            )
    chosen = _chosen_names(parameters, names)
    batches = tuple(tuple(_plain(module, name, each[name]) for name in parameters) for each in read)
    for batch in batches:
        _check_rows(chosen, batch)
    inputs = _inputs(parameters, chosen, batches, dynamic_axes)
    return Examples(inputs, batches, keywords=isinstance(several[0], Mapping))


def _read_one(module: Any, example: Any, *, several: bool) -> dict[str, Any]:
    """The tensors of one example by parameter of `forward`, in its order."""
    known = _parameters(module)
    if isinstance(example, Mapping):
        return _by_parameter(module, example, known)
    given = tuple(example) if isinstance(example, tuple) else (example,)
    for each in given:
        if not isinstance(each, (torch.Tensor, np.ndarray)):
            raise ExportError(
                f"example_inputs holds {_a(type(each).__name__)}, and a module takes tensors; pass {_WANTED}"
            )
    needed = [p.name for p in known if p.default is p.empty and p.kind not in _VARIABLE]
    named = [p.name for p in known if p.kind in _POSITIONAL]
    variable = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in known)
    if len(given) < len(needed) or (len(given) > len(named) and not variable):
        told = "in a tuple (a list holds several examples)" if several else "in a tuple"
        wanted = ", ".join(needed) or "no inputs"
        raise ExportError(
            f"{type(module).__name__}.forward takes {wanted}, and example_inputs holds {len(given)} "
            f"tensor{'s' * (len(given) != 1)}; pass one for each, {told}"
        )
    extra = [f"input_{index}" for index in range(len(named), len(given))]
    return dict(zip([*named, *extra], given, strict=False))


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(module: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(module.forward).parameters.values())


def _by_parameter(
    module: Any, example: Mapping[Any, Any], known: Sequence[inspect.Parameter]
) -> dict[str, Any]:
    names = [p.name for p in known if p.kind not in _VARIABLE]
    free = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known)
    for name, value in example.items():
        if not isinstance(name, str) or (name not in names and not free):
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names)}"
            raise ExportError(
                f"{type(module).__name__}.forward has no parameter {shorten(repr(name))}; {hint}"
            )
        if not isinstance(value, (torch.Tensor, np.ndarray)):
            raise ExportError(
                f"example_inputs[{name!r}] is {_a(type(value).__name__)}; pass a tensor, or give "
                "forward's parameter this value as its default and leave it out"
            )
    missing = [
        p.name
        for p in known
        if p.default is p.empty and p.kind not in _VARIABLE and p.name not in example
    ]
    if missing or not example:
        raise ExportError(
            f"example_inputs lacks {', '.join(map(repr, missing)) or 'every input'}, which "
            f"{type(module).__name__}.forward takes"
        )
    order = {name: index for index, name in enumerate(names)}
    return dict(sorted(example.items(), key=lambda item: order.get(item[0], len(order))))


def _chosen_names(parameters: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(parameters)
    if len(names) != len(parameters):
        raise ExportError(
            f"features= has {len(names)} names, and the module takes {len(parameters)} inputs: "
            f"{', '.join(parameters)}"
        )
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as err:
            raise ExportError(f"the input name {name!r} is no valid Unicode; rename it") from err
    return tuple(names)


def _plain(module: Any, name: str, value: Any) -> Array:
    """A tensor as an array. numpy's float64 becomes the type of the module's own weights."""
    if isinstance(value, np.ndarray):
        value = _from_numpy(module, name, value)
    if value.is_complex() or value.is_quantized or value.layout != torch.strided:
        raise ExportError(
            f"the example of {name!r} is complex, sparse or quantized; pass a dense tensor of numbers"
        )
    if value.dtype not in DATATYPES:
        dtype = str(value.dtype).removeprefix("torch.")
        raise ExportError(
            f"the example of {name!r} is {dtype}, which JSON and numpy don't know; pass float32"
        )
    if value.device.type == "meta":
        raise ExportError(f"the example of {name!r} holds no numbers; pass a tensor on the CPU")
    array: Array = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    return array


def _from_numpy(module: Any, name: str, value: Array) -> Any:
    try:
        tensor = as_tensor(value)
    except TypeError as err:
        raise ExportError(
            f"the example of {name!r} is an array of {value.dtype}, which torch doesn't know; pass "
            "numbers or booleans"
        ) from err
    weights = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if tensor.dtype == torch.float64 and weights == {torch.float32}:
        return tensor.to(torch.float32)
    return tensor


def _check_rows(names: Sequence[str], batch: Sequence[Array]) -> None:
    for name, array in zip(names, batch, strict=True):
        if array.ndim == 0:
            raise ExportError(
                f"the example of {name!r} is a single number; its first dimension is the batch: "
                "pass one number a row"
            )
        if len(array) == 0:
            raise ExportError(f"the example of {name!r} has no rows; pass one at least")
    rows = {name: len(array) for name, array in zip(names, batch, strict=True)}
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
        raise ExportError(
            f"dimension 0 is the batch, and the examples have different numbers of rows: {told}; "
            "pass as many rows of each"
        )


def _inputs(
    parameters: Sequence[str],
    names: Sequence[str],
    batches: Sequence[Sequence[Array]],
    dynamic_axes: Any,
) -> tuple[Input, ...]:
    declared = _read_axes(dynamic_axes, parameters, names, batches[0])
    found = []
    for index, (parameter, name) in enumerate(zip(parameters, names, strict=True)):
        arrays = [batch[index] for batch in batches]
        kinds = {(array.dtype, array.ndim) for array in arrays}
        if len(kinds) > 1:
            raise ExportError(
                f"the examples of {name!r} differ in datatype or in the number of dimensions; "
                "they may differ in sizes alone"
            )
        symbols = dict(declared[index])
        for axis in range(1, arrays[0].ndim):
            if len({array.shape[axis] for array in arrays}) > 1:
                symbols.setdefault(axis, f"{name}_{axis}")
        shape = arrays[0].shape
        sizes = tuple(None if axis in symbols else shape[axis] for axis in range(1, len(shape)))
        if 0 in sizes:
            raise ExportError(f"the example of {name!r} has the shape {shape}, which holds nothing")
        datatype = DATATYPES[as_tensor(arrays[0][:1]).dtype]
        found.append(Input(parameter, name, datatype, sizes, symbols))
    return tuple(found)


def _read_axes(
    dynamic_axes: Any,
    parameters: Sequence[str],
    names: Sequence[str],
    batch: Sequence[Array],
) -> list[dict[int, str]]:
    """For each input the names of its dynamic dimensions; the batch always is one."""
    found: list[dict[int, str]] = [{} for _ in names]
    if dynamic_axes is None:
        return found
    if not isinstance(dynamic_axes, Mapping):
        raise ExportError(
            f"dynamic_axes= takes {{input: {{dimension: name}}}} or {{input: [dimensions]}}, and is "
            f"{shorten(repr(dynamic_axes))}"
        )
    for key, axes in dynamic_axes.items():
        if key in names or key in parameters:
            index = list(names if key in names else parameters).index(key)
            found[index] = _axes_of(str(names[index]), axes, batch[index].ndim)
        elif not isinstance(axes, (Mapping, list, tuple)) or set(axes) - {0}:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the inputs are {', '.join(names)}"
            raise ExportError(
                f"dynamic_axes= names {shorten(repr(key))}, which is no input; {hint}"
            )
    return found


def _axes_of(name: str, axes: Any, ndim: int) -> dict[int, str]:
    wrong = ExportError(
        f"dynamic_axes[{name!r}] takes dimensions from 1 to {ndim - 1}, as {{1: name}} or [1]; "
        f"it is {shorten(repr(axes))} (dimension 0 is the batch, and always dynamic)"
    )
    if not isinstance(axes, (Mapping, list, tuple, set, frozenset)):
        raise wrong
    spelled = dict(axes) if isinstance(axes, Mapping) else dict.fromkeys(axes)
    found = {}
    for axis, symbol in spelled.items():
        if isinstance(axis, bool) or not isinstance(axis, int) or not -ndim <= axis < ndim:
            raise wrong
        place = axis % ndim
        if place:
            found[place] = str(symbol) if symbol is not None else f"{name}_{place}"
    return found


def read_scalings(preprocessing: Any, examples: Examples) -> tuple[Scaling | None, ...]:
    """Reads `preprocessing={input: {"scale", "mean", "std"}}`, one for each input."""
    if preprocessing is None:
        return (None,) * len(examples.inputs)
    if not isinstance(preprocessing, Mapping):
        raise ExportError(
            'preprocessing= takes {input: {"scale": number, "mean": [...], "std": [...]}}, and is '
            f"{shorten(repr(preprocessing))}"
        )
    for key in preprocessing:
        if key not in examples.names:
            raise ExportError(
                f"preprocessing= names {shorten(repr(key))}, which is no input; "
                f"the inputs are {', '.join(examples.names)}"
            )
    return tuple(
        _scaling(each.name, preprocessing[each.name], array) if each.name in preprocessing else None
        for each, array in zip(examples.inputs, examples.batches[0], strict=True)
    )


def _scaling(name: str, given: Any, array: Array) -> Scaling:
    where = f"preprocessing[{name!r}]"
    if not isinstance(given, Mapping) or not given:
        raise ExportError(f"{where} takes scale, mean and std; it is {shorten(repr(given))}")
    wrong = [key for key in given if key not in ("scale", "mean", "std")]
    if wrong:
        raise ExportError(f"{where} has the key {wrong[0]!r}; it takes scale, mean and std")
    if array.dtype.kind not in "fiu":
        raise ExportError(f"{where} scales numbers, and the input holds {array.dtype}")
    channels = array.shape[1] if array.ndim > 1 else 1
    scale = _numbers(f"{where}['scale']", given.get("scale", 1.0), 1)
    mean = _numbers(f"{where}['mean']", given.get("mean", 0.0), channels)
    std = _numbers(f"{where}['std']", given.get("std", 1.0), channels)
    if len(scale) != 1 or not all(std):
        raise ExportError(f"{where}: scale is one number, and no std is zero")
    return Scaling(scale[0], mean, std)


def _numbers(where: str, given: Any, channels: int) -> tuple[float, ...]:
    """One number, or one for each channel."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError) as err:
        raise ExportError(f"{where} takes numbers, and is {shorten(repr(given))}") from err
    if values.ndim != 1 or len(values) not in (1, channels) or not np.isfinite(values).all():
        raise ExportError(
            f"{where} takes one number, or one for each of the {channels} channels (dimension 1); "
            f"it is {shorten(repr(given))}"
        )
    return tuple(values.tolist())


def _a(kind: str) -> str:
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"

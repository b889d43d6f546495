"""A PyTorch module as it answers rows: unwrapped, a private copy in evaluation mode, its answers flat and by name."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onnxport.errors import UnsupportedModel
from onnxport.export.sample_errors import library_says
from onnxport.modelfile import MAX_BYTES
from onnxport.tensors import Array, Arrays

# What a module may give, and what a model file can carry.
DATATYPES = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}
_MANY_WEIGHTS = 2_000_000
_HALF = (torch.float16, torch.bfloat16)


class Refused(Exception):
    """The module itself raised; the message is its own."""


@dataclass(frozen=True)
class Scaling:
    """(x * scale - mean) / std in float32, mean and std by channel, which is dimension 1."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Flat(torch.nn.Module):  # type: ignore[misc]
    """A module that takes its inputs by position and answers a tuple of tensors.

    keywords: the parameters of `forward` that get the inputs, or None where they go by position.
    scalings: one for each input, None where it goes in as it is.
    """

    def __init__(
        self,
        module: Any,
        keywords: Sequence[str] | None,
        scalings: Sequence[Scaling | None],
    ) -> None:
        super().__init__()
        self.module = module
        self._keywords = None if keywords is None else tuple(keywords)
        self._scalings = tuple(scalings)
        self.register_buffer("precision", torch.ones(()))  # float64 where all of it is

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        return tuple(tensor for _, tensor in named_tensors(self.answered(*tensors)))

    def answered(self, *tensors: Any) -> Any:
        """What the module itself answers."""
        given = [
            tensor if scaling is None else _scaled(tensor, scaling, self.precision.dtype)
            for tensor, scaling in zip(tensors, self._scalings, strict=True)
        ]
        if self._keywords is None:
            return self.module(*given)
        return self.module(**dict(zip(self._keywords, given, strict=True)))


def _scaled(tensor: Any, scaling: Scaling, dtype: Any) -> Any:
    channels = (-1, *([1] * (tensor.dim() - 2)))
    found = tensor.to(dtype) * scaling.scale
    if any(scaling.mean):
        found = found - torch.tensor(scaling.mean, dtype=dtype).reshape(channels)
    if any(value != 1 for value in scaling.std):
        found = found / torch.tensor(scaling.std, dtype=dtype).reshape(channels)
    return found


def named_tensors(answer: Any) -> list[tuple[str, Any]]:
    """The tensors of an answer with their names: `output`, `output_0` ..., or the keys of a dict, the
    fields of a named tuple or a dataclass. None is left out.
    """
    found = list(_walk(answer, ""))
    if len(found) == 1 and found[0][0].removeprefix("output_").isdigit():
        return [("output", found[0][1])]
    return found


def _walk(answer: Any, name: str) -> Iterator[tuple[str, Any]]:
    if answer is None:
        return
    if isinstance(answer, torch.Tensor):
        yield name or "output", answer
        return
    for key, value in _parts(answer, name):
        yield from _walk(value, f"{name}_{key}" if name else key)


def _parts(answer: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(answer, Mapping):
        return [(str(key), value) for key, value in answer.items()]
    if dataclasses.is_dataclass(answer):
        return [(f.name, getattr(answer, f.name)) for f in dataclasses.fields(answer)]
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return list(zip(answer._fields, answer, strict=True))
    if isinstance(answer, (list, tuple)):
        first = "" if name else "output_"
        return [(f"{first}{index}", value) for index, value in enumerate(answer)]
    raise TypeError(f"a {type(answer).__name__}")


def unsupported(module: Any, reason: str, nearest: str, parameter: str | None = None) -> Any:
    """The refusal of a module, or of one inside it."""
    return UnsupportedModel(
        step="",
        estimator=type(module).__name__,
        reason=reason,
        nearest=nearest,
        parameter=parameter,
    )


def read_module(model: Any) -> Any:
    """The module without what torch.compile and DataParallel put around it. Raises UnsupportedModel
    for one that can't become a graph.
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            break
    _check_kind(model)
    _check_weights(model)
    return model


def _check_kind(module: Any) -> None:
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise unsupported(
                module,
                "it holds a ScriptModule, whose Python code is gone",
                "Pass the module that torch.jit.script or torch.jit.trace was given.",
            )
        if ".quantized" in type(part).__module__ or (hasattr(part, "qconfig") and part.qconfig):
            raise unsupported(
                module,
                f"{type(part).__name__} computes in quantized integers",
                "Pass the module as it was before quantization, in float32.",
            )


def _check_weights(module: Any) -> None:
    weights = [*module.named_parameters(), *module.named_buffers()]
    total = 0
    for name, weight in weights:
        if isinstance(weight, torch.nn.parameter.UninitializedTensorMixin):
            raise unsupported(
                module,
                f"its weight {name} gets its shape from the first batch",
                "Call the module on a batch once, then save it.",
            )
        total += weight.numel() * weight.element_size()
        if weight.device.type == "meta":
            raise unsupported(
                module, f"its weight {name} holds no numbers", "Load the weights, then save."
            )
        if weight.dtype in _HALF:
            raise unsupported(
                module,
                f"its weight {name} is {str(weight.dtype).removeprefix('torch.')}, in which ONNX "
                "Runtime doesn't compute on CPUs",
                "Call module.float() and save that.",
            )
        if weight.is_complex() or weight.layout != torch.strided or weight.is_quantized:
            raise unsupported(
                module,
                f"its weight {name} is complex, sparse or quantized, which ONNX has no operators for",
                "Keep the weights as dense floating-point numbers.",
            )
    if total > MAX_BYTES - 2**20:
        raise unsupported(
            module,
            f"its weights take {total:,} bytes, and a model file holds at most 2 GB",
            "Save a smaller module.",
        )


@contextmanager
def hushed() -> Iterator[None]:
    """A forward's own warnings are for who trains it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _threads(module: Any) -> Iterator[None]:
    """One thread for a small module, which others would only keep waiting."""
    before = torch.get_num_threads()
    small = sum(weight.numel() for weight in module.parameters()) < _MANY_WEIGHTS
    try:
        if small:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def private_copy(module: Any) -> Iterator[Any]:
    """The module on the CPU in evaluation mode, while the caller's own, the random number generator and
    the number of threads stay as they are.
    """
    with torch.random.fork_rng(devices=[]), _threads(module):
        modes = [(part, part.training) for part in module.modules()]
        try:
            with hushed():
                copied = copy.deepcopy(module).to("cpu")
        except (RuntimeError, TypeError, NotImplementedError) as err:
            on_cpu = all(p.device.type == "cpu" for p in module.parameters())
            if not on_cpu:
                raise unsupported(
                    module,
                    f"it can't be copied to the CPU: {library_says(err)}",
                    "Call module.cpu() and save that.",
                ) from err
            copied = module
        try:
            with torch.no_grad():
                yield copied.eval()
        finally:
            for part, training in modes:
                part.training = training


def ask(flat: Flat, arrays: Sequence[Array]) -> list[Array]:
    """The module's answers to one batch. Raises Refused where it raises."""
    try:
        with hushed():
            return [tensor.numpy(force=True) for tensor in flat(*map(as_tensor, arrays))]
    except Exception as err:  # a module may refuse with any exception
        raise Refused(library_says(err)) from err


def as_tensor(array: Array) -> Any:
    return torch.from_numpy(np.array(array, order="C"))  # a copy: a forward may change it in place


def by_name(names: Sequence[str], answers: Sequence[Array]) -> Arrays:
    return dict(zip(names, answers, strict=True))

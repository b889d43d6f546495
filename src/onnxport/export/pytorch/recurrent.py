"""LSTM, GRU and RNN as one ONNX operator a layer: torch.export writes out the steps, which fixes their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

# Where ONNX's gates stand among torch's: iofc of ifgo, zrh of rzn (aten/src/ATen/native/RNN.cpp, and ONNX's
# operators LSTM-14, GRU-14, RNN-14).
_GATES: dict[str, tuple[int, ...]] = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
_CLASSES = {torch.nn.LSTM: "LSTM", torch.nn.GRU: "GRU", torch.nn.RNN: "RNN"}
_OPSET = 14


@contextmanager
def recurrent_operators(module: Any) -> Iterator[None]:
    """While a module is traced, its recurrent layers are single operators. Only layers with a
    projection of the state stay as they are, as ONNX has none.
    """
    parts = [p for p in module.modules() if type(p) in _CLASSES and not p.proj_size]
    try:
        for part in parts:
            for key, weight in _weights(part).items():
                part.register_buffer(key, weight, persistent=False)
            part.forward = partial(_forward, part)
        yield
    finally:
        for part in parts:
            vars(part).pop("forward", None)
            for key in [key for key in part._buffers if key.startswith("onnx_")]:
                delattr(part, key)


def _weights(part: Any) -> dict[str, Any]:
    """By layer W [directions, gates * hidden, inputs], R [.., hidden], B [.., 2 * gates * hidden]."""
    found = {}
    for layer in range(part.num_layers):
        ends = [f"_l{layer}{reverse}" for reverse in ("", "_reverse")[: _directions(part)]]
        for key, names in (("w", ("weight_ih",)), ("r", ("weight_hh",)), ("b", _biases(part))):
            if names:
                rows = [torch.cat([_gates(part, name + end) for name in names]) for end in ends]
                found[f"onnx_{key}{layer}"] = torch.stack(rows)
    return found


def _biases(part: Any) -> tuple[str, ...]:
    return ("bias_ih", "bias_hh") if part.bias else ()


def _gates(part: Any, name: str) -> Any:
    weight = getattr(part, name).detach()
    order = _GATES[_CLASSES[type(part)]]
    return torch.cat([weight.chunk(len(order))[gate] for gate in order])


def _directions(part: Any) -> int:
    return 2 if part.bidirectional else 1


def _forward(part: Any, given: Any, hx: Any = None) -> Any:
    """What `forward` of the layer gives, [rows, time, ...] or [time, rows, ...] as it is set."""
    if not isinstance(given, torch.Tensor):
        raise TypeError("a PackedSequence: pass padded tensors, and mask what is behind the end")
    batched = given.dim() == 3
    if not batched:
        given = given.unsqueeze(0 if part.batch_first else 1)
        hx = _unbatched(hx)
    sequence = given.transpose(0, 1) if part.batch_first else given
    kind = _CLASSES[type(part)]
    starts = () if hx is None else (hx if kind == "LSTM" else (hx,))
    states: list[Sequence[Any]] = []
    for layer in range(part.num_layers):
        sequence, last = _layer(part, kind, layer, sequence, starts)
        states.append(last)
    ends = [torch.cat(each) for each in zip(*states, strict=True)]
    output = sequence.transpose(0, 1) if part.batch_first else sequence
    if not batched:
        output = output.squeeze(0 if part.batch_first else 1)
        ends = [end.squeeze(1) for end in ends]
    return output, tuple(ends) if kind == "LSTM" else ends[0]


def _unbatched(hx: Any) -> Any:
    if hx is None:
        return None
    return tuple(h.unsqueeze(1) for h in hx) if isinstance(hx, tuple) else hx.unsqueeze(1)


def _layer(
    part: Any, kind: str, layer: int, sequence: Any, starts: Sequence[Any]
) -> tuple[Any, Sequence[Any]]:
    """One layer: the sequence [time, rows, directions * hidden] and its last states."""
    directions, hidden = _directions(part), part.hidden_size
    time, rows = sequence.shape[0], sequence.shape[1]
    own = slice(layer * directions, (layer + 1) * directions)
    weights = [getattr(part, f"onnx_{key}{layer}", None) for key in "wrb"]
    attributes: dict[str, Any] = {
        "hidden_size": hidden,
        "direction": "bidirectional" if directions == 2 else "forward",
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    if kind == "RNN":
        attributes["activations"] = [part.nonlinearity.capitalize()] * directions
    shapes = [(time, directions, rows, hidden), (directions, rows, hidden)]
    count = 3 if kind == "LSTM" else 2
    shapes = [*shapes, *shapes[1:]][:count]
    inputs = [sequence, *weights, None, *(start[own] for start in starts)]
    answer = torch.onnx.ops.symbolic_multi_out(
        kind,
        inputs,
        attributes,
        dtypes=[sequence.dtype] * count,
        shapes=shapes,
        version=_OPSET,
    )
    steps = answer[0].transpose(1, 2).reshape(time, rows, directions * hidden)
    return steps, answer[1:]

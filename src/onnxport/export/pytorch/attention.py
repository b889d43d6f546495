"""Attention as torch computes it: by torch.onnx itself it takes four dimensions only, and masked rows become NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from onnxport.export.pytorch.module import Flat, Refused, ask
from onnxport.tensors import Array

_NATIVE = torch.nn.functional.scaled_dot_product_attention
_LOG_SIGMOID = torch.nn.functional.logsigmoid


@contextmanager
def attention_written_out(*, plain: bool) -> Iterator[None]:
    """While a module is traced, scaled_dot_product_attention is simpler operators: where
    MultiheadAttention calls it, and where the module's own code does.

    plain: rows of which all is masked are NaN, as in TransformerEncoder's own kernel, and not zero.
    """
    functional = torch.nn.functional

    def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Any:  # torch asks for its name
        return _attention(plain, *args, **kwargs)

    try:
        functional.scaled_dot_product_attention = scaled_dot_product_attention
        with _Attention(plain=plain):
            yield
    finally:
        functional.scaled_dot_product_attention = _NATIVE


class _Attention(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
    """Meets the function under whatever name the module has imported it."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is _NATIVE:
            return _attention(self._plain, *args, **kwargs)
        if (
            function is _LOG_SIGMOID
        ):  # ONNX Runtime's Sigmoid ends at -18, and so does its logarithm
            return -torch.nn.functional.softplus(-args[0])
        return function(*args, **kwargs)


def _attention(
    plain: bool,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,  # noqa: ARG001  (torch passes it; it is zero in evaluation)
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """aten/src/ATen/native/transformers/attention.cpp, _scaled_dot_product_attention_math."""
    factor = math.sqrt(1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key = key.repeat_interleave(groups, -3)
        value = value.repeat_interleave(groups, -3)
    scores = (query * factor) @ (key * factor).transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if attn_mask is None:
        return torch.softmax(scores, -1) @ value
    if attn_mask.dtype == torch.bool:
        scores = torch.where(attn_mask, scores, -math.inf)
    else:
        scores = scores + attn_mask
    weights = torch.softmax(scores, -1)
    if not plain and not is_causal:
        nothing = scores.amax(-1, keepdim=True) == -math.inf
        weights = torch.where(nothing, 0.0, weights)
    return weights @ value


@contextmanager
def masks_as_they_are() -> Iterator[None]:
    """While a module is traced, nn.Transformer's layers don't look into a mask whether it is causal,
    which they do for speed alone, and which no graph can.
    """
    layers = torch.nn.modules.transformer
    before = layers._detect_is_causal_mask
    try:
        layers._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)  # noqa: ARG005
        yield
    finally:
        layers._detect_is_causal_mask = before


def masked_is_nan(flat: Flat, rows: Sequence[Array]) -> bool:
    """Whether the module answers NaN where a mask leaves nothing: each input of booleans or integers
    filled with either.
    """
    for index, array in enumerate(rows):
        if array.dtype.kind not in "biu":
            continue
        for value in (0, 1):
            filled = [*rows[:index], np.full_like(array, value), *rows[index + 1 :]]
            try:
                answers = ask(flat, filled)
            except Refused:
                continue
            if any(np.isnan(answer).any() for answer in answers if answer.dtype.kind == "f"):
                return True
    return False

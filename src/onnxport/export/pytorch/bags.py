"""EmbeddingBag with lookups and sums: torch.onnx writes a loop, which ONNX Runtime doesn't open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def bags_of_rows(module: Any) -> Iterator[None]:
    """While a module is traced, its EmbeddingBags take rows of ids without a loop."""
    parts = [part for part in module.modules() if type(part) is torch.nn.EmbeddingBag]
    try:
        for part in parts:
            part.forward = partial(_forward, part, part.forward)
        yield
    finally:
        for part in parts:
            vars(part).pop("forward", None)


def _forward(
    part: Any, before: Any, ids: Any, offsets: Any = None, per_sample_weights: Any = None
) -> Any:
    """aten/src/ATen/native/EmbeddingBag.cpp, for ids [rows, length]: a bag without ids is zero."""
    if offsets is not None or ids.dim() != 2 or part.max_norm is not None:
        return before(ids, offsets, per_sample_weights)
    found = torch.nn.functional.embedding(ids, part.weight)
    if per_sample_weights is not None:
        found = found * per_sample_weights[..., None]
    if part.padding_idx is None:
        return {"sum": found.sum(1), "mean": found.mean(1), "max": found.amax(1)}[part.mode]
    kept = (ids != part.padding_idx)[..., None]
    if part.mode == "max":
        largest = torch.where(kept, found, -math.inf).amax(1)
        return torch.where(kept.any(1), largest, 0.0)
    total = torch.where(kept, found, 0.0).sum(1)
    return total if part.mode == "sum" else total / kept.sum(1).clamp(min=1)

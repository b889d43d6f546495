"""Small PyTorch modules as people write them, seeded or trained, for the tests of `save` and of the server."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class Embedded(nn.Module):
    """Ids [rows] and numbers [rows, 3] to 3 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.layers = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))

    def forward(self, ids: Any, x: Any) -> Any:
        return self.layers(torch.cat([self.table(ids), x], dim=1))


class Translator(nn.Module):
    """Two sequences of their own lengths, at most 32 tokens each, to 5 scores for each source token."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.places = nn.Parameter(torch.randn(32, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.across = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 5)

    def embed(self, tokens: Any) -> Any:
        return self.table(tokens) + self.places[: tokens.shape[1]]

    def forward(self, source: Any, target: Any) -> Any:
        known = self.encoder(self.embed(target))
        asked, _ = self.across(self.embed(source), known, known, need_weights=False)
        return self.out(asked)


class Padded(nn.Module):
    """Tokens and a mask that is true where there is padding, to the mean of the rest."""

    def __init__(self, *, nested: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=nested)

    def forward(self, tokens: Any, padding: Any) -> Any:
        found = self.encoder(self.table(tokens), src_key_padding_mask=padding)
        return found.mean(dim=1)


class Recurrent(nn.Module):
    """A sequence [rows, time, 4] to 2 scores, and the last state of each layer and direction."""

    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.layer = kind(4, 6, batch_first=True, **options)
        self.out = nn.LazyLinear(2)

    def forward(self, x: Any) -> Any:
        steps, last = self.layer(x)
        last = last[0] if isinstance(last, tuple) else last
        return self.out(steps[:, -1]), last.transpose(0, 1)


class Several(nn.Module):
    """A dict of three tensors, with a mask that turns one of them around."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x: Any, flip: Any) -> dict[str, Any]:
        kind = torch.where(flip[:, None], -self.left(x), self.left(x))
        return {"kind": kind, "size": self.right(x).squeeze(), "best": kind.argmax(dim=1)}


class Calling(nn.Module):
    """Calls a function with itself and its inputs: for modules that a test writes in one line."""

    def __init__(self, function: Any, **parts: Any) -> None:
        super().__init__()
        self.function = function
        self.linear = nn.Linear(4, 2)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def convolution() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(72, 10),
    )


@cache
def digits() -> tuple[Any, Any]:
    """Images float32 [1797, 1, 8, 8] from 0 to 16, and their digits."""
    images, codes = load_digits(return_X_y=True)
    return images.reshape(-1, 1, 8, 8).astype(np.float32), codes


@cache
def trained_on_digits() -> Any:
    """A small conv net, trained for a second."""
    torch.manual_seed(0)
    images, codes = (torch.from_numpy(array) for array in digits())
    module = convolution()
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    for _ in range(3):
        for start in range(0, len(images), 64):
            optimizer.zero_grad()
            some = slice(start, start + 64)
            functional.cross_entropy(module(images[some] / 16), codes[some]).backward()
            optimizer.step()
    return module

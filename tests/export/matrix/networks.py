"""Kind 44: networks of PyTorch, through `save` and through torch's own exporter alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import onnxport
from tests.export import torch_modules
from tests.export.torch_modules import DIGITS

BAR = 1e-5
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """make: the module. draw: rows of inputs, so many of them and of such a length. lengths: of the
    dynamic dimension, none where only the batch is dynamic. refused: a row that the module refuses.
    """

    name: str
    make: Callable[[], Any]
    draw: Callable[[int, int], Inputs]
    axes: Mapping[str, Sequence[int]] | None = None
    lengths: Sequence[int] = (1,)
    refused: Inputs | None = None
    labels: Sequence[str] | None = None
    kind: int = 44

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.name}"


def _numbers_and_ids(rows: int, _: int) -> Inputs:
    return {"ids": torch.randint(0, 10, (rows,)), "x": torch.randn(rows, 3)}


def _sentences(rows: int, length: int) -> Inputs:
    return {
        "source": torch.randint(0, 20, (rows, length)),
        "target": torch.randint(0, 20, (rows, length % 5 + 1)),
    }


def _pictures(rows: int, _: int) -> Inputs:
    images, _codes = torch_modules.digits()
    places = torch.randint(0, len(images), (rows,))
    return {"input": torch.from_numpy(images)[places] / 16}


def _series(rows: int, length: int) -> Inputs:
    return {"x": torch.randn(rows, length, 4)}


def _recurrent() -> Any:
    module = torch_modules.Recurrent(torch.nn.GRU)
    module(torch.randn(2, 3, 4))
    return module


NETWORKS = [
    Network(
        "numbers beside ids that are embedded",
        torch_modules.Embedded,
        _numbers_and_ids,
        refused={"ids": torch.tensor([-1]), "x": torch.zeros(1, 3)},
    ),
    Network(
        "a transformer of two dynamic dimensions",
        torch_modules.Translator,
        _sentences,
        axes={"source": [1], "target": [1]},
        lengths=(1, 6, 32),
    ),
    Network(
        "a conv net trained on digits",
        torch_modules.trained_on_digits,
        _pictures,
        labels=DIGITS,
    ),
    Network(
        "a recurrent net over any length", _recurrent, _series, axes={"x": [1]}, lengths=(1, 7, 20)
    ),
]


def built(network: Network) -> Any:
    torch.manual_seed(0)
    return network.make().eval()


def answers(module: Any, inputs: Inputs) -> list[Any]:
    """The module's outputs as arrays."""
    with torch.no_grad():
        found = module(**inputs)
    return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]


def try_ours(network: Network, folder: Path) -> None:
    """Saves, loads, and compares on fresh rows. Raises where it can't be saved, or answers
    differently.
    """
    module, path = built(network), folder / "m.onnx"
    example = network.draw(4, max(network.lengths))
    onnxport.save(module, path, example, labels=network.labels, dynamic_axes=network.axes)
    model = onnxport.load(path)
    for length in network.lengths:
        fresh = network.draw(300, length)
        rows = [{n: tensor[i].numpy() for n, tensor in fresh.items()} for i in range(300)]
        found, wanted = model.predict(rows), answers(module, fresh)
        if network.labels:
            told = [each["prediction"] for each in found]
            assert told == [network.labels[i] for i in wanted[0].argmax(1)]
            wanted = [torch.from_numpy(wanted[0]).double().softmax(1).numpy()]
            found = [{"proba": list(each["probabilities"].values())} for each in found]
        for part, name in zip(wanted, found[0], strict=True):
            got = np.array([each[name] for each in found])
            assert _apart(part, got) <= BAR
    if network.refused is not None:
        row = {name: tensor[0].numpy() for name, tensor in network.refused.items()}
        try:
            model.predict(row)
        except onnxport.errors.ValidationError:
            return
        raise AssertionError("a row that the module refuses is answered")


def try_plain(network: Network) -> str:
    """torch's own exporter, with the dimensions declared dynamic as its documentation advises."""
    module, example = built(network), network.draw(4, max(network.lengths))
    shapes = {
        name: dict.fromkeys([0, *(network.axes or {}).get(name, [])], torch.export.Dim.DYNAMIC)
        for name in example
    }
    quiet = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                module, kwargs=example, dynamo=True, dynamic_shapes=shapes, verbose=False
            )
            content = made.model_proto.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(content, options)
        return _judge(network, module, session)
    except Exception as err:  # torch and ONNX Runtime raise anything
        told = (str(err).strip().splitlines() or [""])[0]
        return f"error: {type(err).__name__}: {told[:90]}"


def _judge(network: Network, module: Any, session: Any) -> str:
    for length in network.lengths:
        for rows in (1, 2, 257):
            fresh = network.draw(rows, length)
            got = session.run(None, {name: tensor.numpy() for name, tensor in fresh.items()})
            pairs = zip(answers(module, fresh), got, strict=True)
            largest = max(_apart(wanted, found) for wanted, found in pairs)
            if largest > BAR:
                return f"numbers differ by {largest:.1g}"
    if network.refused is not None:
        session.run(None, {name: tensor.numpy() for name, tensor in network.refused.items()})
        return "answers ids that the module refuses"
    return "passes"


def _apart(wanted: Any, got: Any) -> float:
    difference = np.abs(wanted.reshape(got.shape) - got) / np.maximum(
        1, np.abs(wanted.reshape(got.shape))
    )
    return float(difference.max(initial=0.0))

"""How a model is opened for serving: a large one with several threads for each run, if they change no answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import onnxport
from onnxport.modelfile import read_model_file
from onnxport.server.service import open_model
from onnxport.session import open_session
from onnxport.settings import Settings
from tests.server import models

ModelFile = Callable[[models.Made], Path]


def network(width: int, seed: int = 0) -> models.Made:
    """Three layers, the widest with width x width weights."""
    rng = np.random.default_rng(seed)
    features = [models.number(f"x{i}", i) for i in range(4)]
    rows = [{f"x{i}": float(value) for i, value in enumerate(rng.normal(size=4))} for _ in range(6)]
    sizes = [(4, width), (width, width), (width, 1)]
    return models.regressor(
        f"network {width} {seed}",
        features,
        [
            helper.make_node("MatMul", ["num", "w0"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w1"], ["c"]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("MatMul", ["d", "w2"], ["value"]),
        ],
        rows=rows,
        constants={f"w{i}": rng.normal(size=size) for i, size in enumerate(sizes)},
    )


def test_a_large_model_gets_threads_and_answers_the_same(model_file: ModelFile) -> None:
    path = model_file(network(1500))
    file = read_model_file(path)
    wide, narrow = open_model(file, Settings(threads=3)), open_model(file, Settings(threads=1))
    assert (wide.threads, narrow.threads) == (3, 1)
    rows = [{f"x{i}": float(i * k) for i in range(4)} for k in range(40)]
    assert wide.predict(rows) == onnxport.load(path).predict(rows)


def test_a_small_model_has_one(model_file: ModelFile) -> None:
    file = read_model_file(model_file(network(16)))
    assert open_model(file, Settings(threads=3)).threads == 1


def test_sessions_that_answer_differently_are_told_apart(model_file: ModelFile) -> None:
    first = read_model_file(model_file(network(16)))
    session = open_session(first)
    assert session.answers_like(open_session(first, threads=2))
    other = network(16, seed=1)
    other = replace(other, rows=network(16).rows)
    assert not session.answers_like(open_session(read_model_file(model_file(other))))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system without affinity")
def test_processors_are_those_that_this_process_may_use() -> None:
    """In a process of its own, bound to one of them."""
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from onnxport.server.threads import usable_processors; print(usable_processors())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "1\n"

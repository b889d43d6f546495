"""Golden requests and the watch, against servers that are real: the right one, another, and one that ends."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from onnxport.deploy.golden import judge, judge_other, watch
from onnxport.modelfile import read_model_file
from tests.serving import ServerProcess


def serving(model: Path) -> ServerProcess:
    return ServerProcess("serve", model, "--port", "0")


def watched(url: str, model: Path, *, known: bool = True, seconds: float = 2.0) -> str:
    """The fault that shows. known: whether the model's file is here, or its digest alone is known."""
    digest = read_model_file(model).digest
    file = model if known else None
    return watch(url, file, digest, None, seconds=seconds, ill=lambda: "")


def test_the_right_model_is_well(models: dict[str, Path]) -> None:
    with serving(models["1.0"]) as server:
        found = judge(server.url, models["1.0"], None, latency_ms=5000, seconds=10)
        assert (found.fault, found.rows > 10) == ("", True)
        assert watched(server.url, models["1.0"]) == ""
        assert watched(server.url, models["1.0"], known=False) == ""


def test_another_model_is_found_by_the_watch(models: dict[str, Path]) -> None:
    with serving(models["1.0"]) as server:
        began = time.monotonic()
        assert "it serves another file, iris 1.0" in watched(server.url, models["2.0"], seconds=60)
        assert time.monotonic() - began < 30  # a wrong answer isn't waited on
        digest = read_model_file(models["2.0"]).digest
        assert "another model" in judge_other(server.url, digest, None, seconds=5).fault
        assert "another model" in watched(server.url, models["2.0"], known=False, seconds=60)


def test_a_server_that_ends_is_found_by_the_watch(models: dict[str, Path]) -> None:
    with serving(models["1.0"]) as server:
        url = server.url
        threading.Timer(1.5, server.process.terminate).start()
        assert "can't be reached" in watched(url, models["1.0"], seconds=60)


def test_a_complaint_of_the_platform_ends_the_watch(models: dict[str, Path]) -> None:
    with serving(models["1.0"]) as server:
        digest = read_model_file(models["1.0"]).digest
        told = iter(["", "health is Red: 502"])
        fault = watch(server.url, models["1.0"], digest, None, seconds=60, ill=lambda: next(told))
        assert fault == "health is Red: 502"


@pytest.mark.long
@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_hangs_is_no_answer_however_short_the_watch(
    models: dict[str, Path], known: bool
) -> None:
    with serving(models["1.0"]) as server:
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert watched(server.url, models["1.0"], known=known, seconds=0.5) != ""
        finally:
            server.process.send_signal(signal.SIGCONT)

"""`inspect`, `check` and `openapi`: what they print, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxport.modelfile import read_model_file
from tests.cli.conftest import Terminal
from tests.server import models


def test_inspect(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("inspect", every_kind)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("model every kind\n")
    assert f"digest           {read_model_file(every_kind).digest}\n" in done.out
    assert "  self-test rows   2\n" in done.out


def test_inspect_for_scripts(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("inspect", every_kind, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts.keys() == {"format", "manifest", "selftest_rows", "baseline", "digest", "size"}
    assert facts["size"] == every_kind.stat().st_size
    assert facts["manifest"]["model"]["name"] == "every kind"
    assert "東京" in done.out


def test_inspect_runs_nothing(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("inspect", every_kind, flags=("-X", "importtime"))
    assert done.code == 0
    assert "onnxruntime" not in done.err


def test_inspect_tells_of_a_mismatch(onnxport: Terminal) -> None:
    path = models.write_to(onnxport.folder, models.reciprocal(accepted_mismatch=True))
    assert "answers differently from its estimator" in onnxport("inspect", path).out


def test_inspect_refuses_a_damaged_file(onnxport: Terminal, every_kind: Path) -> None:
    (onnxport.folder / "half.onnx").write_bytes(every_kind.read_bytes()[:-100])
    done = onnxport("inspect", "half.onnx")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("onnxport: half.onnx: ")
    assert done.err.count("\n") == 1


def test_check_a_file(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("check", every_kind)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("passed\n")


def test_check_a_url(onnxport: Terminal, every_kind: Path, url: str) -> None:
    done = onnxport("check", url, "--model", every_kind)
    assert (done.code, done.err) == (0, "")
    assert "it serves this file" in done.out
    assert "2 rows: 0 label flips, worst difference 0" in done.out


def test_check_for_scripts(onnxport: Terminal, every_kind: Path, url: str) -> None:
    done = onnxport("check", url, "--model", every_kind, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["passed"] is True
    assert report["latency"]["p50"] > 0


def test_a_check_that_fails(onnxport: Terminal, url: str) -> None:
    other = models.write_to(onnxport.folder, models.iris())
    done = onnxport("check", url, "--model", other, "--json")
    assert done.code == 1
    assert json.loads(done.out)["passed"] is False
    assert done.err.startswith(
        "onnxport: the check failed: it serves another file, every kind 1 (digest "
    )
    assert done.err.count("\n") == 1


def test_a_check_of_a_server_that_is_down(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("check", "http://127.0.0.1:9", "--model", every_kind, "--json")
    assert done.code == 1
    assert json.loads(done.out)["passed"] is False
    assert done.err.startswith("onnxport: the check failed: http://127.0.0.1:9 can't be reached (")
    assert done.err.count("\n") == 1


def test_a_damaged_file_fails_the_check(onnxport: Terminal, every_kind: Path) -> None:
    (onnxport.folder / "half.onnx").write_bytes(every_kind.read_bytes()[:-100])
    done = onnxport("check", "half.onnx")
    assert done.code == 1
    assert done.out.endswith("failed\n")


@pytest.mark.parametrize("how", ["environment", "file"])
def test_the_key_goes_to_the_server(
    onnxport: Terminal, every_kind: Path, url: str, how: str
) -> None:
    """A key that can't be a key is refused before it is sent: so it was read."""
    onnxport.write("key", "two words\n")
    env = {"ONNXPORT_API_KEY": "two words"} if how == "environment" else {}
    option = ["--api-key-file", "key"] if how == "file" else []
    done = onnxport("check", url, "--model", every_kind, *option, env=env)
    assert done.code == 2
    assert done.err.startswith(
        "onnxport: the API key is empty or holds characters that no key has\n"
    )


def test_openapi(onnxport: Terminal, every_kind: Path) -> None:
    done = onnxport("openapi", every_kind)
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["openapi"].startswith("3.")
    assert "/predict" in document["paths"]

"""What happens when the server, not the caller, is at fault: the caller learns an id, the log learns the rest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from onnxport.errors import ClientError, InferenceError, OverloadedError, RequestError
from onnxport.server import problems
from tests.server import models
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]


def test_a_failing_runtime_is_a_500_that_says_nothing(model_file: ModelFile) -> None:
    with ServerProcess("serve", model_file(models.fragile()), "--port", "0") as server:
        url = f"{server.url}/predict"
        assert requests.post(url, json={"x": 2}, timeout=5).json() == {"prediction": 30.0}
        failed = requests.post(url, json={"x": 77}, headers={"X-Request-ID": "find-me"}, timeout=5)
        assert requests.post(url, json={"x": 0}, timeout=5).json() == {"prediction": 10.0}
    assert failed.status_code == 500
    assert failed.json() == {
        "detail": [
            {
                "type": "internal",
                "loc": [],
                "msg": "the server failed; tell its operator the request id",
            }
        ],
        "request_id": "find-me",
    }
    assert any("request find-me failed" in line for line in server.stderr)
    assert "RuntimeRefusal" in server.log
    assert "77" not in failed.text


def test_an_overloaded_server_says_when_to_come_back() -> None:
    told = problems.describe(OverloadedError())
    assert (told.status, told.details[0].code) == (503, "overloaded")
    assert int(told.headers["Retry-After"]) > 0


def test_an_unknown_error_says_nothing() -> None:
    for err in (KeyError("/secret/path"), InferenceError("node_7 of the graph")):
        answer = problems.render(err, "an-id")
        assert answer.status == 500
        assert b"secret" not in answer.content
        assert b"node_7" not in answer.content


def test_every_request_error_has_a_status() -> None:
    for kind in RequestError.__subclasses__():
        assert issubclass(kind, ClientError) or any(
            issubclass(kind, listed) for listed, _ in problems.STATUSES
        ), kind


@pytest.mark.parametrize("module", ["import onnxport\napp = onnxport.create_app({path!r})\n"])
def test_any_asgi_server_can_run_the_application(
    model_file: ModelFile, tmp_path: Path, module: str
) -> None:
    (tmp_path / "shop.py").write_text(module.format(path=str(model_file(models.iris()))))
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ONNXPORT_MAX_ROWS": "1"},
    ) as process:
        assert process.stderr is not None
        url = next(
            found[1] for line in process.stderr if (found := re.search(r"(http://\S+)", line))
        )
        try:
            row = requests.get(f"{url}/openapi.json", timeout=5).json()["components"]["schemas"][
                "Row"
            ]
            answer = requests.post(f"{url}/predict", json=row["examples"][0], timeout=5)
            assert answer.status_code == 200
            many = requests.post(f"{url}/predict", json=[row["examples"][0]] * 2, timeout=5)
            assert many.json()["detail"][0]["type"] == "too_many_rows"
        finally:
            process.terminate()

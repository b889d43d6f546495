"""The server's life: where it may listen, what it says, what it finishes, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from onnxport.errors import ModelFileError, SettingsError
from onnxport.server.run import bind, serve
from onnxport.settings import Settings
from tests.server import models
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]
ROWS = [{"x": 1.0}] * 1500  # seconds of work for the slow model


def start(path: Path, *options: str) -> ServerProcess:
    return ServerProcess("serve", path, "--port", "0", *options)


def predict(url: str, rows: object) -> requests.Response:
    return requests.post(f"{url}/predict", json=rows, timeout=60)


def test_health_answers_while_a_long_prediction_runs(model_file: ModelFile) -> None:
    with (
        start(model_file(models.slow()), "--deadline", "60") as server,
        ThreadPoolExecutor() as pool,
    ):
        began = time.monotonic()
        long = pool.submit(predict, server.url, ROWS)
        time.sleep(0.3)
        waits = []
        while not long.done():
            asked = time.monotonic()
            assert requests.get(f"{server.url}/health/ready", timeout=5).status_code == 200
            waits.append(time.monotonic() - asked)
        assert long.result().status_code == 200
        assert time.monotonic() - began > 1.0, "the long prediction was none"
        assert len(waits) > 3
        assert max(waits) < 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered_before_the_end(
    model_file: ModelFile, number: signal.Signals
) -> None:
    server = start(model_file(models.slow()), "--deadline", "60")
    with ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url, ROWS)
        time.sleep(0.5)
        server.process.send_signal(number)
        assert server.process.wait(timeout=30) == 0
        answer = long.result()
    assert server.stop() == 0
    assert answer.status_code == 200
    assert len(answer.json()) == len(ROWS)
    assert answer.headers["Connection"] == "close"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/health/live", timeout=5)
    assert "Traceback" not in server.log


def test_an_idle_keep_alive_connection_does_not_hold_up_the_end(model_file: ModelFile) -> None:
    server = start(model_file(models.iris()))
    idle = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    idle.request("GET", "/health/live")
    idle.getresponse().read()
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 3
    idle.close()


def test_where_others_can_reach_it_readiness_is_withdrawn_first(model_file: ModelFile) -> None:
    server = start(model_file(models.iris()), "--host", "0.0.0.0", "--insecure")
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert requests.get(f"{url}/health/ready", timeout=5).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    ready = requests.get(f"{url}/health/ready", timeout=5)
    assert (ready.status_code, ready.json()["detail"][0]["type"]) == (503, "draining")
    assert int(ready.headers["Retry-After"]) > 0
    assert ready.headers["Connection"] == "close"
    assert requests.get(f"{url}/health/live", timeout=5).status_code == 200
    assert predict(url, []).status_code == 200
    assert server.stop() == 0  # the second signal hurries


def test_work_that_does_not_end_in_time_is_cut_off(model_file: ModelFile) -> None:
    server = start(model_file(models.slow()), "--shutdown-timeout", "1")
    with ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url, ROWS * 5)
        time.sleep(0.5)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 3
        answer = long.result()
    assert (answer.status_code, answer.json()["detail"][0]["type"]) == (503, "draining")
    assert "Traceback" not in server.log


def test_a_second_signal_hurries(model_file: ModelFile) -> None:
    server = start(model_file(models.slow()), "--deadline", "60")
    with ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url, ROWS * 5)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 2
        assert (
            isinstance(long.exception(), requests.ConnectionError)
            or long.result().status_code == 503
        )


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.parametrize("declared", [True, False])
def test_memory_stays_flat_under_an_oversize_body(model_file: ModelFile, *, declared: bool) -> None:
    size, chunk = 200 * 2**20, b" " * 2**20

    def chunks() -> Iterator[bytes]:
        for _ in range(size // len(chunk)):
            peaks.append(resident(server.process.pid))
            yield chunk

    with start(model_file(models.iris())) as server:
        url = server.url
        before, peaks = resident(server.process.pid), list[int]()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        headers = {"Content-Length": str(size)} if declared else {"Transfer-Encoding": "chunked"}
        connection.request("POST", "/predict", chunks(), headers, encode_chunked=not declared)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert (answer.status, told["detail"][0]["type"]) == (413, "too_large")
        assert max(peaks) - before < 30 * 2**20
        assert requests.get(f"{url}/health/live", timeout=5).status_code == 200


def test_it_says_where_it_listens_in_one_plain_line(model_file: ModelFile) -> None:
    with start(model_file(models.iris()), "--log-format", "text") as server:
        url = server.url
    assert server.stderr == [f"listening on {url} (1 worker)\n", "draining\n", "stopped\n"]


def test_an_accepted_mismatch_is_loud(model_file: ModelFile) -> None:
    path = model_file(models.reciprocal(accepted_mismatch=True))
    with start(path, "--log-format", "text") as server:
        facts = requests.get(f"{server.url}/model", timeout=5).json()
        assert facts["parity"]["accepted_mismatch"] is True
    assert any(line.startswith("warning: ") and "allow_mismatch" in line for line in server.stderr)


def test_no_server_header_and_no_absolute_redirect(running: Callable[..., str]) -> None:
    url = running(models.iris())
    root = requests.get(url, allow_redirects=False, timeout=5)
    assert root.status_code == 307
    assert root.headers["Location"] == "docs"
    assert "Server" not in root.headers
    assert requests.get(url, timeout=5).url == f"{url}/docs"


def test_a_root_path_leads_to_the_proxys_address(running: Callable[..., str]) -> None:
    url = running(models.iris(), "--root-path", "/shop/iris")
    assert (
        requests.get(url, allow_redirects=False, timeout=5).headers["Location"] == "/shop/iris/docs"
    )
    assert requests.get(f"{url}/openapi.json", timeout=5).json()["servers"] == [
        {"url": "/shop/iris"}
    ]
    assert predict(url, []).status_code == 200
    assert predict(f"{url}/shop/iris", []).status_code == 200
    assert requests.get(f"{url}/shop/iris/docs", timeout=5).status_code == 200


def test_serve_guards_its_connections(running: Callable[..., str]) -> None:
    answer = requests.get(running(models.iris()), headers={"A": "b" * 20_000}, timeout=5)
    assert answer.status_code == 431
    assert answer.json()["detail"][0]["type"] == "headers_too_large"


def test_a_root_path_and_an_upgrade_log_nothing(model_file: ModelFile) -> None:
    with start(model_file(models.iris()), "--root-path", "/iris", "--log-format", "text") as server:
        url = server.url
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert requests.get(f"{url}/docs", headers=upgrade, timeout=5).status_code == 200
    assert server.stderr == [f"listening on {url} (1 worker)\n", "draining\n", "stopped\n"]


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"127\.0\.0\.1:{port} is taken; choose another port"
        ):
            bind(Settings(port=port))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_address_that_others_reach_needs_insecure(host: str) -> None:
    with pytest.raises(SettingsError, match="--insecure"):
        bind(Settings(host=host, port=0))


@pytest.mark.parametrize(
    ("host", "told"),
    [("192.0.2.7", "no address of this machine"), ("no.such.host.invalid", "is no address")],
)
def test_a_host_that_is_not_ours_is_told(host: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        bind(Settings(host=host, port=0, insecure=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_loopback_needs_nothing(host: str) -> None:
    with bind(Settings(host=host, port=0)) as bound:
        assert bound.getsockname()[1] > 0


def test_a_damaged_file_is_not_served(model_file: ModelFile, tmp_path: Path) -> None:
    content = model_file(models.iris()).read_bytes()
    (tmp_path / "damaged.onnx").write_bytes(content[:-100] + b"\0" * 100)
    with pytest.raises(ModelFileError):
        serve(tmp_path / "damaged.onnx", Settings(port=0))

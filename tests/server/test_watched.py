"""What a running server tells of itself, compared with what its callers know: counts, lines of the log, spans."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.server import models
from tests.server.test_tracing import PARENT, SAMPLED, Collector, collector, facts
from tests.serving import ServerProcess

__all__ = ["collector"]  # a fixture

ModelFile = Callable[[models.Made], Path]
Samples = dict[tuple[str, tuple[str, ...]], float]
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
SECRET = "kq7vJ2xT9mWb4Rz8Yp3Ls6Nd1Hc5Fg0A"


def scrape(url: str) -> Samples:
    """All samples but those of buckets, by name and label values; the model's label left out."""
    answer = requests.get(f"{url}/metrics", timeout=20)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(v for key, v in sample.labels.items() if key != "model")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def answered(samples: Samples, route: str) -> dict[str, float]:
    """How many requests were answered on a route, by status."""
    return {
        labels[1]: count
        for (name, labels), count in samples.items()
        if name == "onnxport_requests_total" and labels[0] == route and count
    }


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    """The log so far; each line must be one JSON object, printable as it is."""
    told = [line.removesuffix("\n") for line in list(server.stderr)]
    assert all(line.isprintable() for line in told), told
    return [orjson.loads(line) for line in told]


def wait_for(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it didn't come to that in time"
        time.sleep(0.05)
    return found


def raw(url: str, request: bytes) -> bytes:
    """All that comes back to these bytes until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# ------------------------------------------------------------------------------------- metrics


def ask_all(url: str) -> Counter[tuple[str, str]]:
    """Requests of all kinds over connections of their own; how many of each route and status there were."""
    asked: list[tuple[str, str, dict[str, Any]]] = [
        *[("POST", "/predict", {"json": ROW})] * 40,
        *[("POST", "/predict", {"json": [ROW, ROW, ROW]})] * 10,
        *[("POST", "/predict", {"data": b"{"})] * 7,
        *[("POST", "/predict", {"json": {**ROW, "petal_width": "wide"}})] * 6,
        *[("GET", "/predict", {})] * 5,
        *[("GET", "/model", {})] * 4,
        *[("GET", "/health/ready", {})] * 8,
        *[("GET", "/docs", {})] * 3,
        *[("GET", "/nowhere", {})] * 2,
    ]
    route = {"/health/ready": "health", "/nowhere": "other"}

    def ask(one: tuple[str, str, dict[str, Any]]) -> tuple[str, str]:
        method, path, more = one
        status = requests.request(method, url + path, timeout=20, **more).status_code
        return route.get(path, path.strip("/")), str(status)

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(ask, asked))


def test_any_worker_tells_what_all_have_answered_and_a_killed_one_takes_nothing_with_it(
    model_file: ModelFile,
) -> None:
    with ServerProcess(
        "serve", model_file(models.iris()), "--port", "0", "--workers", "2"
    ) as server:
        expected = ask_all(server.url)
        # An answer is counted as soon as it is on its way, which its caller may know earlier than another worker.
        total = expected.total()
        samples = wait_for(lambda: s if _total(s := scrape(server.url)) == total else None)
        for route in ("predict", "model", "health", "docs", "other"):
            counted = {status: n for (name, status), n in expected.items() if name == route}
            assert answered(samples, route) == counted
        assert samples["onnxport_rows_total", ()] == 40 + 10 * 3
        assert samples["onnxport_rejected_total", ("invalid_json",)] == 7
        assert samples["onnxport_rejected_total", ("wrong_type",)] == 6
        assert samples["onnxport_rejected_total", ("not_found",)] == 2
        assert samples["onnxport_workers", ()] == 2
        assert samples["onnxport_request_duration_seconds_count", ("predict",)] == 68
        assert 0 < samples["onnxport_request_duration_seconds_sum", ("predict",)] < 68 * 5

        [victim, _] = wait_for(lambda: _pids(server))
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: "is ready after" in server.log)
        after = scrape(server.url)
        assert answered(after, "predict") == answered(samples, "predict")
        assert after["onnxport_worker_restarts_total", ()] == 1
        wait_for(lambda: scrape(server.url)["onnxport_workers", ()] == 2)
        assert ask_all(server.url) == expected
        wait_for(lambda: answered(scrape(server.url), "predict")["200"] == 100)


def _total(samples: Samples) -> float:
    """All answered requests but the scrapes."""
    routes = ("predict", "model", "health", "docs", "other")
    return sum(sum(answered(samples, route).values()) for route in routes)


def _pids(server: ServerProcess) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    found = [int(word) for word in children.read_text().split()]
    return found if len(found) == 2 else []


def test_callers_who_leave_are_counted_as_lost(model_file: ModelFile) -> None:
    """On both paths: a hot request, and one of a chunked body, which FastAPI answers."""
    with ServerProcess(
        "serve", model_file(models.slow()), "--port", "0", "--threads", "2"
    ) as server:
        rows = json.dumps([{"x": 1.0}] * 200)
        for body in (rows, iter([rows.encode()])):
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
            connection.request("POST", "/predict", body)
            time.sleep(0.2)
            connection.close()
        lost = ("onnxport_requests_lost_total", ())
        wait_for(lambda: scrape(server.url)[lost] == 2)
        samples = scrape(server.url)
        assert answered(samples, "predict") == {}
        assert samples["onnxport_requests_in_flight", ()] == 1  # the scrape itself


# ------------------------------------------------------------------------------------ the log


def test_every_request_has_its_line_and_none_breaks_it(model_file: ModelFile) -> None:
    """Row 22 over HTTP: bytes that would break a line, in every part of a request that the log tells of."""
    nasty = [
        b"%0d%0a",
        b"%1b[2J",
        b"%00",
        b"%e2%80%a8",
        b"%ed%a0%80",
        b'"}',
        b"%22,%22level%22:%22x",
    ]
    nasty += [b"\x80\xff", b"%s%d", b"%0A{%22message%22:1}", b"a" * 9000]
    with ServerProcess(
        "serve", model_file(models.iris()), "--port", "0", "--access-log", "--slow-request", "1"
    ) as server:
        for number, text in enumerate(nasty):
            head = b"GET /%s?token=%s HTTP/1.1\r\nHost: x\r\n" % (text, SECRET.encode())
            ids = b"X-Request-ID: ask-%d\r\n" % number
            odd = b"User-Agent: %b\r\nX-API-Key: %s\r\nConnection: close\r\n\r\n"
            raw(server.url, head + ids + odd % (text[:900], SECRET.encode()))
            raw(server.url, head + b"X-Request-ID: %b\r\nConnection: close\r\n\r\n" % text[:900])
        body = json.dumps({**ROW, SECRET: SECRET})
        good = requests.post(f"{server.url}/predict", json=ROW, timeout=20)
        bad = requests.post(f"{server.url}/predict", data=body, timeout=20)
        wait_for(lambda: bad.headers["X-Request-ID"] in server.log)
    told = lines(server)
    assert SECRET not in server.log
    assert "5.1" not in "".join(line["message"] for line in told)
    access = {line["request_id"]: line for line in told if line["logger"] == "onnxport.access"}
    for answer, status in ((good, 200), (bad, 422)):
        line = access[answer.headers["X-Request-ID"]]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", status)
        assert re.fullmatch(r"127\.0\.0\.1:\d+", line["client"])
        assert 0 < line["duration_ms"] < 5000
    assert {f"ask-{number}" for number in range(len(nasty))} - access.keys() <= {"ask-7"}
    assert {line["level"] for line in told} <= {"info", "warning"}
    messages = [line["message"] for line in told]
    assert (messages[-1], messages.count("draining")) == ("stopped", 1)


def test_a_flood_of_bad_requests_leaves_few_lines(model_file: ModelFile) -> None:
    with ServerProcess("serve", model_file(models.iris()), "--port", "0") as server:
        request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{"
        statuses = re.findall(rb"HTTP/1.1 (\d+)", raw(server.url, request * 1000))
        assert statuses == [b"400"] * 1000
        refused = scrape(server.url)["onnxport_rejected_total", ("invalid_json",)]
        assert refused == 1000
    told = [line for line in lines(server) if line.get("reason") == "invalid_json"]
    assert sum(line.get("count", 1) for line in told) == 1000
    assert 2 <= len(told) < 20
    assert told[0]["message"] == "refused: invalid_json"


def test_a_failure_is_told_once_with_the_id_that_its_caller_got(model_file: ModelFile) -> None:
    with ServerProcess("serve", model_file(models.fragile()), "--port", "0") as server:
        answer = requests.post(f"{server.url}/predict", json={"x": 99.0}, timeout=20)
        assert answer.status_code == 500
        assert answered(scrape(server.url), "predict") == {"500": 1}
    errors = [line for line in lines(server) if line["level"] == "error"]
    [error] = errors
    assert error["request_id"] == answer.json()["request_id"]
    assert error["error"] == "InferenceError"
    assert "Traceback (most recent call last)" in error["traceback"]


def test_slow_requests_are_told_of(model_file: ModelFile) -> None:
    with ServerProcess(
        "serve", model_file(models.slow()), "--port", "0", "--slow-request", "20"
    ) as server:
        rows = [{"x": 1.0}] * 60
        answer = requests.post(f"{server.url}/predict", json=rows, timeout=60)
        assert answer.status_code == 200
    [slow] = [line for line in lines(server) if line["message"] == "slow request"]
    assert slow["request_id"] == answer.headers["X-Request-ID"]
    assert slow["duration_ms"] >= 20
    assert slow["level"] == "warning"


def test_nobody_waits_for_a_log_that_is_not_read(model_file: ModelFile) -> None:
    """4 MiB wait and 64 KiB stand in the pipe; what is beyond is dropped, and the callers don't notice."""
    command = ["serve", model_file(models.iris()), "--port", "0", "--access-log"]
    server = subprocess.Popen(
        [sys.executable, "-m", "onnxport", *map(str, command)], stderr=subprocess.PIPE
    )
    assert server.stderr is not None
    try:
        first = json.loads(server.stderr.readline())["message"]
        url = re.search(r"http://\S+", first)
        assert url
        ask = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 1900)
        for _ in range(50):
            assert raw(url[0], ask * 50).count(b"HTTP/1.1 404") == 50
        samples = scrape(url[0])
        assert samples["onnxport_log_dropped_total", ()] > 100
        assert answered(samples, "other") == {"404": 2500}
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
    finally:
        server.kill()
        server.stderr.close()
        server.wait()


# ------------------------------------------------------------------------------------- traces


def test_both_paths_are_traced(model_file: ModelFile, collector: Collector) -> None:
    """The fast path's requests too, each below its caller's span; the last ones are sent at the end."""
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    command = ("serve", model_file(models.iris()), "--port", "0", "--workers", "2")
    with ServerProcess(*command, env=environment) as server, requests.Session() as session:
        for number in range(4):
            headers = {**SAMPLED, "X-Request-ID": f"id-{number}"}
            session.post(f"{server.url}/predict", json=ROW, headers=headers, timeout=20)
        session.post(f"{server.url}/predict", data="{", headers=SAMPLED, timeout=20)
        session.get(f"{server.url}/model", headers=SAMPLED, timeout=20)
    by_name = Counter(span.name for span in collector.spans)
    assert by_name == {"POST /predict": 5, "GET /model": 1}
    assert {span.parent_span_id.hex() for span in collector.spans} == {PARENT}
    told = [facts(span.attributes) for span in collector.spans]
    assert {f"id-{number}" for number in range(4)} <= {each["onnxport.request_id"] for each in told}
    assert sorted(each["http.response.status_code"] for each in told) == [200] * 5 + [400]
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in collector.spans)

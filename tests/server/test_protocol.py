"""What goes wrong below HTTP, over raw sockets: broken, oversize and slow requests, and those that only look so."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

import onnxport
from onnxport.server.protocol import Limits, limited
from tests.server import models

LIMITS = Limits(
    header_seconds=0.4, body_seconds=0.4, body_rate=1024, linger=0.2, connections=20, chunks=50
)
ROW = b'{"x":1}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server with short limits, in a thread."""
    app = onnxport.create_app(models.write(models.reciprocal()))
    config = uvicorn.Config(
        app, http=limited(LIMITS), lifespan="off", log_config=None, timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[:2]
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture
def caller(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=10) as connection:
        yield connection


def rest(caller: socket.socket) -> bytes:
    """All that still comes until the server closes."""
    received = b""
    while chunk := caller.recv(65536):
        received += chunk
    return received


def one(answer: bytes) -> tuple[int, dict[str, str], Any]:
    """One answer with a Content-Length: status, headers, document."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
    assert int(headers["content-length"]) == len(body)
    return int(status.split()[1]), headers, json.loads(body)


def request(body: bytes = ROW, more: bytes = b"") -> bytes:
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"hello\r\n\r\n", 400, "bad_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    "a bad length": (HEAD + b"Content-Length: x\r\n\r\n", 400, "bad_request"),
    "a bad chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
    "a long header": (request(more=b"A: " + b"b" * 16400 + b"\r\n"), 431, "headers_too_large"),
    "an endless header": (HEAD + b"A: " + b"b" * 20000, 431, "headers_too_large"),
    "an endless path": (b"GET /" + b"b" * 20000, 431, "headers_too_large"),
    "many headers": (request(more=b"A: b\r\n" * 63), 431, "headers_too_large"),
    "an endless trailer": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 400_000,
        431,
        "headers_too_large",
    ),
    "slow headers": (HEAD, 408, "request_timeout"),
    "empty lines": (b"\r\n", 408, "request_timeout"),
    "a slow body": (request()[:-1], 408, "request_timeout"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_json_and_closes(caller: socket.socket, name: str) -> None:
    sent, status, code = REFUSED[name]
    caller.sendall(sent)
    got, headers, told = one(rest(caller))
    assert (got, told["detail"][0]["type"]) == (status, code)
    assert headers["x-request-id"] == told["request_id"]
    assert (headers["connection"], headers["content-type"]) == ("close", "application/json")


def test_headers_within_the_limits_are_taken(caller: socket.socket) -> None:
    caller.sendall(request(more=b"A: " + b"b" * 15900 + b"\r\n" + b"A: b\r\n" * 60))
    assert caller.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_trickled_header_does_not_gain_time(caller: socket.socket) -> None:
    began = time.monotonic()
    for part in (b"GET / HT", b"TP/1.1\r\n", b"A: b\r\n"):
        caller.sendall(part)
        time.sleep(0.1)
    assert one(rest(caller))[0] == 408
    assert time.monotonic() - began < 0.9


def test_a_body_of_too_many_chunks_is_refused(caller: socket.socket) -> None:
    spaces = b"1\r\n \r\n"
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    end = b"7\r\n" + ROW + b"\r\n0\r\n\r\n"
    caller.sendall(head + spaces * 49 + end)
    assert caller.recv(65536).startswith(b"HTTP/1.1 200")
    caller.sendall(head + spaces * 60 + end)
    status, headers, document = one(rest(caller))
    assert (status, headers["connection"], document["detail"][0]["type"]) == (
        413,
        "close",
        "too_large",
    )


def test_too_many_connections_are_refused(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as open_ones:
        callers = [
            open_ones.enter_context(socket.create_connection(address, timeout=10))
            for _ in range(25)
        ]
        for caller in callers:
            caller.sendall(HEAD + b"Content-Length: 7\r\n\r\n" + ROW)
        answers = [caller.recv(65536) for caller in callers]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
        assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) == 20
        assert len(refused) == 5
        assert all(b"\r\nretry-after: 1\r\n" in answer for answer in refused)
    time.sleep(0.3)
    with socket.create_connection(address, timeout=10) as caller:
        caller.sendall(HEAD + b"Content-Length: 7\r\n\r\n" + ROW)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_silent_connection_is_closed(caller: socket.socket) -> None:
    assert rest(caller) == b""


def test_pipelined_requests_are_answered_before_the_refusal(caller: socket.socket) -> None:
    caller.sendall(request() + request() + b"nonsense\r\n\r\n")
    answers = rest(caller).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"200", b"400"]


def test_a_connection_is_kept_over_many_requests_and_pauses(caller: socket.socket) -> None:
    for _ in range(3):
        caller.sendall(request())
        assert caller.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)


def test_a_slow_body_above_the_rate_is_taken(caller: socket.socket) -> None:
    body = ROW + b" " * 4993
    caller.sendall(request(body)[:-5000])
    for begin in range(0, 5000, 500):
        caller.sendall(body[begin : begin + 500])
        time.sleep(0.1)
    assert caller.recv(65536).startswith(b"HTTP/1.1 200")


def test_an_expected_100_continue_comes(caller: socket.socket) -> None:
    head, body = request(more=b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
    caller.sendall(head + b"\r\n\r\n")
    assert caller.recv(65536).startswith(b"HTTP/1.1 100 Continue")
    caller.sendall(body)
    assert caller.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_body_nobody_reads_is_not_waited_for(caller: socket.socket) -> None:
    caller.sendall(request(more=b"Content-Type: text/csv\r\n")[:-1])
    assert one(rest(caller))[0] == 415


def test_a_long_answer_is_not_cut_off() -> None:
    app = onnxport.create_app(models.write(models.slow()))
    config = uvicorn.Config(app, http=limited(LIMITS), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=30) as caller:
            caller.sendall(request(b"[" + b",".join([ROW] * 600) + b"]") + request()[:-1])
            answers = rest(caller).split(b"HTTP/1.1 ")[1:]
        server.should_exit = True
        thread.join(timeout=20)
    assert [answer[:3] for answer in answers] == [b"200", b"408"]

"""The fake's names: what passes through one comes as soon as without it."""

from __future__ import annotations

import socket
import statistics
import threading
import time

from tests.deploy.fake_aws.names import Name

_HEAD, _BODY = b"head", b"body"


def answer(listener: socket.socket) -> None:
    """Answers once head and body are there, again and again on one connection."""
    caller, _ = listener.accept()
    with caller:
        while told := caller.recv(len(_HEAD)):
            while len(told) < len(_HEAD + _BODY):
                told += caller.recv(len(_BODY))
            caller.sendall(b"answer")


def exchange(caller: socket.socket) -> float:
    """Seconds that one takes. Head and body go one after the other, as Python's clients send them."""
    begun = time.perf_counter()
    caller.sendall(_HEAD)
    time.sleep(0.001)
    caller.sendall(_BODY)
    assert caller.recv(100) == b"answer"
    return time.perf_counter() - begun


def test_a_body_that_follows_its_head_is_passed_on_at_once() -> None:
    name = Name(0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        name.target = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", name.port)) as caller:
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            took = statistics.median(exchange(caller) for _ in range(31))
    name.close()
    assert took < 0.02

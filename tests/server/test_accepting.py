"""New connections: a crowd of them at once, and more than the system has file descriptors for."""

from __future__ import annotations

import json
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.server import models
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
ROW = json.dumps(IRIS).encode()
REQUEST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(ROW), ROW)


@contextmanager
def crowd(url: str, size: int) -> Iterator[list[socket.socket]]:
    """So many connections, on each of which one request has been sent."""
    parts = urlsplit(url)
    callers = [socket.create_connection((parts.hostname, parts.port), 10) for _ in range(size)]
    try:
        for caller in callers:
            caller.sendall(REQUEST)
        yield callers
    finally:
        for caller in callers:
            caller.close()


def answered(callers: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Those whose request has its answer, at the latest when nothing new has come for so many seconds."""
    done: list[socket.socket] = []
    while left := [caller for caller in callers if caller not in done]:
        ready, _, _ = select.select(left, [], [], seconds)
        if not ready:
            break
        assert all(caller.recv(4096).startswith(b"HTTP/1.1 200") for caller in ready)
        done += ready
    return done


def runs(url: str) -> float:
    """How often the model has run."""
    found = re.search(
        r"^onnxport_batch_rows_count\{.*\} (\S+)$", requests.get(f"{url}/metrics").text, re.M
    )
    assert found
    return float(found[1])


def test_a_crowd_is_let_in_before_its_requests_are_worked_off(model_file: ModelFile) -> None:
    with ServerProcess("serve", model_file(models.iris()), "--port", "0") as server:
        assert requests.post(f"{server.url}/predict", json=IRIS).ok
        before = runs(server.url)
        server.process.send_signal(signal.SIGSTOP)
        with crowd(server.url, 200) as callers:
            server.process.send_signal(signal.SIGCONT)
            assert len(answered(callers, 10)) == len(callers)
        assert runs(server.url) - before < 50  # one connection a turn makes it 200


def open_files(server: ServerProcess) -> int:
    """How many file descriptors it may have."""
    return resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0]


@pytest.fixture
def few_files() -> Iterator[int]:
    """Little is allowed to this process, and so to those it starts, unless they ask for more; how much they may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_there_are_file_descriptors_for_all_connections(
    model_file: ModelFile, few_files: int, workers: str
) -> None:
    told = ("--port", "0", "--max-connections", "700", "--workers", workers)
    with ServerProcess("serve", model_file(models.iris()), *told) as server:
        assert server.url
        assert open_files(server) >= min(700, few_files)
        with crowd(server.url, 450) as callers:
            assert len(answered(callers, 10)) == len(callers)


def test_too_few_file_descriptors_are_told(model_file: ModelFile) -> None:
    path = model_file(models.iris())
    told = f"ulimit -n 300; exec {sys.executable} -m onnxport serve {path} --port 0"
    done = subprocess.Popen(["bash", "-c", told], stderr=subprocess.PIPE, text=True)
    assert done.stderr is not None
    line = done.stderr.readline()
    done.terminate()
    assert done.wait(20) == 0
    done.stderr.close()
    assert "allows 300 open files, so that about 172 of 4096 connections fit; raise it" in line


def test_callers_wait_while_there_are_no_more_file_descriptors(model_file: ModelFile) -> None:
    with ServerProcess("serve", model_file(models.iris()), "--port", "0") as server:
        assert requests.get(f"{server.url}/docs").ok  # all files that it needs have been read
        pid = server.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        most = 20 + max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
        with crowd(server.url, 60) as callers:
            served = answered(callers, 0.5)
            assert 0 < len(served) < 40
            waiting = [caller for caller in callers if caller not in served]
            until = time.monotonic() + 20
            while waiting and time.monotonic() < until:
                for caller in served:
                    caller.close()
                served = answered(waiting, 0.5)
                waiting = [caller for caller in waiting if caller not in served]
            assert not waiting
        assert requests.post(f"{server.url}/predict", json=IRIS).ok
        assert "no connection can be accepted for 1 s: Too many open files" in server.log
        assert len(server.stderr) < 40  # it is said once a second, not a thousand times

"""Runs a scenario: all servers up side by side, their answers checked, then measured in turns, A B A B."""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from benchmarks.serving import load, machine
from benchmarks.serving.load import Load
from benchmarks.serving.process import BenchmarkError, Process, free_port
from benchmarks.serving.scenarios import Scenario
from benchmarks.serving.servers import ONNXPORT, SERVERS, Place, Server
from benchmarks.serving.verify import verify
from benchmarks.serving.workloads import Workload

WARM_UP = 1  # seconds of load before the first round


@dataclass(frozen=True)
class Measurement:
    """One server in one round. cpu: microseconds a request of the server's processes; resident: bytes after it."""

    scenario: str
    server: str
    round: int
    load: Load
    cpu: float
    resident: int


@dataclass(frozen=True)
class Bench:
    """What a run is made with. server_cores and load_cores don't overlap where the machine has two."""

    folder: Path
    rounds: int
    seconds: int
    server_cores: Sequence[int]
    load_cores: Sequence[int]
    tell: Callable[[str], None] = print

    @property
    def key_file(self) -> Path:
        return self.folder / "keys"


@dataclass(frozen=True)
class Contender:
    """A server that runs, with the requests that it gets."""

    server: Server
    process: Process
    port: int
    requests: Path


def new_key(bench: Bench) -> Mapping[str, str]:
    """The headers of every request: a new API key, whose hash is written where onnxport looks for it."""
    key = secrets.token_urlsafe(32)
    bench.folder.mkdir(parents=True, exist_ok=True)
    bench.key_file.write_text(f"bench:{hashlib.sha256(key.encode()).hexdigest()}\n", "ascii")
    return {
        "User-Agent": "bench/1",
        "Accept": "*/*",
        "X-API-Key": key,
        "Content-Type": "application/json",
    }


def run_scenario(scenario: Scenario, servers: Sequence[str], bench: Bench) -> Iterator[Measurement]:
    """Measures the servers in turns, round by round. Raises BenchmarkError where an answer is wrong."""
    headers = new_key(bench)
    asked = scenario.workload(bench.folder / "models")
    constant = sample(asked, bench, headers)
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(_contender(SERVERS[name], asked, constant, bench, headers))
            for name in servers
        ]
        body = constant.partition(b"\r\n\r\n")[2]
        for contender in contenders:
            warm_up(contender, scenario, asked, body, bench, headers)
        for number in range(1, bench.rounds + 1):
            for contender in contenders:
                yield measure(contender, scenario, number, bench)
        for contender in contenders:
            verify(contender.server, contender.port, asked, body, headers)


@contextmanager
def _contender(
    server: Server, asked: Workload, constant: bytes, bench: Bench, headers: Mapping[str, str]
) -> Iterator[Contender]:
    folder = bench.folder / "servers" / server.name
    port = free_port()
    place = Place(port, folder, bench.server_cores, asked, bench.key_file, constant)
    with server.start(place) as process:
        path = server.path_for(asked)
        process.await_answer(port, "POST", path, asked.bodies[0], headers)
        requests = folder / "requests"
        load.write_requests(requests, path, asked.bodies, headers)
        yield Contender(server, process, port, requests)


def warm_up(
    contender: Contender,
    scenario: Scenario,
    asked: Workload,
    constant: bytes,
    bench: Bench,
    headers: Mapping[str, str],
) -> None:
    """Load for a second, and answers compared at the same time. Raises BenchmarkError for a wrong one."""
    verify(contender.server, contender.port, asked, constant, headers)
    faults: list[BenchmarkError] = []

    def check() -> None:
        try:
            verify(contender.server, contender.port, asked, constant, headers)
        except BenchmarkError as err:
            faults.append(err)

    checking = Thread(target=check)
    checking.start()
    _load(contender, scenario, WARM_UP, bench)
    checking.join()
    if faults:
        raise BenchmarkError(f"under load: {faults[0]}")


def measure(contender: Contender, scenario: Scenario, number: int, bench: Bench) -> Measurement:
    before = contender.process.cpu_seconds()
    seen = _load(contender, scenario, bench.seconds, bench)
    spent = contender.process.cpu_seconds() - before
    return Measurement(
        scenario=scenario.name,
        server=contender.server.name,
        round=number,
        load=seen,
        cpu=spent / seen.requests * 1e6,
        resident=contender.process.resident_bytes(),
    )


def _load(contender: Contender, scenario: Scenario, seconds: int, bench: Bench) -> Load:
    try:
        return load.run(
            contender.port,
            contender.requests,
            connections=scenario.connections,
            seconds=seconds,
            cores=bench.load_cores,
        )
    except BenchmarkError as err:
        raise BenchmarkError(f"{contender.server.name}: {err}\n{contender.process.tail()}") from err


def sample(asked: Workload, bench: Bench, headers: Mapping[str, str]) -> bytes:
    """An answer of onnxport's to the first request, headers and body, as it comes over the wire."""
    place = Place(
        free_port(),
        bench.folder / "servers" / "sample",
        machine.cores(),
        asked,
        bench.key_file,
        b"",
    )
    with ONNXPORT.start(place) as process:
        process.await_answer(place.port, "POST", "/predict", asked.bodies[0], headers)
        return _raw_answer(place.port, asked.bodies[0], headers)


def _raw_answer(port: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = {
        **headers,
        "Host": "model.test",
        "Content-Length": str(len(body)),
        "X-Request-ID": "0" * 32,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n".encode("ascii") + body)
        received = b""
        while not _is_whole(received):
            part = connection.recv(65536)
            if not part:
                raise BenchmarkError(f"onnxport closed the connection after {received[:200]!r}")
            received += part
    return received


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    return bool(end and lengths) and len(body) >= lengths[0]

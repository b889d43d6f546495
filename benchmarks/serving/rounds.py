"""Runs a scenario: all servers up side by side, their answers checked, then measured in turns, A B A B."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from threading import Thread

from benchmarks.serving import load, machine
from benchmarks.serving.load import Load
from benchmarks.serving.process import BenchmarkError, Process, ask, free_port
from benchmarks.serving.records import Measurement
from benchmarks.serving.scenarios import Scenario
from benchmarks.serving.servers import ONNXPORT, Place, Server
from benchmarks.serving.verify import raw_answer, verify
from benchmarks.serving.workloads import Workload

WARM_UP = 1  # seconds of load before the first round
SETTLE = 0.2  # seconds in which a peer does what it has missed in its pause


@dataclass(frozen=True)
class Bench:
    """What a run is made with: folders, rounds of some whole seconds, cores.

    models: a folder that runs share. folder: of this run alone, for keys, logs and requests. The servers have the first
    cores, wrk the last; these are the same only on a machine with fewer than is needed.
    """

    models: Path
    folder: Path
    rounds: int
    seconds: int
    cores: Sequence[int]

    @property
    def key_file(self) -> Path:
        return self.folder / "keys"

    @property
    def load_cores(self) -> Sequence[int]:
        return self.cores[-1:]


@dataclass(frozen=True)
class Contender:
    """A server that runs, and all that asking it takes."""

    server: Server
    process: Process
    port: int
    requests: Path
    workload: Workload
    constant: bytes
    headers: Mapping[str, str]

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While it is asked. Some peers compute without being asked: outside of their turns peers are paused."""
        if not self.server.is_peer:
            yield
            return
        self.process.resume()
        time.sleep(SETTLE)
        yield
        self.process.pause()

    def verify(self) -> None:
        """Compares some answers with the model's own. Raises BenchmarkError."""
        verify(self.server, self.port, self.workload, self.constant, self.headers)


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


def run_scenario(
    scenario: Scenario, servers: Sequence[Server], bench: Bench, note: Callable[[str], None]
) -> Iterator[Measurement]:
    """Measures the servers in turns, round by round.

    A peer that can't be started or answers wrongly is given up with a note. Raises BenchmarkError for another server.
    """
    headers = new_key(bench)
    asked = scenario.workload(bench.models)
    constant = sample(asked, bench, headers, note)
    with ExitStack() as stack:
        contenders = []
        for server in servers:
            try:
                started = _contender(server, asked, constant, bench, headers)
                contender = stack.enter_context(started)
                with contender.turn():
                    warm_up(contender, scenario, bench)
                contenders.append(contender)
            except BenchmarkError as err:
                if not server.is_peer:
                    raise
                note(f"{server.name} was given up: {err}")
        for number in range(1, bench.rounds + 1):
            for contender in contenders:
                with contender.turn():
                    yield measure(contender, scenario, number, bench)
        for contender in contenders:
            with contender.turn():
                contender.verify()


@contextmanager
def _contender(
    server: Server, asked: Workload, constant: bytes, bench: Bench, headers: Mapping[str, str]
) -> Iterator[Contender]:
    port, folder = free_port(), bench.folder / server.name
    place = Place(port, folder, bench.cores[: server.cores], asked, bench.key_file, constant)
    with server.start(place) as process:
        path, bodies = server.path_for(asked), server.bodies(asked)
        process.await_answer(port, "POST", path, bodies[0], headers)
        requests = folder / "requests"
        load.write_requests(requests, path, bodies, headers)
        yield Contender(server, process, port, requests, asked, place.constant_body, headers)


def warm_up(contender: Contender, scenario: Scenario, bench: Bench) -> None:
    """Load for a second, and answers compared before and during it. Raises BenchmarkError for a wrong one."""
    contender.verify()
    faults: list[BenchmarkError] = []

    def check() -> None:
        try:
            contender.verify()
        except BenchmarkError as err:
            faults.append(err)

    checking = Thread(target=check)
    checking.start()
    _load(contender, scenario, WARM_UP, bench)
    checking.join()
    if faults:
        raise BenchmarkError(f"under load: {faults[0]}")


def measure(contender: Contender, scenario: Scenario, number: int, bench: Bench) -> Measurement:
    """One round of one server."""
    process, began = contender.process, time.perf_counter()
    before, busy = process.cpu_seconds(), machine.busy_seconds(bench.cores)
    seen = _load(contender, scenario, bench.seconds, bench)
    spent, busy = process.cpu_seconds() - before, machine.busy_seconds(bench.cores) - busy
    elapsed = time.perf_counter() - began
    others = (busy - spent - seen.own * seen.seconds) / elapsed / len(bench.cores)
    return Measurement(
        scenario=scenario.name,
        server=contender.server.name,
        round=number,
        load=seen,
        cpu=spent / seen.requests * 1e6,
        resident=process.resident_bytes(),
        others=max(0.0, others),
        rows=contender.workload.rows_per_request,
    )


def _load(contender: Contender, scenario: Scenario, seconds: int, bench: Bench) -> Load:
    try:
        return load.run(
            contender.port,
            contender.requests,
            connections=scenario.connections,
            seconds=seconds,
            cores=bench.load_cores,
            order=contender.server.order,
        )
    except BenchmarkError as err:
        told = contender.process.tail()
        raise BenchmarkError(f"{contender.server.name}: {err}\n{told}") from err


def sample(
    asked: Workload, bench: Bench, headers: Mapping[str, str], note: Callable[[str], None]
) -> bytes:
    """An answer of onnxport's of the usual length, headers and body, as it comes over the wire.

    Notes what onnxport was spared: asking for a key, counting its requests.
    """
    folder, body = bench.folder / "sample", _usual(asked)
    place = Place(free_port(), folder, bench.cores, asked, bench.key_file, b"")
    with ONNXPORT.start(place) as process:
        process.await_answer(place.port, "POST", "/predict", body, headers)
        if ask(place.port, "POST", "/predict", body)[0] != 401:
            note("onnxport asked for no API key: its figures are without that work")
        if ask(place.port, "GET", "/metrics", None, headers)[0] != 200:
            note("onnxport has no metrics: its figures are without that work")
        return raw_answer(place.port, body, headers)


def _usual(asked: Workload) -> bytes:
    """The body whose answer's length is nearest to the mean."""
    lengths = [len(str(answer)) for answer in asked.answers]
    middle = mean(lengths)
    return min(zip(lengths, asked.bodies, strict=True), key=lambda pair: abs(pair[0] - middle))[1]

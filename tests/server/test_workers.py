"""Several workers: killed, hung, drained and orphaned for real, under load; and what the supervisor holds."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import onnx
import pytest
import requests

from onnxport.manifest import DIGEST_KEY, SELFTEST_KEY
from onnxport.modelfile import BLANK_DIGEST, seal
from tests.server import models
from tests.server.closed_loop import ClosedLoop
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]
LONG = [{"x": 1.0}] * 400  # about a second of work for the slow model
READY = re.compile(r"worker (\d) \(pid (\d+)\) is ready after")


def start(path: Path, *options: str, workers: int = 2) -> ServerProcess:
    told = ("--port", "0", "--workers", str(workers), "--log-format", "text")
    return ServerProcess("serve", path, *told, *options)


def predict(url: str, rows: object) -> requests.Response:
    return requests.post(f"{url}/predict", json=rows, timeout=60)


def workers_of(server: ServerProcess) -> list[int]:
    """The pids of a supervisor's children that live, in the order of their making."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in map(int, children) if lives(child)]


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def are_gone(pids: Iterable[int]) -> bool:
    return not any(map(lives, pids))


def connections_of(pid: int) -> int:
    """How many TCP connections a process holds."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    established = {f"socket:[{fields[9]}]" for fields in table if fields[3] == "01"}
    held = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has been closed meanwhile
            held += str(fd.readlink()) in established
    return held


def has_replaced(server: ServerProcess, times: int) -> bool:
    return len(READY.findall(server.log)) >= times


def until(true: Callable[[], object], *, seconds: float) -> float:
    """Waits until something is true; after how many seconds it was."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - began


@contextmanager
def serving(path: Path, *options: str, workers: int = 2) -> Iterator[ServerProcess]:
    """A server that leaves no process behind, however it ends."""
    server = start(path, *options, workers=workers)
    try:
        assert server.url
        known = set(workers_of(server))
        yield server
        known |= set(workers_of(server)) if server.process.poll() is None else set()
        if server.process.poll() is None:
            assert server.stop() == 0, server.log
        until(partial(are_gone, known), seconds=1.5)
    finally:
        server._release()


# ------------------------------------------------------------------------------ one listens, several answer


def test_all_workers_answer_and_the_log_says_so_once(model_file: ModelFile) -> None:
    with serving(model_file(models.iris()), workers=3) as server:
        assert len(workers_of(server)) == 3
        with ClosedLoop(server.url, clients=12) as load:
            until(lambda: all(map(connections_of, workers_of(server))), seconds=5)
        assert set(load.seen) == {"right"}
    assert server.stderr == [f"listening on {server.url} (3 workers)\n", "draining\n", "stopped\n"]


def test_the_supervisor_holds_no_thread_no_session_and_little_memory(model_file: ModelFile) -> None:
    with serving(model_file(models.iris())) as server:
        process = Path(f"/proc/{server.process.pid}")
        assert "\nThreads:\t1\n" in (process / "status").read_text()
        rolled_up = (process / "smaps_rollup").read_text()
        assert int(re.search(r"Private_Dirty: +(\d+) kB", rolled_up)[1]) < 30_000  # type: ignore[index]


# -------------------------------------------------------------------------------------------- kill -9


def kill_under_load(path: Path, *, kills: int, workers: int, clients: int) -> Counter[str]:
    """Kills random workers; each is replaced within a second, and loses no more than its own connections' calls.

    A single one may take longer, as the load takes all cores, and others may use the machine.
    """
    chance = random.Random(7)
    with (
        serving(path, workers=workers) as server,
        ClosedLoop(server.url, clients=clients) as load,
    ):
        may_be_lost, took = 0, list[float]()
        for ready in range(kills):
            time.sleep(chance.uniform(0.1, 0.5))
            victim = chance.choice(workers_of(server))
            os.kill(victim, signal.SIGSTOP)  # so that its connections can be counted
            may_be_lost += connections_of(victim)
            os.kill(victim, signal.SIGKILL)
            took.append(until(partial(has_replaced, server, ready + 1), seconds=3))
            index, newcomer = READY.findall(server.log)[ready]
            assert re.search(rf"worker {index} \(pid {victim}\) was killed by SIGKILL", server.log)
            assert int(newcomer) in workers_of(server)
        time.sleep(0.2)
        assert statistics.quantiles(took, n=4)[-1] < 1.0, took
        lost = load.seen["lost"] + load.seen["unheard"] + load.seen["cut"]
        assert lost <= may_be_lost
    assert set(load.seen) <= {"right", "lost", "unheard", "cut"}, load.seen
    assert load.seen["right"] > 20 * kills
    return load.seen


def test_a_killed_worker_is_replaced_within_a_second(model_file: ModelFile) -> None:
    kill_under_load(model_file(models.iris()), kills=8, workers=2, clients=8)


@pytest.mark.long
def test_two_hundred_workers_are_killed(model_file: ModelFile) -> None:
    print(kill_under_load(model_file(models.iris()), kills=200, workers=3, clients=16))


def test_where_all_are_killed_callers_wait_for_the_next(model_file: ModelFile) -> None:
    with serving(model_file(models.iris())) as server:
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        assert requests.get(f"{server.url}/health/ready", timeout=5).status_code == 200
        assert time.monotonic() - began < 1.0


# ------------------------------------------------------------------------------------------- draining


def drain_under_load(path: Path, *, number: signal.Signals, workers: int) -> Counter[str]:
    """Drains while 16 clients ask without a pause: whoever had connected was answered rightly."""
    with serving(path, workers=workers) as server:
        with ClosedLoop(server.url, clients=16, until_refused=True) as load:
            until(lambda: load.seen["right"] > 100, seconds=10)
            began = time.monotonic()
            server.process.send_signal(number)
            assert server.process.wait(timeout=30) == 0, server.log
            assert time.monotonic() - began < 3
            load.join()
        assert set(load.seen) <= {"right", "refused", "unheard"}, load.seen
        assert server.stderr[1:] == ["draining\n", "stopped\n"]
    return load.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_answers_whoever_has_connected(
    model_file: ModelFile, number: signal.Signals
) -> None:
    path = model_file(models.iris())
    drains = [drain_under_load(path, number=number, workers=n) for n in (1, 2, 3)]
    seen = sum(drains, Counter[str]())
    assert seen["unheard"] <= 3  # at most one comes in the moment of closing


@pytest.mark.long
def test_two_hundred_drains(model_file: ModelFile) -> None:
    path, turns = model_file(models.iris()), itertools.cycle([signal.SIGTERM, signal.SIGINT])
    seen: Counter[str] = Counter()
    for turn in range(200):
        seen += drain_under_load(path, number=next(turns), workers=1 + turn % 3)
    print(seen)
    assert seen["unheard"] <= 20


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGINT, ("--host", "0.0.0.0", "--insecure")), (signal.SIGTERM, ())],
)
def test_a_signal_to_the_whole_group_counts_once(
    model_file: ModelFile, number: signal.Signals, options: tuple[str, ...]
) -> None:
    """As a terminal sends Ctrl-C, without the wait for load balancers, and systemd SIGTERM."""
    with serving(model_file(models.slow()), *options) as server, ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url.replace("0.0.0.0", "127.0.0.1"), LONG)
        time.sleep(0.4)
        for pid in (*workers_of(server), server.process.pid):
            os.kill(pid, number)
        assert len(long.result().json()) == len(LONG)
        assert server.process.wait(timeout=1.8) == 0


def test_where_others_can_reach_it_all_workers_withdraw_readiness_first(
    model_file: ModelFile,
) -> None:
    with serving(model_file(models.iris()), "--host", "0.0.0.0", "--insecure") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        told = [requests.get(f"{url}/health/ready", timeout=5).status_code for _ in range(20)]
        assert set(told) == {503}
        assert predict(url, []).status_code == 200
        began = time.monotonic()
        assert server.stop() == 0  # the second signal hurries
        assert time.monotonic() - began < 1.5


def test_a_second_signal_hurries_all_workers(model_file: ModelFile) -> None:
    with serving(model_file(models.slow())) as server, ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url, LONG * 20)
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


def test_a_worker_that_is_told_alone_ends_and_is_replaced(model_file: ModelFile) -> None:
    with serving(model_file(models.slow())) as server, ThreadPoolExecutor() as pool:
        long = pool.submit(predict, server.url, LONG)
        busy = next(pid for pid in itertools.cycle(workers_of(server)) if connections_of(pid))
        os.kill(busy, signal.SIGTERM)
        assert len(long.result().json()) == len(LONG)
        until(lambda: READY.search(server.log), seconds=3)
        assert f"(pid {busy}) ended with exit code 0" in server.log


def test_workers_end_when_their_supervisor_is_gone(model_file: ModelFile) -> None:
    with serving(model_file(models.slow())) as server, ThreadPoolExecutor() as pool:
        pids = workers_of(server)
        long = pool.submit(predict, server.url, LONG)
        busy = next(pid for pid in itertools.cycle(pids) if connections_of(pid))
        time.sleep(0.3)
        server.process.kill()
        until(partial(are_gone, set(pids) - {busy}), seconds=1.5)
        assert len(long.result().json()) == len(LONG)
        until(partial(are_gone, [busy]), seconds=1.5)


# ------------------------------------------------------------------------------------- at the beginning


def catches_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own: the first that a server does."""
    caught = re.search(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_while_it_starts_ends_it_cleanly(model_file: ModelFile, workers: int) -> None:
    path = model_file(models.iris())
    for delay in (0.0, 0.3):
        server = start(path, workers=workers)
        until(partial(catches_sigterm, server.process.pid), seconds=5)
        time.sleep(delay)
        assert server.stop() == 0, server.log
        assert "rror" not in server.log
        assert "listening" not in server.log or delay


def test_callers_queue_while_workers_start(model_file: ModelFile) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    server = start(model_file(models.iris()), "--port", str(port))
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    until(partial(connects, caller), seconds=10)
    assert server.log == ""  # no worker is ready
    caller.request("GET", "/health/ready")
    assert caller.getresponse().status == 200
    caller.close()
    assert server.stop() == 0


def connects(caller: http.client.HTTPConnection) -> bool:
    try:
        caller.connect()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.long
def test_a_signal_at_any_moment_of_the_start_ends_it_cleanly(model_file: ModelFile) -> None:
    path, chance = model_file(models.iris()), random.Random(3)
    for _ in range(100):
        server = start(path, workers=chance.choice([1, 2]))
        until(partial(catches_sigterm, server.process.pid), seconds=5)
        time.sleep(chance.uniform(0.0, 1.5))
        left = workers_of(server)
        server.process.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
        assert server.process.wait(timeout=30) == 0, server.log
        server._release()
        assert "rror" not in server.log
        until(partial(are_gone, left), seconds=1.5)


def test_a_model_that_fails_its_self_test_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    model = onnx.load_from_string(models.write(models.reciprocal()))
    for entry in model.metadata_props:
        if entry.key == SELFTEST_KEY:
            entry.value = entry.value.replace("0.25", "0.75")  # which is said to be 1/4
        elif entry.key == DIGEST_KEY:
            entry.value = BLANK_DIGEST
    path = tmp_path / "wrong.onnx"
    path.write_bytes(seal(model.SerializeToString()))
    ended = subprocess.run(
        [sys.executable, "-m", "onnxport", "serve", path, "--port", "0", "--workers", "2"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=30,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("onnxport: the self-test failed on ONNX Runtime ")


def program(life: str) -> ServerProcess:
    return ServerProcess(life, module="tests.server.worker_program")


def test_workers_that_die_before_they_are_ready_end_the_server() -> None:
    reasons = {"killed_at_once": "was killed by SIGKILL", "out_of_memory": "(MemoryError)"}
    servers = {life: program(life) for life in reasons}  # side by side, as they take their time
    for life, reason in reasons.items():
        server = servers[life]
        assert server.process.wait(timeout=30) == 1
        server._release()
        deaths = [line for line in server.stderr if reason in line]
        assert 5 <= len(deaths) <= 10
        assert "before it was ready; the next try is in 0.2 s" in deaths[0]
        assert deaths[-1].endswith("before it was ready, as 4 before it; the server ends\n")


def test_workers_that_die_soon_are_replaced_ever_more_slowly() -> None:
    server = program("killed_early")
    until(lambda: server.log.count("replaced in 0.2 s") > 3, seconds=20)
    assert server.stop() == 0
    deaths = re.findall(r"worker 1 .* SIGSEGV after \d\.\d s; replaced (.*)\n", server.log)
    assert deaths[:7] == ["now"] * 5 + ["in 0.2 s"] * 2


# --------------------------------------------------------------------------------------------- hanging


def test_a_hung_worker_is_replaced_but_none_that_is_busy_or_slept(model_file: ModelFile) -> None:
    slow, iris = model_file(models.slow()), model_file(models.iris())
    with serving(slow) as server, serving(iris) as asleep, requests.Session() as caller:
        assert caller.post(f"{server.url}/predict", json=[], timeout=60).status_code == 200
        (busy,) = filter(connections_of, workers_of(server))  # as the connection is kept
        (hung,) = set(workers_of(server)) - {busy}
        sleepers = [asleep.process.pid, *workers_of(asleep)]
        for pid in (hung, *sleepers):
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        while lives(hung):
            assert caller.post(f"{server.url}/predict", json=LONG, timeout=60).status_code == 200
        assert time.monotonic() - began > 4.5
        until(lambda: READY.search(server.log), seconds=1)
        assert f"(pid {hung}) hangs" in server.log
        assert busy in workers_of(server)

        for pid in sleepers:  # the supervisor wakes first, and sees all others silent
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.7)
        assert workers_of(asleep) == sleepers[1:]


def test_a_worker_that_does_not_end_is_killed_and_told_of() -> None:
    server = program("deaf")
    until(lambda: "all ready" in server.log, seconds=10)
    pids = workers_of(server)
    assert server.stop() == 1
    assert are_gone(pids)
    assert sum("didn't end in time" in line for line in server.stderr) == 2
    assert sum("was killed by SIGKILL before its requests" in line for line in server.stderr) == 2

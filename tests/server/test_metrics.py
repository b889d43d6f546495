"""Metrics: the text is judged by Prometheus' own parser, the sums by counting otherwise, over real processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_plain

from onnxport.predictor import load
from onnxport.server.app import create_app
from onnxport.server.board import DURATION, REASONS, ROUTES, ROWS, SECONDS, Board
from onnxport.server.exposition import OPENMETRICS, PLAIN, Family, Sample, write
from onnxport.server.lines import JsonLines
from onnxport.server.logs import Log
from onnxport.server.metrics import Metrics
from onnxport.server.observed import GONE, Observed
from onnxport.server.observer import Observer, open_observer
from onnxport.server.problems import CODES
from onnxport.server.protocol import TAKEN
from onnxport.server.sink import Sink
from onnxport.settings import Settings
from tests.server import models

ModelFile = Callable[[models.Made], Path]
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
ASK_OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"
NAMES = st.text(st.characters(codec="utf-8"), max_size=30)
ODD = 'a"b\\c\nd\\n{e="f",}\r\u2028 ü'


def metrics_of(board: Board, worker: int = 0, *, model: str = "iris") -> Metrics:
    return Metrics(board, worker, model=model, version="1", digest="d", runtime="r")


def read(metrics: Metrics, accept: str = "") -> dict[str, Metric]:
    content, media_type = metrics.render(accept)
    parse = read_openmetrics if "openmetrics" in media_type else read_plain
    return {family.name: family for family in parse(content.decode("utf-8"))}


def value(families: dict[str, Metric], name: str, /, **labels: str) -> float:
    """The one sample of that name with those labels, and others that don't matter."""
    [found] = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]
    return float(found)


def buckets(families: dict[str, Metric], name: str, **labels: str) -> list[float]:
    """What the buckets of a histogram hold each for itself."""
    [family] = [family for family in families.values() if family.name == name]
    reached = [
        sample.value
        for sample in family.samples
        if sample.name == f"{name}_bucket" and sample.labels.items() >= labels.items()
    ]
    return [high - low for low, high in pairwise([0.0, *reached])]


# ------------------------------------------------------------------------------------- the text


@given(name=NAMES)
@example(name=ODD)
@settings(max_examples=100, deadline=None)
def test_any_name_comes_back_from_the_parser(name: str) -> None:
    metrics = metrics_of(Board(1), model=name)
    metrics.answered("predict", 200, [1.0], 2.0)
    for accept in ("", ASK_OPENMETRICS):
        families = read(metrics, accept)
        assert value(families, "onnxport_model_info", name=name, version="1", digest="d") == 1
        counted = value(families, "onnxport_requests_total", route="predict", model=name)
        assert counted == 1


def test_every_family_has_help_and_a_type() -> None:
    families = read(metrics_of(Board(1)))
    assert all(family.documentation and family.type != "unknown" for family in families.values())
    assert len(families) > 15


def test_the_media_type_is_what_was_asked_for() -> None:
    metrics = metrics_of(Board(1))
    assert metrics.render("")[1] == metrics.render("*/*")[1] == PLAIN
    assert metrics.render("text/plain")[1] == PLAIN
    assert metrics.render("application/openmetrics-text;q=0, text/plain")[1] == PLAIN
    content, media_type = metrics.render(ASK_OPENMETRICS)
    assert media_type == OPENMETRICS
    assert content.endswith(b"\n# EOF\n")


def test_numbers_are_exact() -> None:
    numbers = [0.0, 1.0, 2.0**52, 1e300, 0.1, 1e-9, float("inf"), float("-inf")]
    samples = [Sample(number, {"n": str(i)}) for i, number in enumerate(numbers)]
    [family] = read_plain(write([Family("x", "gauge", "Numbers.", samples)]).decode())
    assert [sample.value for sample in family.samples] == numbers


def test_a_help_text_may_hold_anything() -> None:
    [family] = read_plain(write([Family("x", "gauge", ODD, [])]).decode())
    assert family.documentation == ODD


# ------------------------------------------------------------------------------- the histograms

SPANS = st.lists(st.floats(0, 20), min_size=1, max_size=50)


@given(spans=SPANS)
@example(spans=[0.001])  # a bound itself belongs below it
@example(spans=[20.0, 1e-5])
@settings(max_examples=200, deadline=None)
def test_a_round_falls_into_the_buckets_of_its_durations(spans: Sequence[float]) -> None:
    metrics = metrics_of(Board(1))
    now = 0.0  # so that durations are exact
    metrics.answered("model", 200, sorted(now - span for span in spans), now)
    families = read(metrics)
    expected = [
        sum(low < span <= high for span in spans)
        for low, high in zip((-1.0, *SECONDS), (*SECONDS, np.inf), strict=True)
    ]
    name = "onnxport_request_duration_seconds"
    assert buckets(families, name, route="model") == expected
    assert value(families, f"{name}_count", route="model") == len(spans)
    assert value(families, f"{name}_sum", route="model") == pytest.approx(sum(spans), abs=1e-9)


def test_no_sum_ever_falls() -> None:
    """Durations of nothing, on a clock that has run for long, are rounded to less than nothing."""
    board, seen = Board(1), [0.0]
    metrics = metrics_of(board)
    for step in range(300):
        now = 1e6 + step / 3
        metrics.answered("predict", 200, [now] * 60, now)
        seen.append(board.sums()[DURATION["predict"]])
    assert seen == sorted(seen)


def test_runs_are_measured_by_rows_and_seconds() -> None:
    metrics = metrics_of(Board(1))
    runs = [(1, 0.00005), (1, 0.002), (64, 0.0003), (10_000, 0.03), (50_000, 11.0)]
    for rows, seconds in runs:
        metrics.ran(rows, seconds)
    families = read(metrics)
    assert value(families, "onnxport_rows_total") == sum(rows for rows, _ in runs)
    sizes = buckets(families, "onnxport_batch_rows")
    places = [int(np.searchsorted(ROWS, rows)) for rows, _ in runs]
    assert sizes == np.bincount(places, minlength=len(ROWS) + 1).tolist()
    assert value(families, "onnxport_inference_duration_seconds_sum") == pytest.approx(11.03235)
    assert buckets(families, "onnxport_inference_duration_seconds")[-1] == 1


def test_every_code_of_an_error_is_a_reason() -> None:
    metrics = metrics_of(Board(1))
    told = {code for _, codes in CODES.values() for code in codes}
    assert told <= set(REASONS)
    for number, reason in enumerate(REASONS, 1):
        metrics.rejected(reason, number)
    metrics.rejected("what nobody has heard of", 1000)
    families = read(metrics)
    for number, reason in enumerate(REASONS, 1):
        more = 1000 if reason == "other" else 0
        assert value(families, "onnxport_rejected_total", reason=reason) == number + more


def test_a_round_costs_little() -> None:
    """An order of magnitude, with room for a busy machine: a round is answered in some hundred microseconds."""
    metrics = metrics_of(Board(1))
    now = time.perf_counter()
    arrivals = [now - 0.0008 + i * 1e-6 for i in range(64)]
    took = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            metrics.answered("predict", 200, arrivals, now)
        took.append((time.perf_counter() - began) / 2000)
    assert min(took) < 10e-6


# -------------------------------------------------------------------------- several processes


def run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.server.counting", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_figures_of_all_workers_are_added_up() -> None:
    told = run("together", "3", "4000")
    assert told["codes"] == [0, 0, 0]
    assert told["running"] == ["supervisor"]  # their parts are not vacated, but nobody is alive
    families = {family.name: family for family in read_plain(told["text"])}
    assert value(families, "onnxport_requests_total", route="predict", status="200") == 9000
    assert value(families, "onnxport_requests_total", route="predict", status="503") == 3000
    assert value(families, "onnxport_request_duration_seconds_count", route="predict") == 12_000
    duration = value(families, "onnxport_request_duration_seconds_sum", route="predict")
    assert duration == pytest.approx(24.0, rel=1e-6)
    assert value(families, "onnxport_rejected_total", reason="overloaded") == 3000
    assert value(families, "onnxport_rows_total") == 1 + 2 + 3
    # The first worker was replaced, and its gauges with it; the others' end when that is known.
    assert value(families, "onnxport_requests_in_flight") == 2
    assert value(families, "onnxport_connections") == 20
    vacated = {family.name: family for family in read_plain(told["vacated"])}
    assert value(vacated, "onnxport_requests_in_flight") == 0
    assert value(vacated, "onnxport_requests_total", status="200") == 9000


def test_what_a_killed_worker_has_counted_stays() -> None:
    told = run("killed", "8")
    seen = told["seen"]
    assert len(seen) > 100
    assert seen == sorted(seen), "a counter fell"
    assert seen[-1] > seen[len(seen) // 2] > 0
    assert told["names"] == ["1", "supervisor"]
    assert told["left"] == ["supervisor"]
    assert told["restarts"] == 7


def test_who_follows_another_is_a_restart() -> None:
    board = Board(2)
    for worker in (0, 1, 0, 0):
        metrics = metrics_of(board, worker)
    board.vacate(0)
    assert value(read(metrics), "onnxport_worker_restarts_total") == 2
    assert value(read(metrics), "onnxport_workers") == 1


def test_a_worker_beyond_the_board_is_refused() -> None:
    with pytest.raises(IndexError, match="worker 2 of 1"):
        Board(1).take(2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_processes_are_told_as_the_kernel_tells_them() -> None:
    families = read(metrics_of(Board(1)))
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines()
    )
    resident = int(status["VmRSS"].split()[0]) * 1024
    told = value(families, "process_resident_memory_bytes", worker="1")
    assert told == pytest.approx(resident, rel=0.2)
    spent = value(families, "process_cpu_seconds_total", worker="1")
    assert spent == pytest.approx(time.process_time(), abs=1.0)
    started = value(families, "process_start_time_seconds", worker="1")
    assert time.time() - 7200 < started < time.time()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert abs(value(families, "process_open_fds", worker="1") - descriptors) <= 2
    assert value(families, "onnxport_workers") == 1


# ------------------------------------------------------------------------------ the middleware


@asynccontextmanager
async def observed(
    path: Path, app: Any = None, **told: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Observer]]:
    """The model's application, watched, and a client for it."""
    settings, model = Settings(**told), load(path)
    log = Log(Sink(None), JsonLines())
    observer = open_observer(model, settings, log=log, board=Board(1), worker=0)
    watched = Observed(app or create_app(model, settings=settings), observer)
    transport = httpx.ASGITransport(app=watched, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client, observer


def test_answers_are_counted_by_route_and_status(model_file: ModelFile) -> None:
    async def ask() -> dict[str, Metric]:
        async with observed(model_file(models.iris())) as (client, observer):
            for _ in range(3):
                assert (await client.post("/predict", json=ROW)).status_code == 200
            await client.post("/predict", content=b"{")
            await client.post("/predict", json={**ROW, "sepal_length": "long", "more": 1})
            await client.post("/predict", content=b"x,y", headers={"Content-Type": "text/csv"})
            for path in ("/model", "/docs", "/healthz", "/predict", "/nowhere", "/predict/"):
                await client.get(path)
            return read(observer.metrics)

    families = asyncio.run(ask())
    answered = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["onnxport_requests"].samples
    }
    assert answered == {
        ("predict", "200"): 3,
        ("predict", "400"): 1,
        ("predict", "405"): 1,
        ("predict", "415"): 1,
        ("predict", "422"): 1,
        ("model", "200"): 1,
        ("health", "200"): 1,
        ("docs", "200"): 1,
        ("other", "404"): 2,
    }
    assert {route for route, _ in answered} <= set(ROUTES)
    duration = "onnxport_request_duration_seconds_count"
    assert value(families, duration, route="predict") == 7
    assert value(families, "onnxport_requests_in_flight") == 0
    rejected = {s.labels["reason"]: s.value for s in families["onnxport_rejected"].samples}
    assert rejected["not_found"] == 2
    assert rejected["method_not_allowed"] == rejected["unsupported_media_type"] == 1
    assert sum(rejected.values()) == 6


def test_an_error_nobody_has_caught_is_answered_and_counted(model_file: ModelFile) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("the application's own fault")

    async def ask() -> tuple[httpx.Response, dict[str, Metric]]:
        async with observed(model_file(models.iris()), fail) as (client, observer):
            answer = await client.get("/model", headers={"X-Request-ID": "mine"})
            return answer, read(observer.metrics)

    answer, families = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "mine"
    assert "fault" not in answer.text
    assert value(families, "onnxport_requests_total", route="model", status="500") == 1
    assert value(families, "onnxport_requests_in_flight") == 0


async def _leave_early(_scope: Any, receive: Any, _send: Any) -> None:
    """An application whose caller is gone while it reads."""
    await receive()
    message = await receive()
    assert message["type"] == "http.disconnect"


async def _lose(scope: Any, _receive: Any, send: Any) -> None:
    """An answer that went to nobody, as the connection knows."""
    await _answer(send)
    scope[GONE] = True


async def _taken(scope: Any, _receive: Any, send: Any) -> None:
    await _answer(send)
    scope[TAKEN] = True


async def _answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(("app", "lost"), [(_leave_early, 1), (_lose, 1), (_taken, 0)])
def test_a_caller_who_is_gone_got_no_answer(model_file: ModelFile, app: Any, lost: int) -> None:
    async def ask() -> dict[str, Metric]:
        messages = [{"type": "http.request", "more_body": True}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(_: Any) -> None: ...

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        async with observed(model_file(models.iris()), app) as (client, observer):
            await client._transport.app(scope, receive, send)  # type: ignore[attr-defined]
            return read(observer.metrics)

    families = asyncio.run(ask())
    assert value(families, "onnxport_requests_lost_total") == lost
    assert value(families, "onnxport_requests_total", route="predict", status="200") == 0
    assert value(families, "onnxport_requests_in_flight") == 0

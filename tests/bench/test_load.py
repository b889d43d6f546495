"""Load tests of scripted servers: what the server counted is what the test must have counted."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxport.bench.load import Load
from onnxport.bench.record import Record
from onnxport.bench.result import Result
from onnxport.bench.run import load_test
from onnxport.bench.telling import lines
from onnxport.errors import ClientError, ServerError, SettingsError
from tests.bench.scripted import FINE, ROWS, Act, Script, Scripted, doubled

MILLISECOND = 1_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return doubled(tmp_path_factory.mktemp("bench"))


def run(server: Scripted, model: Path, **given: Any) -> Result:
    load = Load(**{"duration": 0.4, "warm_up": 0.0, "connections": 4, **given})
    return load_test(server.url, model, load)


def every(n: int, act: Act) -> Script:
    return lambda i: act if i % n == n - 1 else FINE


FAILURES = {
    Act("wrong", body=b'{"prediction":3.5}'): "wrong answer",
    Act("no json", body=b"<html>"): "wrong answer",
    Act("busy", "503 Service Unavailable", b"{}", ("Retry-After: 1",)): "busy",
    Act("503", "503 Service Unavailable", b"{}"): "status 503",
    Act("500", "500 Internal Server Error", b"{}"): "status 500",
    Act("refusal", "422 Unprocessable Content", b"{}"): "status 422",
    Act("hang up", hang_up=True): "connection closed",
    Act("half", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"): "connection closed",
    Act("noise", raw=b"220 mail.test ESMTP\r\n\r\n"): "no HTTP",
    Act("two", raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" * 2): "no HTTP",
}


def test_each_failure_is_counted_by_its_kind(model: Path) -> None:
    """One request in ten goes wrong, in each way in turn."""
    acts = [*FAILURES]
    with Scripted(lambda i: acts[i // 10 % len(acts)] if i % 10 == 9 else FINE) as server:
        result = run(server, model, duration=0.6)
    expected: Counter[str] = Counter()
    for act, kind in FAILURES.items():
        assert server.seen.acts[act.name] >= 1
        expected[kind] += server.seen.acts[act.name]
    record = result.record
    assert record.total.failed == expected
    assert record.total.right == server.seen.acts["right"]
    assert record.requests == server.seen.requests
    assert (record.wrong, record.busy) == (expected["wrong answer"], expected["busy"])
    assert record.total.examples.keys() == expected.keys()
    assert not result.passed


FORMS = (
    FINE,
    Act(close=True),
    Act(chunked=True),
    Act(drip=7),
    Act(chunked=True, drip=11),
    Act(headers=("X-Long: " + "a" * 20_000,)),
    Act(headers=("Retry-After: 1",)),
    Act("stranger", headers=("X-Request-ID: another",)),
)


def test_right_answers_in_every_form(model: Path) -> None:
    with Scripted(lambda i: FORMS[i // 20 % len(FORMS)]) as server:
        result = run(server, model, processes=2, duration=0.6)
    assert result.record.requests == result.record.total.right == server.seen.requests > 50
    assert result.record.total.strangers == server.seen.acts["stranger"] > 0
    assert {*server.seen.bodies} == {b'{"x":%.1f}' % row["x"] for row in ROWS}
    spread = server.seen.bodies.values()
    assert max(spread) - min(spread) <= 2 * 4


def test_answers_may_differ_within_the_tolerance(tmp_path: Path) -> None:
    """1e-9 in this file: of one value the server answers four neighbours, and once one beyond."""
    near = [b'{"prediction":%r}' % (2 + k * 1e-10) for k in range(4)]

    def script(number: int) -> Act:
        return Act(body=near[number % 4] if number != 30 else b'{"prediction":2.00000001}')

    with Scripted(script) as server:
        result = run(server, doubled(tmp_path, {"x": 1.0}))
    assert result.record.wrong == 1
    assert result.record.total.examples["wrong answer"].startswith(
        "prediction is 2.00000001 instead of 2.0 (request id "
    )


def test_the_open_loop_sees_what_a_stall_does_to_all_who_ask_meanwhile(model: Path) -> None:
    """200 requests a second at equal distances, of which the server does nothing for half a second: 80 of them fall due
    early enough to wait 100 ms or more, here for one of two connections. In the closed loop, whose one caller waits, it
    is a single one.
    """
    with Scripted(lambda i: Act(stall=0.5) if i == 60 else FINE) as server:
        result = run(server, model, rate=200.0, arrivals="constant", duration=1.0, connections=2)
    assert server.seen.requests == result.record.total.right == 200
    assert slower(result, 0.1) >= 78
    assert slower(result, 0.4) >= 18
    assert slower(result, 0.49) >= 1
    assert result.record.total.waited >= 90
    with Scripted(lambda i: Act(stall=0.5) if i == 60 else FINE) as server:
        result = run(server, model, duration=0.9, connections=1)
    assert result.record.total.right > 100
    assert 1 <= slower(result, 0.1) <= 3


def slower(result: Result, seconds: float) -> int:
    """How many answers took longer, as the buckets tell."""
    buckets = result.record.total.latency.buckets()
    return sum(count for low, width, count in buckets if low + width > seconds * 1e9)


def test_one_late_answer_in_a_hundred(model: Path) -> None:
    """80 ms late, at a rate at which the others aren't held up."""
    with Scripted(every(100, Act("late", late=0.08))) as server:
        result = run(server, model, rate=500.0, duration=0.9, connections=200)
    assert server.seen.acts["late"] >= 3
    assert slower(result, 0.08) >= server.seen.acts["late"]
    latency = result.record.total.latency
    assert latency.percentile(99.9) >= 80 * MILLISECOND
    assert latency.percentile(50) < 40 * MILLISECOND
    assert latency.longest < 1000 * MILLISECOND


def test_what_fell_due_and_could_not_be_sent_is_counted(model: Path) -> None:
    """One connection and 50 ms an answer: 20 a second of the 200 that are asked for."""
    with Scripted(lambda _: Act(late=0.05)) as server:
        result = run(server, model, rate=200.0, arrivals="constant", duration=0.5, connections=1)
    record = result.record
    assert record.requests == 100
    assert record.total.right == server.seen.requests <= 11
    assert record.total.failed == {"not sent": 100 - server.seen.requests}
    assert record.total.waited == server.seen.requests - 1
    assert result.to_json()["latency"]["p50"] is None
    assert result.to_json()["latency"]["unanswered"] == record.total.failed["not sent"]


def test_what_takes_too_long_is_given_up(model: Path) -> None:
    with Scripted(every(10, Act("never", late=60))) as server:
        result = run(server, model, timeout=0.2)
    record = result.record
    assert record.total.failed == {"timeout": server.seen.acts["never"]}
    assert record.requests == server.seen.requests
    assert record.total.latency.beyond == server.seen.acts["never"]
    assert record.total.examples["timeout"] == "no answer in 0.2 s"


def test_a_server_that_goes_away(model: Path) -> None:
    with Scripted(lambda _: FINE) as server:

        def watch(record: Record) -> None:
            if record.total.right:
                server.stop()

        result = load_test(
            server.url, model, Load(duration=0.7, warm_up=0, connections=3), watch=watch
        )
    failed = result.record.total.failed
    assert {*failed} <= {"connection closed", "connection refused"}
    assert 3 <= failed["connection refused"] <= 3 * 7


def test_the_warm_up_is_not_counted_but_for_wrong_answers(model: Path) -> None:
    wrong = Act("wrong", body=b"{}")
    with Scripted(lambda i: wrong if i in (3, 4) else FINE) as server:
        result = run(server, model, warm_up=0.4)
    record = result.record
    assert record.wrong == 2
    assert 10 < record.total.right < server.seen.requests - 10


def test_several_rows_in_a_request(model: Path) -> None:
    with Scripted(lambda _: FINE) as server:
        result = run(server, model, rows_per_request=3)
    assert result.passed
    assert len(server.seen.bodies) == len(ROWS)
    assert b'[{"x":6.0},{"x":7.0},{"x":1.0}]' in server.seen.bodies
    document = result.to_json()
    assert document["rows_per_second"] == pytest.approx(3 * document["requests_per_second"])


def test_each_request_is_known_by_an_id_of_its_own(model: Path) -> None:
    with Scripted(lambda _: FINE) as server:
        load = Load(duration=0.3, warm_up=0, connections=4, processes=2)
        load_test(server.url, model, load, api_key="k3y")
    ids = server.seen.ids
    assert len(ids) == len({*ids}) > 20
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert all("\r\nAuthorization: Bearer k3y\r\n" in head for head in server.seen.headers)
    assert all(
        f"\r\nHost: {server.url.removeprefix('http://')}\r\n" in h for h in server.seen.headers
    )


def test_rates_and_shares_add_up(model: Path) -> None:
    with Scripted(lambda _: FINE) as server:
        result = run(server, model, rate=300.0, arrivals="constant", duration=1.0, connections=50)
    document = result.to_json()
    assert document["requests"] == {"total": 300, "right": 300, "wrong": 0, "busy": 0, "failed": 0}
    assert document["requests_per_second"] == pytest.approx(300, abs=20)
    moments = document["over_time"]
    assert [moment["second"] for moment in moments] == [0, 0.25, 0.5, 0.75]
    mean = sum(moment["requests_per_second"] for moment in moments) / 4
    assert mean == pytest.approx(document["requests_per_second"])
    assert sum(count for _, _, count in document["latency"]["buckets"]) == 300
    assert document["bytes"]["sent"] >= 300 * 200


def generators() -> Iterator[int]:
    """The process ids of the running generators."""
    return (child.pid for child in multiprocessing.active_children() if child.pid is not None)


def test_a_generator_that_is_held_up_says_so(model: Path) -> None:
    """Stopped for 0.3 s by a signal, it sends late what fell due meanwhile, and the server is not to blame."""
    held: list[int] = []

    def watch(record: Record) -> None:
        if record.slots and not held:
            held.extend(generators())
            os.kill(held[0], signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(held[0], signal.SIGCONT)

    with Scripted(lambda _: FINE) as server:
        load = Load(rate=200, duration=0.8, warm_up=0)
        result = load_test(server.url, model, load, watch=watch)
    assert result.record.total.lag.longest > 150 * MILLISECOND
    [why] = [text for text in result.suspicions() if "late" in text]
    assert why.startswith("1 in 100 requests went out over ")
    assert result.to_json()["generator"]["was_the_limit"] is True


def test_stopped_before_its_time(model: Path) -> None:
    calls = itertools.count()

    def watch(_: Record) -> None:
        if next(calls) == 1:
            raise KeyboardInterrupt

    with Scripted(lambda _: FINE) as server:
        load = Load(duration=30, warm_up=0, connections=2, processes=2)
        began = time.monotonic()
        result = load_test(server.url, model, load, watch=watch)
        assert time.monotonic() - began < 10
    assert result.is_partial
    assert next(lines(result)).startswith("partial result, stopped before its time: http://")
    assert 0.2 < result.seconds < 5
    assert server.seen.requests - 4 <= result.record.requests <= server.seen.requests
    assert [*generators()] == []


def test_a_generator_that_is_killed_voids_the_test(model: Path) -> None:
    def watch(_: Record) -> None:
        os.kill(next(generators()), signal.SIGKILL)

    with Scripted(lambda _: FINE) as server, pytest.raises(ClientError, match="the test is void"):
        load_test(server.url, model, Load(duration=30, warm_up=0), watch=watch)


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "302 Found"])
def test_what_all_requests_would_be_answered_ends_it_at_once(model: Path, status: str) -> None:
    from tests.client.scripted import Reply, ScriptedServer, http

    reply = Reply(http(status, '{"detail":[{"type":"t","loc":[],"msg":"m"}]}'))
    with ScriptedServer([reply] * 5) as server, pytest.raises(ServerError) as caught:
        load_test(server.url, model, Load(duration=30))
    assert caught.value.status == int(status[:3])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": 0}, "--rate is 0, and must be more than 0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"rate": 1e7}, "at most 1,000,000 requests a second"),
        ({"rate": 0.01, "duration": 10}, "isn't one request"),
        ({"duration": 0}, "--duration is 0"),
        ({"duration": -1}, "--duration is -1"),
        ({"duration": float("inf")}, "--duration is inf"),
        ({"warm_up": -0.1}, "--warm-up is -0.1"),
        ({"warm_up": float("nan")}, "--warm-up is nan"),
        ({"connections": 100_000}, "at most 20,000 connections"),
        ({"rows_per_request": 0}, "--rows-per-request is 0"),
        ({"processes": 5, "connections": 4}, "more than the 4 connections"),
        ({"processes": 0}, "--processes is 0"),
        ({"timeout": float("inf")}, "--timeout is inf"),
    ],
)
def test_a_load_that_is_none(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        Load(**given)

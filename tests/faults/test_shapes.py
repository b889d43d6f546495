"""Nested lists for models of whole tensors: of every wrong shape, and so many that only their number hurts."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.faults import tensors
from tests.faults.conftest import Note, Start
from tests.faults.gauges import MIB, Gauges
from tests.faults.sizes import drawing, sizes
from tests.faults.wire import Line, Volley, request

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
GOOD = b'{"grid":[[1,1,1,1],[1,1,1,1],[1,1,1,1]],"steps":[[1,2]]}'


@pytest.fixture(scope="module")
def gauges(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Gauges:
    return Gauges(start(tensors.grid(tmp_path_factory.mktemp("tensors"))))


# ------------------------------------------------------------------------------------------- every wrong shape


def nested(draw: random.Random, shape: list[int]) -> Any:
    """Lists of a shape, now and then with something wrong in them."""
    wrong = draw.random()
    if wrong < 0.03:
        return draw.choice([None, [], [[]], {}, 1, "1", True, [1], 10**30, 1e39, -0.0, 2**53 + 1])
    if not shape:
        return draw.choice([draw.randint(-9, 9), round(draw.uniform(-9, 9), 3)])
    size = shape[0] + (draw.choice([-1, 1]) if wrong > 0.97 else 0)
    found = [nested(draw, shape[1:]) for _ in range(size)]
    return [found] if wrong > 0.99 else found


@sizes(500, 10_000)
def test_a_row_is_answered_if_and_only_if_its_shape_is_right(
    gauges: Gauges, note: Note, count: int
) -> None:
    draw, good = drawing("shapes"), 0
    with Volley(gauges.url, 1) as volley:
        for _ in range(count):
            row = {"grid": nested(draw, [3, 4]), "steps": nested(draw, [draw.randint(1, 4), 2])}
            wanted = tensors.total(**row)
            body = json.dumps(draw.choice([row, [row], [row, row]])).encode()
            (answer,) = volley.ask([request(body)])
            good += answer.status == 200
            assert (answer.status == 200) == (wanted is not None), (row, answer)
            if wanted is None:
                assert answer.status == 422, (row, answer)
                continue
            told = answer.document if isinstance(answer.document, list) else [answer.document]
            assert [each["sum"] for each in told] == [pytest.approx(wanted, abs=1e-4)] * len(told)
    assert count // 10 < good < count - count // 10
    note(rows=count, good=good)


# -------------------------------------------------------------------------------------------- bombs


def bombs(size: int) -> dict[str, tuple[bytes, int]]:
    """Bodies of nearly so many bytes, and their statuses."""

    def many(item: bytes, before: bytes, behind: bytes) -> bytes:
        return before + b",".join([item] * ((size - 100) // (len(item) + 1))) + behind

    def in_grid(item: bytes) -> bytes:
        return many(item, b'{"grid":[', b'],"steps":[[1,2]]}')

    def tree(depth: int) -> bytes:
        return b"[%b,%b]" % (tree(depth - 1), tree(depth - 1)) if depth else b"1"

    half = size // 2 - 100
    return {
        **{f"many {item.decode()}": (in_grid(item), 422) for item in ITEMS},
        "steps without numbers": (many(b"[]", b'{"grid":1,"steps":[', b"]}"), 422),
        "steps": (many(b"[1,1]", GOOD[:-7], b"]}"), 200),
        "a side of one": (many(b"1", b'{"grid":[[[[[[[[', b']]]]]]]],"steps":[[1,2]]}'), 422),
        "depth": (b'{"grid":' + b"[" * half + b"]" * half + b',"steps":1}', 400),
        "depth that is left open": (b'{"grid":' + b"[" * (2 * half), 400),
        "a tree": (b'{"grid":' + tree(13) + b',"steps":1}', 422),
        "rows": (many(b'{"grid":[[],[],[]],"steps":[]}', b"[", b"]"), 413),
        "rows that are lists": (many(b"[]", b"[", b"]"), 413),
        "keys": (many(b'"":1', b"{", b"}"), 422),
        "one key": (b'{"' + b"k" * (2 * half) + b'":1}', 422),
        "one integer": (b'{"grid":[[' + b"9" * (2 * half) + b']],"steps":1}', 422),
        "one fraction": (b'{"grid":[[0.' + b"9" * (2 * half) + b']],"steps":1}', 422),
        "one exponent": (b'{"grid":[[1e' + b"9" * (2 * half) + b']],"steps":1}', 422),
        "white": (b"{" + b" " * (2 * half), 400),
        "quotes": (b'{"grid":"' + b'\\"' * half + b'","steps":1}', 422),
    }


ITEMS = (b"[]", b"{}", b"1", b'""', b"null", b"[1]", b"[[]]", b'{"":1}', b"9" * 20, b"[1,1,1,1]")


@contextmanager
def asking_for_health(url: str) -> Iterator[list[float]]:
    """Asks all the time whether the server lives; how long each answer took, in seconds."""
    took, done = list[float](), threading.Event()

    def ask() -> None:
        with Line(url) as line:
            while not done.wait(0.01):
                began = time.perf_counter()
                assert line.ask(LIVE).status == 200
                took.append(time.perf_counter() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield took
    finally:
        done.set()
        asking.join()


@pytest.mark.parametrize(
    ("size", "times"),
    [(MIB // 2, 2), pytest.param(4 * MIB, 8, marks=pytest.mark.long)],
    ids=["half a MiB", "4 MiB"],
)
def test_bombs_are_refused_and_leave_nothing_behind(
    gauges: Gauges, note: Note, size: int, times: int
) -> None:
    """Within the deadline, in memory that is bounded by the body's size, and the same however often."""
    before, peaks, slowest = gauges.resident(), list[int](), 0.0
    with asking_for_health(gauges.url) as health:
        for _ in range(times):
            gauges.forget_peak()
            for name, (body, status) in bombs(size).items():
                began = time.perf_counter()
                with Line(gauges.url, timeout=60) as line:
                    assert line.ask(request(body)).status == status, name
                slowest = max(slowest, time.perf_counter() - began)
            peaks.append(gauges.peak() - before)
    assert max(peaks) < 64 * MIB + 128 * size
    assert min(peaks[times // 2 :]) < max(peaks[: times // 2]) + 20 * MIB
    assert max(health) < 5
    with Line(gauges.url) as line:
        assert line.ask(request(GOOD)).document == {"sum": 15.0}
    note(bombs=times * len(bombs(100_000)), peak=f"{max(peaks) / MIB:.0f} MiB")
    note(slowest=f"{slowest * 1000:.0f} ms", health_at_most=f"{max(health) * 1000:.0f} ms")

"""The fast path against FastAPI: the same bytes to both, the same bytes from both."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import onnxport
from onnxport.settings import Settings
from tests.server import models
from tests.server.lanes import Running, masked, read_to_end

ModelFile = Callable[[models.Made], Path]
KEY = "onnxport_" + "k" * 43
HASHES = "main:" + __import__("hashlib").sha256(KEY.encode()).hexdigest()
ROWS_APART = replace(
    # Answers with the amount alone, so that no sum depends on how many rows are run together.
    models.every_kind(),
    name="amounts",
    nodes=[
        helper.make_node("IsNaN", ["num"], ["empty"]),
        helper.make_node("Where", ["empty", "zero", "num"], ["filled"]),
        helper.make_node("Gather", ["filled", "first"], ["value"], axis=1),
    ],
    constants={"zero": np.array(0.0), "first": np.array([0])},
)
SETTINGS: dict[str, Any] = {"port": 0, "shutdown_timeout": 2}

LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: last\r\n\r\n"


@pytest.fixture(scope="module")
def lanes(model_file: ModelFile) -> Iterator[tuple[Running, Running]]:
    """Fast and slow, the same model."""
    path, settings = model_file(ROWS_APART), Settings(**SETTINGS)
    with Running(path, settings, fast=True) as fast, Running(path, settings, fast=False) as slow:
        yield fast, slow


def request(
    body: bytes,
    *,
    headers: tuple[bytes, ...] = (),
    line: bytes = b"POST /predict HTTP/1.1",
    length: bytes | None = None,
) -> bytes:
    told = str(len(body)).encode() if length is None else length
    lines = [line, b"Host: x", *headers, b"Content-Length: " + told]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def row(draw: random.Random, **changed: Any) -> dict[str, Any]:
    usual = {
        "amount": round(draw.uniform(-9, 9), draw.randint(0, 6)),
        "small": draw.choice([1, 2.5, -0.0, 1e-300, 3e38]),
        "visits": draw.randint(-5, 5),
        "flag": draw.choice([True, False, None]),
        "grade": draw.choice([1, 2, 5]),
        "city": draw.choice(["Paris", "東京", None]),
        "note": draw.choice(["a", "b", "", "x: y", 'say "hi"', "é" * 9]),
    }
    return {**usual, **changed}


BAD: list[dict[str, Any]] = [
    {"amount": None}, {"amount": "1"}, {"amount": True}, {"amount": 2**53 + 1}, {"amount": 10**30},
    {"small": 4e38}, {"visits": 5.5}, {"visits": 2**63}, {"flag": 1}, {"grade": 3}, {"city": "Rome"},
    {"note": None}, {"note": "\0"}, {"note": "\ue000null"}, {"extra": 1}, {"amuont": 1}, {"amount": [1]},
]  # fmt: skip
RAW = [
    b"", b" ", b"{", b"{}", b"[]", b"[1]", b"null", b"1", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b"{\"a\":NaN}",
    b"[{}]" * 2, b"[" * 40, b'{"amount":1,"amount":2}', b'{"amount":1e999}', b"{'a':1}",
]  # fmt: skip
HEADERS: list[tuple[bytes, ...]] = [
    (), (), (), (b"Content-Type: application/json",), (b"content-type: application/json; charset=utf-8",),
    (b"Content-Type: text/csv",), (b"Content-Type: application/json; charset=latin-1",),
    (b"Content-Encoding: gzip",), (b"Content-Encoding: identity",), (b"X-Request-ID: abc-1",),
    (b"x-request-id: " + b"z" * 64,), (b"X-Request-ID: " + b"z" * 65,), (b"X-Request-ID: no spaces please",),
    (b"X-Request-ID: one", b"X-Request-ID: two"), (b"X-Request-ID:",), (b"Accept: */*", b"Cookie: a=b"),
    (b"Expect: 100-continue",), (b"Connection: keep-alive",), (b"Connection: close",),
    (b"Connection: Upgrade", b"Upgrade: websocket"), (b"TE: trailers",), (b"Origin: http://evil",),
    (b"X: \xe9",), (b"Content-Length: 3",), (b"Transfer-Encoding: gzip",), (b"X: " + b"y" * 1500,),
    (b"Authorization: Bearer nothing",), (b"bad header",), (b"X : y",), (b"X: a\tb",), (b"X: a\x00b",),
]  # fmt: skip
LINES = [
    b"POST /predict HTTP/1.1", b"POST /predict HTTP/1.1", b"POST /predict?x=1 HTTP/1.1", b"POST /predict/ HTTP/1.1",
    b"POST //predict HTTP/1.1", b"PUT /predict HTTP/1.1", b"POST /predict HTTP/1.0", b"POST /nothing HTTP/1.1",
    b"POST http://x/predict HTTP/1.1", b"POST /%70redict HTTP/1.1", b"post /predict HTTP/1.1",
    b"POST  /predict HTTP/1.1", b"POST /predict HTTP/2.0", b"POST /predict", b"POST /model HTTP/1.1",
]  # fmt: skip


def body(draw: random.Random) -> bytes:
    kind = draw.random()
    if kind < 0.5:
        made: Any = row(draw)
    elif kind < 0.6:
        made = [row(draw) for _ in range(draw.randint(1, 4))]
    elif kind < 0.8:
        made = row(draw, **draw.choice(BAD))
    elif kind < 0.85:
        made = [row(draw), row(draw, **draw.choice(BAD))]
    else:
        return draw.choice(RAW)
    text = json.dumps(made, ensure_ascii=draw.random() < 0.5)
    return text.replace(" ", draw.choice(["", " ", "\n"])).encode()


def chunked(draw: random.Random, content: bytes) -> bytes:
    cut = draw.randint(0, len(content))
    parts = [part for part in (content[:cut], content[cut:]) if part]
    told = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + told
        + b"0\r\n\r\n"
    )


def conversation(draw: random.Random) -> list[bytes]:
    """Some requests on one connection, cut into segments at random places."""
    asked = []
    for _ in range(draw.randint(1, 5)):
        if draw.random() < 0.08:
            asked.append(chunked(draw, body(draw)))
            continue
        line = draw.choice(LINES) if draw.random() < 0.15 else LINES[0]
        length = (
            draw.choice([b"-1", b"+5", b"0x5", b"5 5", b"", b"99999999999999999999"])
            if draw.random() < 0.03
            else None
        )
        asked += [
            request(body(draw), headers=draw.choice(HEADERS), line=line, length=length)
        ] * draw.choice([1, 3])
    sent = b"".join(asked) + LAST
    if draw.random() < 0.3:
        return [*asked, LAST]
    cuts = sorted(draw.randint(0, len(sent)) for _ in range(draw.choice([0, 1, 3, 8])))
    return [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if a < b]


@pytest.mark.parametrize("seed", range(4))
def test_both_paths_answer_alike(lanes: tuple[Running, Running], seed: int) -> None:
    fast, slow = lanes
    draw = random.Random(seed)
    talks = [conversation(draw) for _ in range(200)]
    before = fast.observer.hot + fast.observer.refusals
    pauses = [draw.choice([0, 0, 0.002]) for _ in talks]
    with ThreadPoolExecutor(8) as pool:
        quick = list(pool.map(lambda t, p: fast.talk(t, pause=p), talks, pauses))
        usual = list(pool.map(lambda t: slow.talk(t), talks))
    for talk, got, wanted in zip(talks, quick, usual, strict=True):
        assert masked(got) == masked(wanted), talk
    assert fast.observer.hot + fast.observer.refusals - before > 30
    assert slow.observer.hot == 0


def test_requests_that_come_together_run_together_and_answer_apart(
    lanes: tuple[Running, Running], model_file: ModelFile
) -> None:
    fast, _ = lanes
    model = onnxport.load(model_file(ROWS_APART))
    start = threading.Barrier(32)

    def ask(caller: int) -> int:
        rows = [row(random.Random(caller * 1000 + i)) for i in range(60)]
        expected = model.predict(rows)
        with fast.connect() as connection:
            start.wait()
            for i, (sent, wanted) in enumerate(zip(rows, expected, strict=True)):
                known_as = b"X-Request-ID: id-%d-%d" % (caller, i)
                connection.sendall(request(json.dumps(sent).encode(), headers=(known_as,)))
                head, got = connection.recv(65536).split(b"\r\n\r\n")
                assert head.endswith(known_as[12:])
                assert json.loads(got) == wanted
        return len(rows)

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(ask, range(32))) == 32 * 60
    assert fast.observer.most > 1


def test_one_bad_row_does_not_touch_its_neighbours(lanes: tuple[Running, Running]) -> None:
    fast, slow = lanes
    good, bad = row(random.Random(1)), row(random.Random(2), grade=3)
    asked = [request(json.dumps(bad if i % 5 == 2 else good).encode()) for i in range(20)]
    for lane in (fast, slow):
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda sent, lane=lane: lane.talk([sent, LAST]), asked))
        for i, answer in enumerate(answers):
            assert answer.startswith(b"HTTP/1.1 422" if i % 5 == 2 else b"HTTP/1.1 200"), i


def test_a_head_and_its_body_may_come_apart(lanes: tuple[Running, Running]) -> None:
    fast, slow = lanes
    sent = request(json.dumps(row(random.Random(3))).encode())
    head = sent.index(b"\r\n\r\n") + 4
    for cuts in (
        [head],
        [head + 1],
        [1],
        [head - 1],
        [head - 2, head + 5],
        list(range(1, len(sent), 7)),
    ):
        parts = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        talk = [sent, sent, *parts, sent, LAST]
        assert masked(fast.talk(talk, pause=0.003)) == masked(slow.talk(talk)), cuts


def test_pipelined_requests_are_answered_in_order(lanes: tuple[Running, Running]) -> None:
    fast, slow = lanes
    draw = random.Random(4)
    asked = []
    for i in range(120):
        known_as = (b"X-Request-ID: n%d" % i,)
        kind = i % 6
        content = json.dumps([row(draw)] * 3 if kind == 2 else row(draw)).encode()
        line = b"GET /model HTTP/1.1" if kind == 4 else LINES[0]
        asked.append(request(b"" if kind == 4 else content, headers=known_as, line=line))
    got = fast.talk([b"".join(asked) + LAST])
    assert masked(got) == masked(slow.talk([b"".join(asked) + LAST]))
    places = [got.index(b"x-request-id: n%d\r\n" % i) for i in range(120)]
    assert places == sorted(places)


def test_a_request_smuggled_behind_an_early_answer_is_never_read(
    lanes: tuple[Running, Running],
) -> None:
    """The first request is refused before its body is read; what looks like a request in that body is none."""
    inner = request(
        json.dumps(row(random.Random(6))).encode(), headers=(b"X-Request-ID: smuggled",)
    )
    for headers in ((b"Content-Type: text/csv",), (b"Content-Encoding: gzip",)):
        outer = request(inner, headers=headers)
        head = outer.index(b"\r\n\r\n") + 4
        talk = [inner, inner, outer[:head], outer[head:], LAST]
        for lane in lanes:
            got = lane.talk(talk, pause=0.05)
            assert got.count(b"x-request-id: smuggled") == 2
            assert got.count(b"HTTP/1.1 415") == 1


def test_a_caller_who_vanishes_takes_nobody_along(lanes: tuple[Running, Running]) -> None:
    fast, _ = lanes
    sent = request(json.dumps(row(random.Random(7))).encode())
    for cut in (10, len(sent) // 2, len(sent)):
        for _ in range(30):
            with fast.connect() as gone:
                gone.sendall(sent + sent[:cut])
    assert fast.talk([sent, LAST]).count(b"HTTP/1.1 200") == 2
    deadline = time.monotonic() + 5
    while fast.server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not fast.server.server_state.connections


def test_a_caller_who_does_not_read_is_cut_off(model_file: ModelFile) -> None:
    with Running(model_file(ROWS_APART), Settings(**SETTINGS), fast=True) as fast:
        fast.lane.protocol.send_seconds = 0.5
        sent = request(json.dumps([row(random.Random(8))] * 100).encode())
        with fast.connect() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            lazy.settimeout(4)
            with pytest.raises((TimeoutError, ConnectionError)):
                lazy.sendall(sent * 10_000)
            deadline = time.monotonic() + 10
            while fast.server.server_state.connections and time.monotonic() < deadline:
                fast.tick()
                time.sleep(0.1)
            assert not fast.server.server_state.connections


def test_an_idle_connection_is_closed_after_keep_alive(model_file: ModelFile) -> None:
    settings = Settings(**SETTINGS, keep_alive=1)
    sent = request(json.dumps(row(random.Random(9))).encode())
    with (
        Running(model_file(ROWS_APART), settings, fast=True) as fast,
        fast.connect() as connection,
    ):
        for _ in range(4):
            connection.sendall(sent)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)
        began = time.monotonic()
        while time.monotonic() - began < 5 and fast.server.server_state.connections:
            fast.tick()
            time.sleep(0.1)
        assert 0.3 < time.monotonic() - began < 4
        assert read_to_end(connection) == b""


def test_keys_count_on_the_fast_path_and_until_they_are_withdrawn(
    model_file: ModelFile, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(HASHES + "\n")
    settings = Settings(**SETTINGS, api_key_file=str(keys))
    path = model_file(ROWS_APART)
    content = json.dumps(row(random.Random(10))).encode()
    right = request(content, headers=(b"Authorization: Bearer " + KEY.encode(),))
    wrong = request(content, headers=(b"Authorization: Bearer x" + KEY[1:].encode(),))
    with Running(path, settings, fast=True) as fast, Running(path, settings, fast=False) as slow:
        talk = [right] * 4 + [wrong] * 4 + [right, request(content), LAST]
        assert masked(fast.talk(talk, pause=0.005)) == masked(slow.talk(talk))
        assert fast.observer.hot >= 2
        with fast.connect() as connection:
            for _ in range(3):
                connection.sendall(right)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            keys.write_text("other:" + "0" * 64 + "\n")
            fast.tick()
            connection.sendall(right)
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("origins", ["https://shop.example.com", "*"])
def test_pages_of_other_origins_get_the_same_headers(model_file: ModelFile, origins: str) -> None:
    path, settings = model_file(ROWS_APART), Settings(**SETTINGS, cors_origins=origins)
    good = json.dumps(row(random.Random(11))).encode()
    origin = (b"Origin: https://shop.example.com",)
    with Running(path, settings, fast=True) as fast, Running(path, settings, fast=False) as slow:
        asked = [request(content, headers=h) for content in (good, b"{") for h in ((), origin)]
        health = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        talk = [*(each for each in (*asked, health) for _ in range(3)), LAST]
        assert masked(fast.talk(talk, pause=0.003)) == masked(slow.talk(talk))
        assert fast.observer.hot >= 1


def test_large_models_answer_many_callers_in_few_runs(model_file: ModelFile) -> None:
    """While a run is at work in a thread, requests wait together; each gets its own answer, in order."""
    path = model_file(models.slow())
    settings = Settings(**SETTINGS, max_wait=60, deadline=60, threads=1)
    with Running(path, settings, fast=True) as fast, Running(path, settings, fast=False) as slow:
        assert not fast.service.scheduler.is_small
        asked = [request(b'{"x":%d}' % i, headers=(b"X-Request-ID: i%d" % i,)) for i in range(24)]
        with ThreadPoolExecutor(24) as pool:
            quick = list(pool.map(lambda sent: fast.talk([sent, LAST]), asked))
        usual = [slow.talk([sent, LAST]) for sent in asked[:6]]
        assert list(map(masked, quick[:6])) == list(map(masked, usual))
        assert all(b"x-request-id: i%d\r\n" % i in answer for i, answer in enumerate(quick))
        pipelined = fast.talk([b"".join(asked) + LAST])
        places = [pipelined.index(b"x-request-id: i%d\r\n" % i) for i in range(24)]
        assert places == sorted(places)


def test_too_long_a_queue_is_refused_at_once(model_file: ModelFile) -> None:
    settings = Settings(**SETTINGS, max_wait=1, deadline=60, threads=1)
    with Running(model_file(models.slow()), settings, fast=True) as fast:
        long = request(json.dumps([{"x": 1.0}] * 700).encode())
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: fast.talk([long, LAST]), range(12)))
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
        assert 4 < len(refused) < 12
        for answer in refused:
            assert b"\r\nretry-after: 1\r\n" in answer
            assert b'"type":"overloaded"' in answer
        assert fast.talk([request(b'{"x":1}'), LAST]).startswith(b"HTTP/1.1 200")


def test_what_is_late_is_given_up(model_file: ModelFile) -> None:
    settings = Settings(**SETTINGS, max_wait=60, deadline=1, threads=1)
    with Running(model_file(models.slow()), settings, fast=True) as fast:
        long = request(json.dumps([{"x": 1.0}] * 3000).encode())
        stop = threading.Event()

        def tick() -> None:
            while not stop.wait(0.2):
                fast.tick()

        ticking = threading.Thread(target=tick)
        ticking.start()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(fast.talk, [long, LAST])
            time.sleep(0.3)
            second = pool.submit(fast.talk, [request(b'{"x":1}'), LAST])
            for answer in (first.result(), second.result()):
                assert answer.startswith(b"HTTP/1.1 503")
                assert b"\r\nretry-after: 1\r\n" in answer
        stop.set()
        ticking.join()


def test_a_caller_who_pipelines_without_end_does_not_fill_the_memory(
    lanes: tuple[Running, Running],
) -> None:
    fast, _ = lanes
    sent = request(json.dumps(row(random.Random(12))).encode())
    with fast.connect() as pipeliner:
        pipeliner.sendall(sent)
        assert pipeliner.recv(65536).startswith(b"HTTP/1.1 200")
        pipeliner.settimeout(1)
        with pytest.raises(TimeoutError):
            pipeliner.sendall(sent * 100_000)
        connection: Any
        (connection,) = fast.server.server_state.connections
        assert len(connection._held) < 2**20
        assert fast.talk([sent, LAST]).count(b"HTTP/1.1 200") == 2


def test_a_body_that_nests_too_deep_harms_no_neighbour(model_file: ModelFile) -> None:
    unread = replace(ROWS_APART.signature, columns=(*ROWS_APART.signature.names, "unread"))
    made = replace(ROWS_APART, name="unread", signature=unread)
    good, deep = row(random.Random(13)), row(random.Random(14))
    nested = json.dumps(deep)[:-1] + ',"unread":' + "[" * 1000 + "]" * 1000 + "}"
    asked = [
        request(nested.encode() if i % 10 == 3 else json.dumps(good).encode()) for i in range(40)
    ]
    with Running(model_file(made), Settings(**SETTINGS), fast=True) as fast:
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda sent: fast.talk([sent] * 3 + [LAST], pause=0.005), asked)
            )
        for i, answer in enumerate(answers):
            assert answer.count(b"HTTP/1.1 200") == (1 if i % 10 == 3 else 4)
            assert b"HTTP/1.1 500" not in answer


def test_an_id_in_an_unusual_form_comes_back(lanes: tuple[Running, Running]) -> None:
    content = json.dumps(row(random.Random(15))).encode()
    for header in (
        b"X-Request-ID:abc",
        b"X-Request-ID:  abc",
        b"x-request-id:\tabc",
        b"X-Request-ID: abc ",
    ):
        sent = request(content, headers=(header,))
        for lane in lanes:
            got = lane.talk([sent, sent, sent, sent, LAST], pause=0.005)
            assert got.count(b"x-request-id: abc\r\n") == 4, header


def test_the_limit_of_headers_holds_however_often_they_come(lanes: tuple[Running, Running]) -> None:
    fast, _ = lanes
    sent = request(json.dumps(row(random.Random(16))).encode(), headers=(b"h:1",) * 100)
    for _ in range(4):
        assert fast.talk([sent, LAST]).startswith(b"HTTP/1.1 431")


def test_an_upgrade_with_a_body_is_no_way_to_smuggle(lanes: tuple[Running, Running]) -> None:
    inner = request(json.dumps(row(random.Random(17))).encode(), headers=(b"X-Request-ID: in",))
    wish = (b"Connection: Upgrade", b"Upgrade: h2c")
    for lane in lanes:
        got = lane.talk([request(inner, headers=wish), LAST])
        assert got.startswith(b"HTTP/1.1 400")
        assert b"x-request-id: in" not in got
        got = lane.talk(
            [b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"\r\n".join(wish) + b"\r\n\r\n", LAST]
        )
        assert got.count(b"HTTP/1.1 200") == 2


def test_keep_alive_does_not_cut_what_is_at_work(model_file: ModelFile) -> None:
    settings = Settings(**SETTINGS, keep_alive=1, threads=1, max_wait=60, deadline=60)
    with Running(model_file(models.slow()), settings, fast=True) as fast:
        long = request(json.dumps([{"x": 1.0}] * 1200).encode())
        one = request(b'{"x":1}')
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(fast.talk, [long, LAST])
            time.sleep(0.1)
            second = pool.submit(fast.talk, [one + one + one, LAST], pause=0.1)
            assert first.result().count(b"HTTP/1.1 200") == 2
            assert second.result().count(b"HTTP/1.1 200") == 4


def test_short_requests_do_not_make_long_ones_look_longer(model_file: ModelFile) -> None:
    """What is done once for a request counts as nobody's rows."""
    with Running(model_file(ROWS_APART), Settings(**SETTINGS), fast=True) as fast:
        single = json.dumps([row(random.Random(18))]).encode()
        many = json.dumps([row(random.Random(19))] * 1500).encode()
        with ThreadPoolExecutor(10) as pool:
            asked = [request(many if i % 5 == 0 else single) for i in range(300)]
            answers = list(pool.map(lambda sent: fast.talk([sent, LAST]), asked))
        assert all(answer.count(b"HTTP/1.1 200") == 2 for answer in answers)


def test_who_has_gone_takes_no_place_in_the_queue(model_file: ModelFile) -> None:
    settings = Settings(**SETTINGS, threads=1, max_wait=1, deadline=60)
    with Running(model_file(models.slow()), settings, fast=True) as fast:
        long = request(json.dumps([{"x": 1.0}] * 1000).encode())
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(fast.talk, [long, LAST])
            time.sleep(0.3)
            for _ in range(3):
                with fast.connect() as gone:
                    gone.sendall(long)
                    time.sleep(0.1)
            time.sleep(0.2)
            assert fast.talk([request(b'{"x":1}'), LAST]).startswith(b"HTTP/1.1 200")
            assert first.result().startswith(b"HTTP/1.1 200")


def test_an_empty_line_behind_a_request_is_no_request(lanes: tuple[Running, Running]) -> None:
    sent = request(json.dumps(row(random.Random(20))).encode())
    for lane in lanes:
        assert lane.talk([sent + b"\r\n", sent, LAST], pause=0.05).count(b"HTTP/1.1 200") == 3

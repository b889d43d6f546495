"""Damaged bodies, to the parser alone and over HTTP: every answer is the one that the documentation promises.

The oracle reads each body with Python's own JSON reader, so that nothing which a fast decoder lets through passes.
"""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

import onnxport
from onnxport.codec import Unsure
from onnxport.errors import RequestError
from onnxport.predictor import Model
from onnxport.server.problems import describe
from tests.faults.conftest import Note, Start
from tests.faults.gauges import MIB, Gauges
from tests.faults.mutator import Mutator
from tests.faults.oracle import is_right
from tests.faults.sizes import drawing, sizes
from tests.faults.subjects import COLUMNS, EVERY_KIND, SUBJECTS, Subject
from tests.faults.wire import Volley, chunked, request
from tests.server import models

LINES = 16
GROWTH = 20 * MIB
FULL = 100_000

of_each = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


def opened(subject: Subject) -> Model:
    return onnxport.load(models.write(subject.made))


def answer(model: Model, body: bytes) -> tuple[int, bytes]:
    """The status and the content that a body has."""
    try:
        return 200, model.predict_json(body)
    except RequestError as err:
        problem = describe(err)
        told = {"detail": [{"type": detail.code} for detail in problem.details]}
        return problem.status, json.dumps(told).encode()


@of_each
@sizes(10_000, 1_000_000)
def test_the_parser_takes_what_is_promised_and_nothing_else(
    subject: Subject, note: Note, count: int
) -> None:
    model, bodies = opened(subject), Mutator(drawing("parser"), subject.row)
    statuses = Counter[int]()
    for _ in range(count):
        body = bodies.body()
        status, content = answer(model, body)
        assert is_right(subject.oracle.judge(body), status, content), (body, status, content)
        statuses[status] += 1
    assert min(statuses[status] for status in (200, 400, 422)) > count // 10
    note(bodies=count, good=statuses[200])


@of_each
@sizes(2_000, 100_000)
def test_rows_that_are_read_together_are_taken_one_by_one(
    subject: Subject, note: Note, count: int
) -> None:
    """The fast path counts colons and quotes of all bodies at once; no two of them may make up for each other."""
    model, bodies, answered = opened(subject), Mutator(drawing("together"), subject.row), 0
    for _ in range(count):
        together = [bodies.body() for _ in range(bodies.draw.choice([1, 2, 3]))]
        try:
            contents = model.answer_bodies(together)
        except (Unsure, RequestError):
            continue
        answered += 1
        for body, content in zip(together, contents, strict=True):
            assert is_right(subject.oracle.judge(body), 200, content), (together, content)
    assert answered > count // 30
    note(groups=count, answered=answered)


@sizes(3_000, FULL)
def test_every_body_has_its_answer_over_http(start: Start, note: Note, count: int) -> None:
    """16 at a time, on both paths. Memory is compared with that after a fifth of them."""
    gauges = Gauges(start(EVERY_KIND.made))
    bodies, statuses = Mutator(drawing("http"), EVERY_KIND.row), Counter[int]()
    before, took = gauges.resident(), list[float]()
    with Volley(gauges.url, LINES) as volley:
        for sent in range(0, count, LINES):
            asked = [bodies.body() for _ in range(LINES)]
            framed = [_framed(bodies, body) for body in asked]
            began = time.perf_counter()
            answers = volley.ask(framed)
            took.append(time.perf_counter() - began)
            for body, got in zip(asked, answers, strict=True):
                wanted = EVERY_KIND.oracle.judge(body)
                assert is_right(wanted, got.status, got.content), (body, wanted, got)
                statuses[got.status] += 1
            if sent <= count // 5:
                before = gauges.resident()
    growth, p99 = gauges.resident() - before, sorted(took)[len(took) * 99 // 100]
    assert growth < GROWTH
    assert count < FULL or p99 < 0.05
    assert set(statuses) == {200, 400, 422}
    note(requests=sum(statuses.values()), good=statuses[200], growth=f"{growth / MIB:.1f} MiB")
    note(p99_of_16=f"{p99 * 1000:.1f} ms")


def _framed(bodies: Mutator, body: bytes) -> bytes:
    """Mostly for the fast path; also for FastAPI, because of the query, and in chunks."""
    kind, half = bodies.draw.random(), len(body) // 2
    if kind < 0.7:
        return request(body)
    if kind < 0.9:
        return request(body, line=b"POST /predict?x=1 HTTP/1.1")
    return chunked([part for part in (body[:half], body[half:]) if part])


# --------------------------------------------------------------------------------------------------- depth

DEEP = b'{"a:b":1,"c":1,"say":"","id":' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize("body", [DEEP, b"[%b]" % DEEP], ids=["one row", "a list"])
def test_depth_in_a_column_that_is_never_read(body: bytes) -> None:
    """Nor may it fail those who are read together with it."""
    model = opened(COLUMNS)
    assert answer(model, body)[0] == 400
    with pytest.raises((Unsure, RequestError)):
        model.answer_bodies([body, b'{"a:b":1,"c":1,"say":""}'])

"""Where one request ends and the next begins, over raw sockets: nothing hostile ever shifts it.

After whatever was sent, the next good request on the connection gets its own answer under its own id, or the connection
is closed after a refusal; what was hidden in a body or a header is never answered.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import hostile
from tests.faults.conftest import Note, Start
from tests.faults.hostile import ENDED, FREE, REFUSED, TAKEN
from tests.faults.sizes import drawing, sizes
from tests.faults.wire import Answer, Line, chunked, request
from tests.server import models

LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: last\r\n\r\n"


@pytest.fixture(scope="module")
def url(start: Start) -> str:
    return start(models.reciprocal()).url


def good(number: int, draw: random.Random) -> bytes:
    """A request whose answer is its own: 1 / number."""
    body, known_as = b'{"x":%d}' % number, b"X-Request-ID: g-%d" % number
    kind = draw.random()
    if kind < 0.6:
        return request(body, known_as)
    if kind < 0.75:
        return chunked([body[:3], body[3:]], known_as)
    return request(body, known_as, line=b"POST /predict?cold HTTP/1.1")


def is_answer_to(number: int, answer: Answer) -> bool:
    return (
        answer.status == 200
        and answer.known_as == f"g-{number}"
        and answer.document == {"prediction": 1 / number}
    )


def pieces(content: bytes, draw: random.Random) -> list[bytes]:
    """The same bytes, cut at some random places or none."""
    cuts = sorted(draw.randrange(len(content)) for _ in range(draw.choice([0, 0, 1, 2, 5])))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return [part for part in parts if part]


def send(line: Line, parts: Sequence[bytes]) -> None:
    for part in parts:
        line.send(part)
        if len(parts) > 1:
            time.sleep(0.001)


def final(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status >= 200]


@sizes(2, 25)
@pytest.mark.parametrize(
    "name",
    list(hostile.ALL),
    ids=[name.encode("unicode_escape").decode()[:60] for name in hostile.ALL],
)
def test_what_two_readers_may_take_for_different_things(url: str, name: str, count: int) -> None:
    content, outcome = hostile.ALL[name]
    draw = drawing(name)
    for _ in range(count):
        before = list(range(1, draw.choice([1, 2, 4])))
        after = list(range(11, 11 + draw.choice([1, 1, 3])))
        sent = b"".join(good(number, draw) for number in before) + content
        sent += b"".join(good(number, draw) for number in after) + LAST
        with Line(url) as line:
            send(line, pieces(sent, draw))
            answers = final(line.rest())
        assert all(map(is_answer_to, before, answers)), answers
        judge(outcome, answers[len(before) :], after)


def judge(outcome: str, answers: Sequence[Answer], after: Sequence[int]) -> None:
    """answers: to what was hostile, and to what came after it."""
    assert answers, "closed without a word"
    first, *others = answers
    assert "smuggled" not in {answer.known_as for answer in others}
    if outcome == FREE:
        outcome = REFUSED if first.headers.get("connection") == "close" else TAKEN
    if outcome == REFUSED:
        assert 400 <= first.status < 500
    if outcome in (REFUSED, ENDED):
        assert first.headers["connection"] == "close"
        assert others == []
        return
    *answered, last = others
    assert len(answered) == len(after)
    assert all(map(is_answer_to, after, answered)), answered
    assert last.known_as == "last"


def in_threads(talk: Callable[[int], object], count: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(talk, range(count)):
            pass


@sizes(60, 1_500)
def test_pipelined_in_random_pieces(url: str, note: Note, count: int) -> None:
    draw = drawing("pieces")
    talks = []
    for _ in range(count):
        numbers = list(range(1, draw.randint(2, 60)))
        content = b"".join(good(number, draw) for number in numbers) + LAST
        talks.append((numbers, pieces(content, draw)))

    def talk(which: int) -> None:
        numbers, parts = talks[which]
        with Line(url) as line:
            send(line, parts)
            *answers, last = line.rest()
        assert len(answers) == len(numbers)
        assert all(map(is_answer_to, numbers, answers)), parts
        assert last.known_as == "last"

    in_threads(talk, count)
    note(conversations=count, requests=sum(len(numbers) for numbers, _ in talks))


@sizes(150, 3_000)
def test_one_damaged_head_among_good_ones(url: str, note: Note, count: int) -> None:
    """Whatever the damage: good requests before it are answered, and so are those behind it, or else nothing is."""
    draw = drawing("damaged")
    talks = []
    for _ in range(count):
        before, after = draw.randint(0, 3), draw.randint(1, 3)
        numbers = [*range(1, 1 + before), *range(11, 11 + after)]
        asked = [good(number, draw) for number in numbers]
        asked.insert(before, damaged(draw))
        talks.append((before, after, pieces(b"".join(asked) + LAST, draw)))
    taken = []

    def talk(which: int) -> None:
        before, after, parts = talks[which]
        with Line(url, timeout=2) as line:
            send(line, parts)
            answers, closed = until_silence(line)
        answers = final(answers)
        assert all(map(is_answer_to, range(1, 1 + before), answers)), (parts, answers)
        follow = [a for a in answers[before:] if a.known_as[:2] == "g-" or a.known_as == "last"]
        taken.append(bool(follow))
        if follow:
            assert all(map(is_answer_to, range(11, 11 + after), follow)), (parts, answers)
            assert len(answers) == before + 1 + after + 1
        elif closed:
            assert 400 <= answers[-1].status < 500 or len(answers) == before + 1, (parts, answers)

    in_threads(talk, count)
    assert count // 10 < sum(taken) < count - count // 10
    note(conversations=count, read_on=sum(taken))


def damaged(draw: random.Random) -> bytes:
    """A request with an id of its own, and some bytes of its head changed."""
    content = request(b'{"x":7}', b"X-Request-ID: damaged", b"Accept: */*")
    end = content.index(b"\r\n\r\n")
    for _ in range(draw.choice([1, 1, 2])):
        at = draw.randrange(end)
        new = draw.choice(
            [b"", bytes([draw.randrange(256)]), b"\r", b"\n", b"\r\n", b":", b" ", b"\0"]
        )
        content = content[:at] + new + content[at + draw.choice([0, 1]) :]
    return content


def until_silence(line: Line) -> tuple[list[Answer], bool]:
    """What comes, and whether the server has closed: where a length was damaged, it may wait for more."""
    answers = []
    try:
        while (answer := line.read()) is not None:
            answers.append(answer)
    except TimeoutError:
        return answers, False
    return answers, True


@sizes(100, 1_500)
def test_what_is_cut_off_is_never_answered(url: str, note: Note, count: int) -> None:
    draw = drawing("cut off")
    asked = [(good(5, draw), draw.random()) for _ in range(count)]

    def talk(which: int) -> None:
        content, place = asked[which]
        with Line(url) as line:
            line.send(
                request(b'{"x":3}', b"X-Request-ID: g-3") + content[: int(place * len(content))]
            )
            first = line.read()
            assert first is not None
            assert is_answer_to(3, first)
            line.socket.shutdown(socket.SHUT_WR)
            assert all(400 <= answer.status < 500 for answer in line.rest())

    in_threads(talk, count)
    note(conversations=count)

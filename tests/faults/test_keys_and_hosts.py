"""Nearly right keys and hosts, on connections that have just shown the right ones: nobody slips through.

What the fast path remembers of a request is the bytes of its head; each of these heads differs from one that it knows.
How long a refusal takes is studied in tests/core/test_keys.py, other ways around a key in tests/server/test_keys.py.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from tests.faults.conftest import Note, Start
from tests.faults.sizes import drawing, sizes
from tests.faults.wire import HOST, POST, Answer, Line, chunked, request
from tests.server import models

KEY, OTHER = (b"onnxport_" + digits * 3 for digits in (b"0123456789abcdef", b"fedcba9876543210"))
SHA256 = hashlib.sha256(KEY).hexdigest()
HOSTS = "api.example.com,*.shop.example,127.0.0.1,[::1]"
ROW = b'{"x":8}'
COLD = b"POST /predict?x=1 HTTP/1.1"
LINES = (
    b"X-API-Key: %b",
    b"x-api-key:%b",
    b"Authorization: Bearer %b",
    b"authorization: bearer  %b",
)
LETS_IN = re.compile(
    rb"\r\n(?:(?i:x-api-key):[ \t]*|(?i:authorization):[ \t]*(?i:bearer)[ \t]+)%b[ \t]*(?=\r\n)"
    % KEY
)


@pytest.fixture(scope="module")
def url(start: Start, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(f"ours:{SHA256}\nother:{hashlib.sha256(OTHER).hexdigest()}\n", "utf-8")
    options = ("--api-key-file", path, "--hosts", f"x,{HOSTS}")
    return start(models.reciprocal(), *options).url


def is_good(answer: Answer | None) -> bool:
    return answer is not None and answer.status == 200 and answer.document == {"prediction": 0.125}


class Caller:
    """A connection that asks rightly again and again, and is made anew where a refusal has closed it."""

    def __init__(self, url: str, right: bytes) -> None:
        self._url, self._right = url, right
        self._line = self._connected()

    def _connected(self) -> Line:
        line = Line(self._url)
        assert all(is_good(line.ask(self._right)) for _ in range(3))  # now its head is known
        return line

    def ask(self, content: bytes) -> Answer | None:
        """The answer to a request between two right ones; None where it has none, or may never be complete."""
        self._line.socket.settimeout(1)
        self._line.send(content)
        try:
            answer = self._line.read()
        except TimeoutError:
            answer = None
        if answer is None or answer.headers.get("connection") == "close":
            self._line.close()
            self._line = self._connected()
        self._line.socket.settimeout(20)
        assert is_good(self._line.ask(self._right))
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()


# ---------------------------------------------------------------------------------------------- keys


def near(key: bytes, draw: random.Random) -> bytes:
    """Another key, of the same length or nearly so."""
    at, letter = draw.randrange(len(key)), bytes([draw.randrange(256)])
    return draw.choice(
        [
            key[:at] + letter + key[at + 1 :],
            key[:at] + bytes([key[at] ^ 0x20]) + key[at + 1 :],
            key[:at] + key[at + 1 :],
            key[:at] + letter + key[at:],
            key[:at]
            + draw.choice([b"\r\n", b"\r\n ", b"\n", b"\r", b"\0", b" ", b"\t", b","])
            + key[at:],
            key[:at],
            key + draw.choice([b"\0", b"=", b" " + key, b"," + key, key[:1]]),
            key.swapcase(),
            key[::-1],
            b'"%b"' % key,
            b"%%%02x%b" % (key[0], key[1:]),
            SHA256.encode(),
            b"ours:" + SHA256.encode(),
            b"onnxport_%048x" % draw.getrandbits(192),
            b"",
        ]
    )


def elsewhere(draw: random.Random) -> bytes:
    """The right key in a place where it is none."""
    name = draw.choice(
        [
            b"X-API-Keys",
            b"X_API_Key",
            b"XAPI-Key",
            b"API-Key",
            b"Cookie",
            b"X-Authorization",
            b"Proxy-Authorization",
        ]
    )
    line = b"%b: %b" % (name, draw.choice([KEY, b"Bearer " + KEY, b"X-API-Key: " + KEY]))
    return draw.choice(
        [
            request(ROW, line),
            request(ROW, b"Authorization: " + draw.choice([b"", b"Basic ", b"Token ", b"Bearer,"]) + KEY),
            request(ROW, line=b"POST /predict?X-API-Key=%b HTTP/1.1" % KEY),
            request(ROW, line=b"POST http://%b@x/predict HTTP/1.1" % KEY),
            request(ROW, b"X-Request-ID: " + KEY[:64]),
            request(b'{"X-API-Key":"%b"}' % KEY),
            chunked([ROW])[:-2] + b"X-API-Key: " + KEY + b"\r\n\r\n",
            request(ROW, b"X-API-Key : " + KEY),
            request(ROW, b" X-API-Key: " + KEY),
            request(ROW, b"A: b\rX-API-Key: " + KEY),
            request(ROW, b"A: b\nX-API-Key: " + KEY),
            request(ROW, b"A: b", b" X-API-Key: " + KEY),
            request(ROW, *[b"X-API-Key: " + draw.choice([KEY, near(KEY, draw)]), b"X-API-Key: " + KEY]),
            request(ROW, b"X-API-Key: " + near(KEY, draw), b"Authorization: Bearer " + KEY),
        ]
    )  # fmt: skip


def nearly_right(form: bytes, draw: random.Random) -> bytes:
    """A request with a wrong key in the place of the right one, the right one in a wrong place, or none."""
    kind = draw.random()
    if kind < 0.6:
        return request(ROW, form % near(KEY, draw), line=draw.choice([POST, POST, COLD]))
    return elsewhere(draw) if kind < 0.9 else request(ROW)


def judge(answer: Answer, head: bytes) -> None:
    if answer.status == 401:
        return
    assert 400 <= answer.status < 500 or LETS_IN.search(head), (head, answer)
    if answer.status == 200:
        assert len(re.findall(rb"(?i)\r\nx-api-key[ \t]*:", head)) <= 1, head


@sizes(200, 7_000)
def test_nearly_right_keys(url: str, note: Note, count: int) -> None:
    """Whoever is answered has sent the right key, alone, as the value of the right header."""
    draw, statuses = drawing("keys"), Counter[int]()
    for _ in range(count // 100):
        form = draw.choice(LINES)
        with Caller(url, request(ROW, form % KEY)) as caller:
            for _ in range(100):
                content = nearly_right(form, draw)
                answer = caller.ask(content)
                statuses[answer.status if answer else 0] += 1
                if answer is not None:
                    judge(answer, content.partition(b"\r\n\r\n")[0] + b"\r\n")
    assert statuses[401] > count // 2
    note(requests=count, let_in=statuses[200], unauthorized=statuses[401])


# ---------------------------------------------------------------------------------------------- hosts

PIECES = (
    b"api.example.com", b"a.shop.example", b"shop.example", b"127.0.0.1", b"[::1]", b"x", b":80", b":", b":99999", b".",
    b"/", b"/health/live", b"?", b"#", b"@", b"\\", b"%2e", b" ", b"\t", b",", b"evil", b"-", b"*", b"\xe9", b"[", b"]",
)  # fmt: skip
NAME = rb"(?:x|api\.example\.com|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.shop\.example|127\.0\.0\.1|\[::1\])"
RIGHT_HOST = re.compile(
    rb"(?i)[ \t]*%b(?::[0-9]{0,5})?" % NAME
)  # white space behind it may be refused
PATHS = (POST, COLD, b"GET /model HTTP/1.1", b"GET /docs HTTP/1.1", b"GET /health/live HTTP/1.1")


def any_hosts(draw: random.Random) -> list[bytes]:
    """The values of the Host headers of a request."""
    more = draw.choices(PIECES, k=draw.choice([0, 0, 1, 2]))
    return [b"".join([draw.choice(PIECES[:6]), *more]), *([b"x"] if draw.random() < 0.1 else [])]


def allowed(hosts: list[bytes], path: bytes, *, with_key: bool) -> set[int]:
    """The statuses that a request may get."""
    if b"/health" in path:
        return {200, 400}
    listed = len(hosts) == 1 and RIGHT_HOST.fullmatch(hosts[0].rstrip(b" \t")) is not None
    let_in = with_key or b"/docs" in path
    if not listed:
        return {400} if let_in else {400, 401}
    refused = {400} if hosts[0].endswith((b" ", b"\t")) else set()
    return {200, *refused} if let_in else {401, *refused}


@sizes(150, 3_000)
def test_any_host(url: str, note: Note, count: int) -> None:
    """A host that isn't listed is told so, and no host makes another path of a path: without a key nothing is told."""
    draw, statuses = drawing("hosts"), Counter[int]()
    right = request(ROW, LINES[0] % KEY)
    with Caller(url, right) as caller:
        for _ in range(count):
            path, with_key = draw.choice(PATHS), draw.random() < 0.5
            hosts = any_hosts(draw)
            keys = (LINES[0] % KEY,) if with_key else ()
            content = request(ROW if path in (POST, COLD) else b"", *keys, line=path)
            lines = b"\r\n".join(b"Host: " + host for host in hosts)
            answer = caller.ask(content.replace(HOST, lines))
            assert answer is not None
            statuses[answer.status] += 1
            wanted = allowed(hosts, path, with_key=with_key)
            assert answer.status in wanted, (hosts, path, with_key, answer)
    assert min(statuses[status] for status in (200, 400, 401)) > count // 20
    note(requests=count, **{f"status_{status}": n for status, n in sorted(statuses.items())})

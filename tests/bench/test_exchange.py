"""Reading answers, and knowing one again."""

from __future__ import annotations

import pytest

from onnxport.bench.exchange import Exchange, Question, Reader

ID, OTHER = b"a" * 32, b"b" * 32
BODY = b'{"prediction": 2.0}'
HEAD = b"HTTP/1.1 200 OK\r\nX-Request-ID: " + ID + b"\r\nContent-Length: 19\r\n\r\n"


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(b"POST /predict HTTP/1.1\r\n", Question(b'{"x":1}', {"prediction": 2.0}), 1e-6)


def read(*pieces: bytes) -> Reader:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
    return reader


def test_a_request(exchange: Exchange) -> None:
    assert exchange.request(ID) == (
        b"POST /predict HTTP/1.1\r\nContent-Length: 7\r\nX-Request-ID: " + ID + b'\r\n\r\n{"x":1}'
    )


def test_a_known_answer_to_another_request(exchange: Exchange) -> None:
    assert exchange.known is None
    exchange.learn(HEAD + BODY, ID)
    assert exchange.known is not None
    assert OTHER.join(exchange.known) == HEAD.replace(ID, OTHER) + BODY


def test_a_body_is_judged_once_and_known_by_its_bytes(exchange: Exchange) -> None:
    assert exchange.fault(b'{"prediction": 3.0}') == "prediction is 3.0 instead of 2.0"
    assert exchange.fault(BODY) == exchange.fault(BODY) == ""
    assert exchange.fault(b'{"prediction": 3.0}') == "prediction is 3.0 instead of 2.0"
    assert exchange.fault(b"<html>") == "no JSON: <html>"


@pytest.mark.parametrize("cut", range(1, len(HEAD + BODY)))
def test_an_answer_in_two_pieces(exchange: Exchange, cut: int) -> None:
    message = HEAD + BODY
    reader = read(message[:cut])
    assert not reader.is_complete
    reader.feed(message[cut:])
    assert (reader.is_complete, reader.keep_alive, reader.request_id) == (True, True, ID)
    assert reader.verdict(exchange) == ("", "")


def test_what_comes_before_and_after_an_answer(exchange: Exchange) -> None:
    early = read(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", HEAD, BODY)
    assert (early.status, early.verdict(exchange)) == (200, ("", ""))
    twice = read(HEAD + BODY + HEAD.replace(b"200 OK", b"500 No") + BODY)
    assert (twice.status, twice.body, twice.is_followed) == (200, BODY, True)
    assert twice.verdict(exchange)[0] == "no HTTP"


def test_one_reader_for_many_answers(exchange: Exchange) -> None:
    reader = read(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}")
    assert reader.verdict(exchange) == ("busy", "{}")
    reader.reset()
    reader.feed(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}")
    assert reader.verdict(exchange) == ("status 503", "{}")
    reader.reset()
    reader.feed(HEAD + BODY)
    assert (reader.verdict(exchange), reader.request_id) == (("", ""), ID)

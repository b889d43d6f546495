"""Servers that are slow, broken or not ours: what the client says, and how often it asks."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from onnxport import Client
from onnxport.errors import ConnectionFailed, OverloadedError, ServerBusy, ServerError
from tests.client.scripted import Reply, ScriptedServer, http

Scripted = Callable[..., ScriptedServer]
ANSWER = {"prediction": 1.5}
FINE = Reply(http("200 OK", json.dumps(ANSWER)))
BUSY_BODY = json.dumps(
    {"detail": [{"type": "overloaded", "loc": [], "msg": "too much to do"}], "request_id": "r1"}
)


def busy(**headers: str) -> Reply:
    return Reply(http("503 Service Unavailable", BUSY_BODY, **headers))


def test_a_page_is_no_answer(scripted: Scripted) -> None:
    server = scripted(Reply(http("200 OK", "<html>Welcome</html>", content_type="text/html")))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == (
        f"200 not_onnxport: {server.url}/predict answered text/html, not JSON; "
        "is it an onnxport server, and its base URL complete?"
    )
    assert (caught.value.status, caught.value.code) == (200, "not_onnxport")


def test_another_servers_404(scripted: Scripted) -> None:
    server = scripted(Reply(http("404 Not Found", '{"detail":"Not Found"}')))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.model()
    assert str(caught.value) == (
        f"404 not_onnxport: {server.url}/model answered an error in a form of its own; "
        "is it an onnxport server, and its base URL complete?"
    )


def test_a_gateways_error_page(scripted: Scripted) -> None:
    server = scripted(Reply(http("502 Bad Gateway", "<html></html>", content_type="text/html")))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == (
        f"502 not_onnxport: {server.url}/predict answered text/html, not JSON; "
        "perhaps a gateway in front of the server, which is down or slow"
    )
    assert len(server.requests) == 1


def test_the_wrong_kind_of_json(scripted: Scripted) -> None:
    server = scripted(Reply(http("200 OK", "[1, 2]")), Reply(http("200 OK", "{}")))
    with Client(server.url) as client:
        with pytest.raises(ServerError, match="another kind of JSON"):
            client.predict({"x": 1})
        with pytest.raises(ServerError, match="another kind of JSON"):
            client.predict([{"x": 1}])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_answers(scripted: Scripted, count: int) -> None:
    server = scripted(Reply(http("200 OK", json.dumps([ANSWER] * count))))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict([{"x": 1}, {"x": 2}])
    assert str(caught.value) == (
        f"200 not_onnxport: {server.url}/predict gave {count} answers for 2 rows; "
        "is it an onnxport server, and its base URL complete?"
    )


def test_one_part_with_another_number_of_answers(scripted: Scripted) -> None:
    server = scripted(*[Reply(http("200 OK", json.dumps([ANSWER] * 2)))] * 2)
    with (
        Client(server.url, chunk_rows=2) as client,
        pytest.raises(ServerError, match="2 answers for 1 rows"),
    ):
        client.predict([{"x": i} for i in range(3)])


def test_a_long_unprintable_message(scripted: Scripted) -> None:
    body = json.dumps({"detail": [{"type": "odd", "msg": "\x1b[31m" + "m" * 10_000}]})
    server = scripted(Reply(http("422 Unprocessable Content", body)))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict({"x": 1})
    message = caught.value.details[0].message
    assert len(message) == 500
    assert message.isprintable()


def test_https_to_a_server_without_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_plainly() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(http("400 Bad Request"))

        plain = threading.Thread(target=answer_plainly)
        plain.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url) as client, pytest.raises(ConnectionFailed) as caught:
            client.predict({"x": 1})
        plain.join()
    assert str(caught.value) == f"{url} doesn't speak TLS; try http:// instead of https://"


def test_a_host_name_that_is_too_long() -> None:
    url = f"http://{'a' * 64}.test"
    with Client(url) as client, pytest.raises(ConnectionFailed) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == (
        f"{url} can't be reached: a part of its host's name is empty or too long; correct the URL"
    )


def test_a_redirect_is_not_followed(scripted: Scripted) -> None:
    server = scripted(Reply(http("301 Moved Permanently", Location="https://x.test/predict")), FINE)
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == (
        f"301 redirected: {server.url}/predict redirects to https://x.test/predict; "
        "give the address that answers itself"
    )
    assert len(server.requests) == 1


def test_an_error_without_a_known_status(scripted: Scripted) -> None:
    body = json.dumps(
        {"detail": [{"type": "internal", "loc": [], "msg": "it failed"}], "request_id": "r7"}
    )
    server = scripted(Reply(http("500 Internal Server Error", body)))
    with Client(server.url) as client, pytest.raises(ServerError) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == "500 internal: it failed; request id r7"
    assert caught.value.request_id == "r7"
    assert len(server.requests) == 1


def test_busy_for_a_moment(scripted: Scripted) -> None:
    server = scripted(busy(Retry_After="1"), FINE)
    start = time.monotonic()
    with Client(server.url) as client:
        assert client.predict({"x": 1}) == ANSWER
    assert time.monotonic() - start >= 1
    assert server.requests[0] == server.requests[1]


def test_busy_again_and_again(scripted: Scripted) -> None:
    server = scripted(*[busy(Retry_After="0")] * 5)
    with Client(server.url) as client, pytest.raises(ServerBusy) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == "503 overloaded: too much to do; request id r1"
    assert isinstance(caught.value, OverloadedError)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("told", "understood"),
    [("3600", 3600.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("²", None)],
)
def test_busy_for_too_long_or_an_unknown_time(
    scripted: Scripted, told: str, understood: float | None
) -> None:
    server = scripted(busy(Retry_After=told), FINE)
    with Client(server.url) as client, pytest.raises(ServerBusy) as caught:
        client.predict({"x": 1})
    assert caught.value.retry_after == understood
    assert len(server.requests) == 1


def test_busy_without_a_time(scripted: Scripted) -> None:
    server = scripted(busy(), FINE)
    with Client(server.url) as client, pytest.raises(ServerBusy):
        client.predict({"x": 1})
    assert len(server.requests) == 1


def test_busy_for_longer_than_the_timeout(scripted: Scripted) -> None:
    server = scripted(busy(Retry_After="5"), FINE)
    with Client(server.url, timeout=2) as client, pytest.raises(ServerBusy):
        client.predict({"x": 1})
    assert len(server.requests) == 1


def test_half_an_answer_is_not_asked_for_again(scripted: Scripted) -> None:
    half = http("200 OK", json.dumps(ANSWER))[:-5]
    server = scripted(Reply(half, hang_up=True), FINE)
    with Client(server.url) as client, pytest.raises(ConnectionFailed) as caught:
        client.predict({"x": 1})
    assert str(caught.value).startswith(f"{server.url} broke off in the middle of its answer (")
    assert len(server.requests) == 1


def test_a_new_connection_that_breaks_is_not_tried_again(scripted: Scripted) -> None:
    server = scripted(Reply(b"", hang_up=True), FINE)
    with Client(server.url) as client, pytest.raises(ConnectionFailed) as caught:
        client.predict({"x": 1})
    assert str(caught.value).startswith(f"{server.url} gave no HTTP answer (")
    assert len(server.requests) == 1


def test_a_kept_connection_that_breaks_is_tried_again_once(scripted: Scripted) -> None:
    server = scripted(FINE, Reply(b"", hang_up=True), FINE)
    with Client(server.url) as client:
        assert client.predict({"x": 1}) == ANSWER
        assert client.predict({"x": 2}) == ANSWER
    assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [
        b'{"x":1}',
        b'{"x":2}',
        b'{"x":2}',
    ]
    assert server.connections == 2


def test_what_breaks_two_connections_is_left(scripted: Scripted) -> None:
    server = scripted(FINE, Reply(b"", hang_up=True), Reply(b"", hang_up=True), FINE)
    with Client(server.url) as client:
        client.predict({"x": 1})
        with pytest.raises(ConnectionFailed):
            client.predict({"x": 2})
    assert len(server.requests) == 3


def test_something_that_is_not_http(scripted: Scripted) -> None:
    server = scripted(Reply(b"220 mail.test ESMTP\r\n", hang_up=True))
    with Client(server.url) as client, pytest.raises(ConnectionFailed, match="gave no HTTP answer"):
        client.predict({"x": 1})


def test_a_silent_server(scripted: Scripted) -> None:
    server = scripted(Reply(b"", drip=0), FINE)
    start = time.monotonic()
    with Client(server.url, timeout=0.5) as client, pytest.raises(ConnectionFailed) as caught:
        client.predict({"x": 1})
    assert str(caught.value) == f"{server.url} gave no answer within 0.5 s; try a longer timeout"
    assert time.monotonic() - start < 3
    assert len(server.requests) == 1


def test_a_dripping_server(scripted: Scripted) -> None:
    server = scripted(Reply(http("200 OK", " " * 500), drip=0.02))
    start = time.monotonic()
    with (
        Client(server.url, timeout=3) as client,
        pytest.raises(ConnectionFailed, match="within 3 s"),
    ):
        client.predict({"x": 1})
    assert time.monotonic() - start < 6


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with Client(url) as client, pytest.raises(ConnectionFailed) as caught:
        client.predict({"x": 1})
    assert str(caught.value).startswith(f"{url} can't be reached (")
    assert str(caught.value).endswith("); is the server running there?")


def test_a_server_that_is_just_starting() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused

        def start_late() -> None:
            time.sleep(0.1)
            listener.listen()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(FINE.content)

        late = threading.Thread(target=start_late)
        late.start()
        with Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            assert client.predict({"x": 1}) == ANSWER
        late.join()


def test_probes(scripted: Scripted) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with Client(gone) as client:
        assert client.ready() is False
        assert client.live() is False
    server = scripted(busy(Retry_After="1"), Reply(http("404 Not Found", "{}")))
    with Client(server.url) as client:
        assert client.ready() is False
        with pytest.raises(ServerError):
            client.ready()
    assert [request.split()[1] for request in server.requests] == [b"/health/ready"] * 2


def test_what_is_sent(scripted: Scripted) -> None:
    server = scripted(FINE)
    with Client(server.url + "/iris/", api_key="k" * 20) as client:
        client.predict({"x": 1})
    head = server.requests[0].decode().lower()
    assert head.startswith("post /iris/predict http/1.1\r\n")
    assert f"authorization: bearer {'k' * 20}\r\n" in head
    assert "content-type: application/json\r\n" in head
    assert "user-agent: onnxport\r\n" in head


def test_a_proxy_is_not_asked_for_this_machine(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Client(scripted(FINE).url) as client:
        assert client.predict({"x": 1}) == ANSWER


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "localhost:8000",
            "'localhost:8000' is no http URL; give one such as http://127.0.0.1:8000",
        ),
        ("ftp://x.test", "'ftp://x.test' is no http URL; give one such as http://127.0.0.1:8000"),
        ("http://", "'http://' is no http URL; give one such as http://127.0.0.1:8000"),
        (
            "http://me:secret@x.test",
            "the base URL holds a user, a query or a fragment; give keys as api_key",
        ),
    ],
)
def test_a_wrong_base_url(url: str, told: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        Client(url)
    assert str(caught.value) == told


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_wrong_timeout(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be a positive, finite number of seconds"):
        Client("http://127.0.0.1:8000", timeout=timeout)


@pytest.mark.parametrize("key", ["", " ", "a b", "a\nb", "ключ"])
def test_a_wrong_key(key: str) -> None:
    with pytest.raises(
        ValueError, match="the API key is empty or holds characters that no key has"
    ):
        Client("http://127.0.0.1:8000", api_key=key)

"""API keys on a running server: which headers let a caller in, which don't, and how keys come and go."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

import onnxport as package
from onnxport.errors import SettingsError
from onnxport.keys import NewKey, new_key
from onnxport.server.keyring import open_keyring
from onnxport.settings import Settings
from tests.server import models
from tests.server.callers import Answer, ask, calling
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]
OURS, OTHER, GONE = new_key("ours"), new_key("other"), new_key("gone")
SECRETS = [OURS.key, OTHER.key, GONE.key]
KEY = OURS.key.encode()
POST = (b"POST /predict HTTP/1.1", b"Host: x")
ROW = b'{"x":1}'
SOON = 3.0  # seconds in which a changed file must be in force, on a busy machine


@pytest.fixture(scope="module")
def server(model_file: ModelFile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows two keys, and tells everything it can in its log: in the end no key may stand there."""
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(f"# two\n{OURS.line}\n{OTHER.line}\n", "utf-8")
    told = ("--api-key-file", path, "--log-level", "debug", "--access-log")
    with ServerProcess("serve", model_file(models.reciprocal()), "--port", "0", *told) as process:
        yield process.url
    assert [secret for secret in SECRETS if secret in process.log] == []


def predict(url: str, *headers: bytes) -> Answer:
    return ask(url, *POST, *headers, body=ROW)


LET_IN: dict[str, list[bytes]] = {
    "bearer": [b"Authorization: Bearer " + KEY],
    "bearer in capitals": [b"AUTHORIZATION: BEARER " + KEY],
    "bearer with spaces": [b"authorization:   bearer \t " + KEY + b" \t"],
    "x-api-key": [b"X-API-Key: " + KEY],
    "the other key": [b"x-api-key: " + OTHER.key.encode()],
    "both alike": [b"X-API-Key: " + KEY, b"Authorization: Bearer " + KEY],
    "beside a proxy's password": [b"Authorization: Basic YTpi", b"X-API-Key: " + KEY],
    "an empty one beside": [b"Authorization: Bearer " + KEY, b"X-Forwarded-For: 192.0.2.1"],
}
KEPT_OUT: dict[str, list[bytes]] = {
    "none": [],
    "wrong": [b"X-API-Key: " + GONE.key.encode()],
    "wrong bearer": [b"Authorization: Bearer " + GONE.key.encode()],
    "empty": [b"X-API-Key:"],
    "empty bearer": [b"Authorization: Bearer"],
    "spaces": [b"Authorization: Bearer  \t "],
    "no scheme": [b"Authorization: " + KEY],
    "another scheme": [b"Authorization: Token " + KEY],
    "basic": [b"Authorization: Basic " + KEY],
    "scheme without a space": [b"Authorization: Bearer" + KEY],
    "two schemes": [b"Authorization: Bearer Bearer " + KEY],
    "in quotes": [b'Authorization: Bearer "' + KEY + b'"'],
    "a list": [b"Authorization: Bearer " + KEY + b", Bearer " + KEY],
    "two words": [b"X-API-Key: " + KEY + b" " + KEY],
    "shorter": [b"X-API-Key: " + KEY[:-1]],
    "longer": [b"X-API-Key: " + KEY + b"0"],
    "capitals": [b"X-API-Key: " + KEY.upper()],
    "its hash": [b"X-API-Key: " + OURS.sha256.encode()],
    "its line": [b"X-API-Key: " + OURS.line.encode()],
    "its id": [b"X-API-Key: ours"],
    "bytes beyond ASCII": [b"X-API-Key: \xff\xfe" + KEY],
    "UTF-8": ["X-API-Key: ключ".encode()],
    "huge": [b"X-API-Key: " + b"k" * 15_000],
    "twice alike": [b"X-API-Key: " + KEY, b"x-api-key: " + KEY],
    "twice, the wrong one first": [b"X-API-Key: no", b"X-API-Key: " + KEY],
    "twice, the right one first": [b"X-API-Key: " + KEY, b"X-API-Key: no"],
    "bearer twice": [b"Authorization: Bearer " + KEY] * 2,
    "bearer and basic": [b"Authorization: Bearer " + KEY, b"Authorization: Basic YTpi"],
    "both, one wrong": [b"X-API-Key: " + KEY, b"Authorization: Bearer " + GONE.key.encode()],
    "both, the other wrong": [b"X-API-Key: no", b"Authorization: Bearer " + KEY],
    "both right and different": [
        b"X-API-Key: " + KEY,
        b"Authorization: Bearer " + OTHER.key.encode(),
    ],
    "both, one empty": [b"X-API-Key:", b"Authorization: Bearer " + KEY],
    "an underscore": [b"X_API_Key: " + KEY],
    "a proxy's header": [b"Proxy-Authorization: Bearer " + KEY],
    "a cookie": [b"Cookie: X-API-Key=" + KEY],
}


@pytest.mark.parametrize("name", LET_IN)
def test_let_in(server: str, name: str) -> None:
    answer = predict(server, *LET_IN[name])
    assert (answer.status, answer.body) == (200, {"prediction": 1.0})


@pytest.mark.parametrize("name", KEPT_OUT)
def test_kept_out(server: str, name: str) -> None:
    answer = predict(server, *KEPT_OUT[name], b"X-Request-ID: a-1")
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"] == answer.body["request_id"] == "a-1"
    assert answer.body["detail"][0]["loc"] == ["header", "authorization"]
    assert not any(secret in str(answer) for secret in SECRETS)


BROKEN: dict[str, tuple[bytes, ...]] = {
    "a space before the colon": (b"X-API-Key : " + KEY,),
    "a folded line": (b"X-API-Key:", b" " + KEY),
    "a NUL": (b"X-API-Key: " + KEY + b"\0",),
    "a bare CR": (b"X-API-Key: a\rX-API-Key: " + KEY,),
    "too long": (b"X-API-Key: " + b"k" * 20_000,),
}


@pytest.mark.parametrize("name", BROKEN)
def test_headers_that_are_no_http_let_nobody_in(server: str, name: str) -> None:
    assert predict(server, *BROKEN[name]).status in (400, 401, 431)


def test_a_trailer_is_no_header(server: str) -> None:
    with calling(server) as caller:
        head = b"\r\n".join((*POST, b"Transfer-Encoding: chunked", b"Trailer: X-API-Key"))
        caller.send(head + b'\r\n\r\n7\r\n{"x":1}\r\n0\r\nX-API-Key: ' + KEY + b"\r\n\r\n")
        assert caller.read().code == "unauthorized"


def test_a_key_lets_in_its_own_request_alone(server: str) -> None:
    """On one connection, again and again, so that whatever is remembered of a request is used."""
    with_key, without = (*POST, b"X-API-Key: " + KEY), POST
    with calling(server) as caller:
        for _ in range(5):
            assert caller.ask(*with_key, body=ROW).status == 200
            assert caller.ask(*without, body=ROW).status == 401
            assert caller.ask(*with_key[:-1], b"X-API-Key: " + KEY[::-1], body=ROW).status == 401
        part = b"\r\nContent-Length: 7\r\n\r\n" + ROW
        caller.send((b"\r\n".join(with_key) + part + b"\r\n".join(without) + part) * 8)
        assert [caller.read().status for _ in range(16)] == [200, 401] * 8


def test_refused_with_a_large_body_unread(server: str) -> None:
    answer = requests.post(f"{server}/predict", data=b" " * 3_000_000, timeout=20)
    assert answer.status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/predict", "/model", "/metrics", "/nowhere", "/docs/", "//"])
def test_without_a_key_nothing_is_told_of_a_path(server: str, path: str, method: str) -> None:
    answer = requests.request(method, server + path, timeout=20)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_with_a_key_paths_are_as_ever(server: str) -> None:
    told = {"X-API-Key": OURS.key}
    assert requests.get(f"{server}/model", headers=told, timeout=20).json()["name"] == "reciprocal"
    assert requests.get(f"{server}/nowhere", headers=told, timeout=20).status_code == 404
    assert requests.get(f"{server}/predict", headers=told, timeout=20).status_code == 405


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/healthz", "/ping", "/docs", "/openapi.json", "/"]
)
def test_health_and_documentation_need_no_key(server: str, path: str) -> None:
    assert requests.get(server + path, timeout=20).status_code == 200
    wrong = {"X-API-Key": "no"}
    assert requests.get(server + path, headers=wrong, timeout=20).status_code == 200


def test_the_client_is_let_in(server: str) -> None:
    with package.Client(server, api_key=OURS.key) as client:
        assert client.predict({"x": 4.0}) == {"prediction": 0.25}
    with (
        package.Client(server, api_key="no") as client,
        pytest.raises(
            package.OnnxportError, match="401 unauthorized: the API key is not one of this server's"
        ),
    ):
        client.predict({"x": 4.0})


@pytest.mark.long
def test_ten_thousand_wrong_keys(server: str) -> None:
    """Mutations of a right key, pipelined by 100; each hundredth request is right and must be answered so."""
    draw = random.Random(5)
    forms = (b"X-API-Key: %b", b"Authorization: Bearer %b", b"authorization: bearer %b")
    began = time.monotonic()
    for _ in range(100):
        with calling(server) as caller:
            for number in range(100):
                at = draw.randrange(len(KEY))
                wrong = KEY[:at] + bytes([draw.choice(b"QRSTUVWXYZ")]) + KEY[at + 1 :]
                lines = (*POST, draw.choice(forms) % (KEY if number == 99 else wrong))
                caller.send(b"\r\n".join((*lines, b"Content-Length: 7")) + b"\r\n\r\n" + ROW)
            assert [caller.read().status for _ in range(100)] == [401] * 99 + [200]
    assert time.monotonic() - began < 120


# ----------------------------------------------------------------------------------- keys that come and go


def until(ask: Callable[[], bool]) -> bool:
    """Whether it comes true soon."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        if ask():
            return True
        time.sleep(0.1)
    return ask()


def replace(path: Path, *lines: str) -> None:
    """As `mv` does: the file is the old one or the new one, never half of it."""
    new = path.with_name("new")
    new.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    new.replace(path)


def test_rotation_while_serving(model_file: ModelFile, tmp_path: Path) -> None:
    """The old key, both, the new one alone; a broken file changes nothing, and its repair does."""
    path = tmp_path / "keys.txt"
    replace(path, OURS.line)
    with (
        ServerProcess(
            "serve", model_file(models.reciprocal()), "--port", "0", "--api-key-file", path
        ) as server,
        requests.Session() as session,
    ):

        def status(key: NewKey) -> int:
            told = {"Authorization": f"Bearer {key.key}"}
            return session.post(
                f"{server.url}/predict", data=ROW, headers=told, timeout=20
            ).status_code

        assert (status(OURS), status(OTHER)) == (200, 401)
        replace(path, OURS.line, OTHER.line)
        assert until(lambda: status(OTHER) == 200)
        assert status(OURS) == 200
        replace(path, OTHER.line)
        assert until(lambda: status(OURS) == 401)
        assert status(OTHER) == 200

        path.write_text(f"{OURS.line}\n{OTHER.key}\n", "utf-8")  # a slip, in place
        assert until(lambda: status(OURS) == 401 and "line 2 holds a key itself" in server.log)
        time.sleep(1.2)
        assert (status(OTHER), status(OURS)) == (200, 401)
        path.unlink()
        assert until(lambda: status(OURS) == 401 and "No such file" in server.log)
        assert status(OTHER) == 200
        replace(path, GONE.line)
        assert until(lambda: status(GONE) == 200 and status(OTHER) == 401)
    errors = [line for line in server.stderr if "stay in force" in line]
    assert [("line 2 holds a key itself" in e, "No such file" in e) for e in errors] == [
        (True, False),
        (False, True),
    ]
    assert [secret for secret in SECRETS if secret in server.log] == []
    assert "API keys in force now: ours, other" in server.log


def test_a_change_of_the_same_size_at_the_same_time_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(OURS.line.replace("ours", "a"), "utf-8")
    keyring = open_keyring(Settings(api_key_file=str(path)), {})
    assert keyring is not None
    keyring.refresh()
    before = path.stat()
    path.write_text(OTHER.line.replace("other", "a"), "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    keyring.refresh()
    assert keyring.keys.find(OTHER.key.encode()) == "a"
    assert keyring.keys.find(KEY) is None
    assert keyring.generation == 1
    keyring.refresh()
    assert keyring.generation == 1


def test_file_and_environment_are_one_set(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    replace(path, OURS.line)
    settings = Settings(api_key_file=str(path))
    keyring = open_keyring(settings, {"ONNXPORT_API_KEY_HASHES": f"{OTHER.line},{GONE.line}"})
    assert keyring is not None
    assert set(keyring.keys.ids) == {"ours", "other", "gone"}
    replace(path, f"gone:{OURS.sha256}")  # the environment's id for another key
    keyring.refresh()
    assert keyring.keys.find(KEY) == "ours"
    with pytest.raises(SettingsError, match="different keys of the id 'gone'"):
        open_keyring(settings, {"ONNXPORT_API_KEY_HASHES": GONE.line})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "keys.txt holds no key; make one with `onnxport key`"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"ours", "keys.txt, line 1 is not of the form id:sha256"),
        (None, "keys.txt: No such file or directory; name a file"),
    ],
)
def test_a_file_without_keys_never_opens_the_server(
    tmp_path: Path, text: bytes | None, told: str
) -> None:
    path = tmp_path / "keys.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SettingsError, match=told):
        package.create_app(
            models.write(models.reciprocal()), settings=Settings(api_key_file=str(path))
        )


def test_an_empty_environment_never_opens_the_server() -> None:
    with pytest.raises(SettingsError, match="ONNXPORT_API_KEY_HASHES holds no key"):
        open_keyring(Settings(), {"ONNXPORT_API_KEY_HASHES": " "})
    assert open_keyring(Settings(), {}) is None


def test_a_byte_order_mark_of_an_editor_is_no_part_of_an_id(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(b"\xef\xbb\xbf" + OURS.line.encode() + b"\r\n")
    keyring = open_keyring(Settings(api_key_file=str(path)), {})
    assert keyring is not None
    assert keyring.keys.ids == ("ours",)


def test_under_uvicorn_alone_keys_are_asked_for_and_change(
    model_file: ModelFile, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    replace(path, OURS.line)
    (tmp_path / "app.py").write_text(
        f"import onnxport\n\napp = onnxport.create_app({str(model_file(models.reciprocal()))!r})\n"
    )
    environment = {
        **os.environ,
        "ONNXPORT_API_KEY_FILE": str(path),
        "ONNXPORT_API_KEY_HASHES": OTHER.line,
    }
    with ServerProcess(
        "app:app", "--port", "0", module="uvicorn", cwd=tmp_path, env=environment
    ) as server:

        def status(key: NewKey) -> int:
            return predict(server.url, b"X-API-Key: " + key.key.encode()).status

        assert (status(OURS), status(OTHER), status(GONE)) == (200, 200, 401)
        assert predict(server.url).code == "unauthorized"
        assert ask(server.url, b"GET /health/live HTTP/1.1", b"Host: x").status == 200
        replace(path, GONE.line)
        assert until(lambda: status(OURS) == 401)
        assert (status(GONE), status(OTHER)) == (200, 200)

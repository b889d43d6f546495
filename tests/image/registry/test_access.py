"""Passwords and tokens open registries, and nobody else hears them."""

from __future__ import annotations

import json
import logging
import re
import time
from functools import partial

import pytest

from onnxport.image.credentials import Credentials
from onnxport.image.parts import Image
from onnxport.image.reference import parse_reference
from onnxport.image.registry import Registry
from onnxport.image.registry.tokens import Challenge, parse_challenges
from onnxport.image.store import Store
from tests.image.made import AMD64
from tests.image.registries import (
    PASSWORD,
    USER,
    Proxy,
    Request,
    Scripted,
    Seen,
    TokenServer,
    once,
    when,
)
from tests.image.registry.steps import ANNA, BLOBS, QUICK, SECRETS, fetch, push, reference, refusal

WRONG = Credentials(USER, "wrong")


def test_a_password_opens_a_registry(locked: str, name: str, image: Image, fetched: Store) -> None:
    target = reference(locked, name)
    assert push(target, image, credentials=ANNA) == image.digest
    with Registry(locked, ANNA) as registry:
        assert registry.fetch_manifest(target, AMD64).digest == image.digest
    blob = image.layers[0].blob
    assert fetch(target, blob, fetched, ANNA) == blob.path.read_bytes()


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (None, "wants credentials to push .* run docker login .* or give --registry-user"),
        (WRONG, "refuses to push .* with the credentials from the command line; correct them"),
        (Credentials("", "", "a token"), "refuses to push"),
    ],
    ids=["none", "wrong", "token"],
)
def test_without_the_password_it_stays_shut(
    locked: str, name: str, image: Image, credentials: Credentials | None, words: str
) -> None:
    message = refusal(partial(push, reference(locked, name), image, credentials=credentials))
    assert re.search(words, message)


def test_a_registry_can_be_asked_before_anything_is_built(
    locked: str, guarded: str, name: str, image: Image
) -> None:
    for address in (locked, guarded):
        target = reference(address, name)
        with Registry(address, ANNA, patience=QUICK) as registry:
            assert registry.reach(target) is None
            registry.push([image], target)
            assert registry.reach(target) == image.digest
        for credentials in (None, WRONG):
            with Registry(address, credentials, patience=QUICK) as registry:
                assert "credentials" in refusal(partial(registry.reach, target))


@pytest.mark.parametrize(
    "credentials", [ANNA, Credentials("", "", "a.refresh")], ids=["password", "identity token"]
)
def test_a_token_opens_a_registry(
    guarded: str, tokens: TokenServer, name: str, image: Image, credentials: Credentials
) -> None:
    before = len(tokens.issued)
    assert push(reference(guarded, name), image, credentials=credentials) == image.digest
    assert len(tokens.issued) == before + 1


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        (None, "gives nobody without credentials a token .* run docker login"),
        (WRONG, "refuses the credentials from the command line; correct them"),
        (Credentials("", "", "stale"), "refuses the credentials from the command line"),
    ],
    ids=["none", "wrong", "stale"],
)
def test_a_token_server_that_refuses_is_told(
    guarded: str, name: str, image: Image, credentials: Credentials | None, words: str
) -> None:
    message = refusal(partial(push, reference(guarded, name), image, credentials=credentials))
    assert re.search(words, message)


def test_an_expired_token_is_renewed_in_the_middle(
    guarded: str, tokens: TokenServer, name: str, image: Image
) -> None:
    def expire(request: Request) -> None:
        realm = f"http://{tokens.server.address}/token"
        demand = f'Bearer realm="{realm}",service="the registry",error="invalid_token"'
        request.reply(401, b"{}", WWW_Authenticate=demand)

    before = len(tokens.issued)
    with Proxy(guarded, once(when("PUT", "digest=", expire))) as proxy:
        target = reference(proxy.address, name)
        assert push(target, image, credentials=ANNA) == image.digest
    assert len(tokens.issued) == before + 2


def test_a_token_is_renewed_before_it_ends(
    guarded: str, tokens: TokenServer, name: str, image: Image
) -> None:
    def slowly(_: Request, seen: Seen) -> bool:
        time.sleep(0.25 if seen.method == "HEAD" else 0)
        return False

    before, tokens.lifetime = len(tokens.issued), 1
    try:
        with Proxy(guarded, slowly) as proxy:
            push(reference(proxy.address, name), image, credentials=ANNA)
            refused = [one for one in proxy.seen if "Authorization" not in one.headers]
    finally:
        tokens.lifetime = 300
    assert len(tokens.issued) > before + 1
    assert [one.method for one in refused] == ["GET", "HEAD"]  # the probe and the first question


def test_a_token_server_that_fails_is_asked_again(plain: str, name: str, image: Image) -> None:
    def ask(request: Request, seen: Seen) -> bool:
        """The proxy is the token server, and out of order."""
        if seen.path.startswith("/token"):
            request.reply(503)
        elif seen.path != "/v2/":
            realm = f"http://{proxy.address}/token"
            request.reply(401, WWW_Authenticate=f'Bearer realm="{realm}",service="x"')
        return seen.path != "/v2/"

    with Proxy(plain, ask) as proxy:
        target = reference(proxy.address, name)
        assert "failed with 503" in refusal(partial(push, target, image, credentials=ANNA))
        assert proxy.count("GET", "/token") == QUICK.tries


def test_secrets_stay_out_of_the_logs(
    guarded: str, locked: str, name: str, image: Image, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        push(reference(guarded, name), image, credentials=ANNA)
        push(reference(locked, name), image, credentials=ANNA)
    assert caplog.text
    assert not [secret for secret in SECRETS if secret in caplog.text]


@pytest.mark.parametrize("padding", ["", "." * 185], ids=["short", "cut"])
def test_a_registry_that_repeats_our_secrets_is_not_quoted(
    name: str, image: Image, padding: str
) -> None:
    def echo(request: Request, seen: Seen) -> None:
        if "Authorization" not in seen.headers:
            request.reply(401, WWW_Authenticate='Basic realm="x"')
        elif seen.method == "HEAD":
            request.reply(404)
        else:
            said = f"{padding}{seen.headers['Authorization']} means {PASSWORD}"
            request.reply(400, json.dumps({"errors": [{"message": said}]}).encode())

    with Scripted(echo) as server:
        target = reference(server.address, name)
        message = refusal(partial(push, target, image, credentials=ANNA))
    assert f"{padding}Basic ***" in message
    assert SECRETS[1][:4] not in message


def test_the_hub_is_reached_by_its_own_name_and_through_a_proxy(
    plain: str, name: str, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scripted(lambda request, _: request.reply(403)) as proxy:
        for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, f"http://{proxy.address}")
        target = parse_reference(f"{name}:1")
        message = refusal(partial(push, target, image, credentials=ANNA))
        assert {(one.method, one.path) for one in proxy.seen} == {
            ("CONNECT", "registry-1.docker.io:443")
        }
        assert not [one for one in proxy.seen if "Authorization" in one.headers]
        proxy.seen.clear()
        push(reference(plain, name), image)  # on this machine, where no proxy has business
        assert proxy.seen == []
    assert "docker.io can't be reached" in message


@pytest.mark.parametrize("hops", [1, 3])
def test_a_redirect_of_blobs_is_followed_without_credentials(
    locked: str, name: str, image: Image, fetched: Store, hops: int
) -> None:
    push(reference(locked, name), image, credentials=ANNA)
    layer = image.layers[1].blob

    def keep(request: Request, seen: Seen) -> None:
        left = int(seen.path.rpartition("=")[2])
        if left:
            request.reply(307, Location=f"http://{storage.address}/blob?signature={left - 1}")
        else:
            request.reply(200, layer.path.read_bytes())

    def move(request: Request) -> None:
        request.reply(307, Location=f"http://{storage.address}/blob?signature={hops - 1}")

    with Scripted(keep) as storage, Proxy(locked, when("GET", BLOBS, move)) as proxy:
        content = fetch(reference(proxy.address, name), layer, fetched, ANNA)
    assert content == layer.path.read_bytes()
    assert len(storage.seen) == hops
    assert not [one for one in storage.seen if "Authorization" in one.headers]


def test_an_upload_may_go_elsewhere_but_without_credentials(
    locked: str, name: str, image: Image
) -> None:
    def take(request: Request, _: Seen) -> None:
        request.reply(201)

    def elsewhere(request: Request) -> None:
        request.reply(202, Location=f"http://{storage.address}/put?state=x")

    with Scripted(take) as storage, Proxy(locked, when("POST", "/uploads/", elsewhere)) as proxy:
        target = reference(proxy.address, name)
        message = refusal(partial(push, target, image, credentials=ANNA))
    assert "has no" in message or "refused" in message  # the blobs never came to the registry
    assert len(storage.seen) == 4
    assert all("state=x&digest=sha256" in one.path for one in storage.seen)
    assert not [one for one in storage.seen if "Authorization" in one.headers]


@pytest.mark.parametrize(
    "location",
    [
        "http://registry.example/x",
        "https://user:password@registry.example/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//registry.example/x",
        "http://127.0.0.1.example/x",
        "https://[::1",
        "http://0.0.0.0:1/x",
    ],
)
@pytest.mark.parametrize("way", ["blob", "upload", "token"])
def test_what_leads_astray_is_not_followed(
    plain: str, name: str, image: Image, fetched: Store, location: str, way: str
) -> None:
    def mislead(request: Request, seen: Seen) -> bool:
        if way == "blob" and seen.method == "GET" and BLOBS in seen.path:
            request.reply(302, Location=location)
        elif way == "upload" and seen.method == "POST":
            request.reply(202, Location=location)
        elif way == "token" and seen.path != "/v2/":
            request.reply(401, WWW_Authenticate=f'Bearer realm="{location}",service="x"')
        else:
            return False
        return True

    with Proxy(plain, mislead) as proxy:
        target = reference(proxy.address, name)
        if way == "blob":
            message = refusal(partial(fetch, target, image.layers[0].blob, fetched))
        else:
            message = refusal(partial(push, target, image, credentials=ANNA))
    assert "sends us" in message
    assert "nothing is sent there" in message


def test_a_circle_of_redirects_ends(plain: str, name: str, image: Image, fetched: Store) -> None:
    circle = when("GET", BLOBS, lambda request: request.reply(307, Location=request.path))
    with Proxy(plain, circle) as proxy:
        target = reference(proxy.address, name)
        message = refusal(partial(fetch, target, image.layers[0].blob, fetched))
        assert proxy.count("GET", BLOBS) == 6
    assert "redirects without end" in message


@pytest.mark.parametrize(
    "demand",
    ["", "Negotiate", 'Bearer service="x"', "Bearer realm=", 'Digest realm="x"', "x" * 20_000],
    ids=range(6),
)
def test_a_demand_that_we_cant_meet_is_told(name: str, image: Image, demand: str) -> None:
    def ask(request: Request, seen: Seen) -> None:
        headers = {"WWW_Authenticate": demand} if demand and seen.path != "/v2/" else {}
        request.reply(401, b"", **headers)

    with Scripted(ask) as server:
        target = reference(server.address, name)
        message = refusal(partial(push, target, image, credentials=ANNA))
    assert re.search("refuses to push|gave no token|sends us", message)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX: y"}',
        b'{"token": "\xc3\xa4"}',
        b"[" * 100_000,
    ],
    ids=range(8),
)
def test_a_token_that_is_none_is_not_sent(name: str, image: Image, answer: bytes) -> None:
    def ask(request: Request, seen: Seen) -> None:
        if seen.path.startswith("/token"):
            request.reply(200, answer)
            return
        realm = f"http://{server.address}/token"
        request.reply(401, WWW_Authenticate=f'Bearer realm="{realm}"')

    with Scripted(ask) as server:
        target = reference(server.address, name)
        message = refusal(partial(push, target, image, credentials=ANNA))
        assert not [one for one in server.seen if "Bearer" in str(one.headers)]
    assert "gave no token" in message


def test_demands_are_read_however_they_are_written() -> None:
    bearer = Challenge("bearer", {"realm": "https://a/t?x=1", "service": 'a "b"', "scope": "a,b"})
    text = r'Bearer realm="https://a/t?x=1",service="a \"b\"", scope="a,b"'
    assert parse_challenges([text]) == [bearer]
    bare = parse_challenges(["bEARER realm=https://a/t?x=1, service=b"])
    assert bare == [Challenge("bearer", {"realm": "https://a/t?x=1", "service": "b"})]
    basic = Challenge("basic", {"realm": "here"})
    assert parse_challenges([f'Basic realm="here", {text}']) == [basic, bearer]
    assert parse_challenges(['Basic realm="here"', text]) == [basic, bearer]
    assert parse_challenges(["", "Negotiate", "=,;", '"', "x" * 100_000]) == []

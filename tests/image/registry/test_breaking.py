"""Registries that break off, fail, lie or refuse: what breaks is done again, and nothing is left half."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest

from onnxport.image.parts import Image, Layer
from onnxport.image.reference import parse_reference
from onnxport.image.registry import Patience, Progress
from onnxport.image.registry.patience import seconds_of
from onnxport.image.store import Store
from tests.image import made
from tests.image.made import AMD64
from tests.image.registries import Proxy, Request, Scripted, Seen, once, when
from tests.image.registry.steps import (
    BLOBS,
    MANIFESTS,
    QUICK,
    inspect,
    is_tagged,
    push,
    reference,
    refusal,
    uploads,
)

OTHER = "sha256:" + "0" * 64


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def _break_off(request: Request) -> None:
    request.read_body(limit=1 << 17)
    request.hang_up()


def test_an_upload_that_broke_off_is_sent_again(plain: str, name: str, image: Image) -> None:
    told: list[Progress] = []
    with Proxy(plain, once(when("PUT", "digest=", _break_off), 2)) as proxy:
        assert push(reference(proxy.address, name), image, tell=told.append) == image.digest
    notes = [one.note for one in told if one.state == "waiting"]
    assert len(notes) == 2
    assert re.fullmatch(
        r"127\.0\.0\.1:\d+ broke off the connection; trying again in .* s", notes[0]
    )
    assert is_tagged(plain, name)


def test_a_second_push_completes_the_first_and_sends_what_is_missing(
    plain: str, name: str, image: Image
) -> None:
    large = image.layers[1].blob
    with Proxy(plain, when("PUT", large.digest, _break_off)) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
        assert proxy.count("PUT", large.digest) == QUICK.tries
    assert "broke off the connection; run the command again" in message
    assert not is_tagged(plain, name)
    with Proxy(plain) as proxy:
        assert push(reference(proxy.address, name), image) == image.digest
        missing = (large.size, image.layers[2].blob.size, len(image.config))
        assert uploads(proxy) == sorted(missing)
    assert is_tagged(plain, name)


def test_an_answer_that_was_lost_is_asked_for_again(plain: str, name: str, image: Image) -> None:
    """The registry has the blob, or the tag, but we never heard of it."""
    lost: list[str] = []

    def lose(request: Request, seen: Seen) -> bool:
        kind = BLOBS if BLOBS in seen.path else MANIFESTS
        if seen.method != "PUT" or kind in lost:
            return False
        lost.append(kind)
        proxy.forward(request, silent=True)
        request.hang_up()
        return True

    with Proxy(plain, lose) as proxy:
        assert push(reference(proxy.address, name), image) == image.digest
        assert len(uploads(proxy)) == 4  # none twice
    assert lost == [BLOBS, MANIFESTS]


def test_a_tag_that_cant_be_moved_may_be_ours_already(plain: str, name: str, image: Image) -> None:
    """The answer to the first try was lost, and the second is refused."""

    def lose(request: Request) -> None:
        proxy.forward(request, silent=True)
        request.hang_up()

    stay = when("PUT", MANIFESTS, lambda one: one.reply(400, _error("TAG_INVALID", "immutable")))
    with Proxy(plain, once(when("PUT", MANIFESTS, lose)), stay) as proxy:
        assert push(reference(proxy.address, name), image) == image.digest
        assert proxy.count("PUT", MANIFESTS) == 2


@pytest.mark.parametrize(
    ("status", "method", "part"),
    [
        (503, "HEAD", MANIFESTS),
        (503, "HEAD", BLOBS),
        (503, "PUT", BLOBS),
        (503, "PUT", MANIFESTS),
        *((status, "POST", BLOBS) for status in (408, 429, 500, 502, 504)),
    ],
)
def test_a_registry_that_fails_twice_is_asked_a_third_time(
    plain: str, name: str, image: Image, status: int, method: str, part: str
) -> None:
    fail = when(method, part, lambda one: one.reply(status, b"<html>no</html>"))
    with Proxy(plain, once(fail, 2)) as proxy:
        assert push(reference(proxy.address, name), image) == image.digest


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "BLOB_UPLOAD_UNKNOWN"), (400, "DIGEST_INVALID"), (416, "RANGE_INVALID")],
)
def test_an_upload_that_a_registry_lost_is_begun_anew(
    plain: str, name: str, image: Image, status: int, code: str
) -> None:
    lose = when("PUT", BLOBS, lambda one: one.reply(status, _error(code, "what?")))
    with Proxy(plain, once(lose, 2)) as proxy:
        assert push(reference(proxy.address, name), image) == image.digest
    with Proxy(plain, when("PUT", BLOBS, lambda one: one.reply(400, b"no"))) as proxy:
        message = refusal(partial(push, reference(proxy.address, f"{name}-more"), image))
        assert proxy.count("PUT") == 1
    assert "refused to push" in message


@pytest.mark.parametrize(("status", "tries"), [(500, QUICK.tries), (507, 1), (418, 1)])
def test_a_registry_that_goes_on_failing_is_given_up(
    plain: str, name: str, image: Image, status: int, tries: int
) -> None:
    body = _error("UNKNOWN", "disk\nfull \x1b[31m")
    with Proxy(plain, when("POST", BLOBS, lambda one: one.reply(status, body))) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
        assert proxy.count("POST") == tries
    assert f"{status} (UNKNOWN: disk" in message
    assert not is_tagged(plain, name)


def test_retry_after_is_waited_for(plain: str, name: str, image: Image) -> None:
    busy = when("POST", BLOBS, lambda one: one.reply(429, b"slow down", Retry_After="1"))
    told: list[Progress] = []
    start = time.monotonic()
    with Proxy(plain, once(busy)) as proxy:
        push(reference(proxy.address, name), image, tell=told.append)
    assert time.monotonic() - start > 1
    notes = [one.note for one in told if one.note]
    assert re.fullmatch(r"\S+ wants fewer requests \(slow down\); trying again in 1.0 s", notes[0])


def test_a_long_retry_after_is_handed_on(plain: str, name: str, image: Image) -> None:
    busy = when("POST", BLOBS, lambda one: one.reply(429, b"", Retry_After="3600"))
    with Proxy(plain, busy) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
        assert proxy.count("POST") == 1
    assert message == f"{proxy.address} wants fewer requests; try again in 3600 s"


def test_retry_after_is_a_number_or_a_date() -> None:
    date = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < seconds_of(format_datetime(date, usegmt=True)) <= 30
    assert seconds_of("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert seconds_of("7") == 7
    for nonsense in ("", "-7", "soon", "\u0667", "9" * 5000, "Thu, 99 Jan 1970"):
        assert 0 <= seconds_of(nonsense) < 1e10


def test_a_registry_that_is_down_is_told(plain: str, name: str, image: Image) -> None:
    with Proxy(plain) as proxy:
        pass
    message = refusal(partial(push, reference(proxy.address, name), image))
    assert "can't be reached (Connection refused); check the name and whether it is up" in message


def test_a_host_that_nobody_knows_is_told(name: str, image: Image) -> None:
    target = parse_reference(f"registry.invalid/{name}:1")
    assert "registry.invalid can't be reached" in refusal(partial(push, target, image))


def test_only_this_machine_is_spoken_to_without_tls(plain: str, name: str, image: Image) -> None:
    """0.0.0.0 leads to this machine, too, but nobody can know that of an address."""
    port = plain.rpartition(":")[2]
    message = refusal(partial(push, reference(f"0.0.0.0:{port}", name), image))
    assert f"0.0.0.0:{port} doesn't speak TLS" in message


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "dripping"])
def test_a_slow_registry_is_left(name: str, image: Image, silent: bool) -> None:
    def drip(request: Request, _: Seen) -> None:
        request.send_response(400)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        while not silent:
            request.wfile.write(b"x")
            time.sleep(0.05)
        time.sleep(1)

    impatient = Patience(tries=2, pause=0.01, timeout=0.3)
    start = time.monotonic()
    with Scripted(drip) as server:
        target = reference(server.address, name)
        message = refusal(partial(push, target, image, patience=impatient))
    assert "is too slow; run the command again" in message
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("is_read", [True, False], ids=["slowly", "never"])
def test_an_upload_that_is_taken_slowly_or_never_is_left(
    plain: str, name: str, store: Store, is_read: bool
) -> None:
    blob = store.put(os.urandom(24_000_000))
    image = Image(AMD64, made.config([OTHER]), (Layer(blob, OTHER, 0, "large"),))

    def dawdle(request: Request) -> None:
        left = blob.size if is_read else 0
        while left > 0:
            time.sleep(0.02)
            left -= len(request.rfile.read(min(left, 1 << 18)))
        time.sleep(0 if is_read else 2)
        request.hang_up()

    impatient = Patience(tries=1, pause=0.01, timeout=1, rate=1 << 30)
    with Proxy(plain, when("PUT", BLOBS, dawdle)) as proxy:
        target = reference(proxy.address, name)
        message = refusal(partial(push, target, image, patience=impatient))
    assert "is too slow" in message


def test_a_page_is_no_registry(name: str, image: Image) -> None:
    def welcome(request: Request, _: Seen) -> None:
        request.reply(200, b"<html>Welcome</html>", Content_Type="text/html")

    with Scripted(welcome) as server:
        message = refusal(partial(push, reference(server.address, name), image))
    assert "is it a registry" in message


def test_a_refusal_without_end_is_not_read_to_it(name: str, image: Image) -> None:
    def babble(request: Request, _: Seen) -> None:
        request.send_response(403)
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        while True:
            request.wfile.write(b"no " * 10_000)

    with Scripted(babble) as server:
        message = refusal(partial(push, reference(server.address, name), image))
    assert "doesn't let us push" in message


def test_a_layer_that_changed_since_is_not_sent_whole(plain: str, name: str, image: Image) -> None:
    path = image.layers[1].blob.path
    content = path.read_bytes()
    exchanged = content[:-1] + bytes([content[-1] ^ 1])
    for damaged in (exchanged, content[:-1], content + b"x", b""):
        path.write_bytes(damaged)
        message = refusal(partial(push, reference(plain, name), image))
        assert "the layer libraries has changed since; build again" in message
    path.unlink()
    assert "can't be read" in refusal(partial(push, reference(plain, name), image))
    assert not is_tagged(plain, name)


def test_a_blob_of_another_size_is_sent_again(plain: str, name: str, image: Image) -> None:
    cut = when("HEAD", BLOBS, lambda one: one.reply(200, Content_Length="5"))
    with Proxy(plain, cut) as proxy:
        push(reference(proxy.address, name), image)
        assert len(uploads(proxy)) == 4


@pytest.mark.parametrize("part", [BLOBS, MANIFESTS])
def test_a_registry_that_keeps_something_else_is_found_out(
    plain: str, name: str, image: Image, part: str
) -> None:
    change = when("PUT", part, lambda one: one.reply(201, Docker_Content_Digest=OTHER))
    with Proxy(plain, change) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
    assert f"kept {OTHER} where" in message


def test_a_registry_without_a_place_for_uploads(plain: str, name: str, image: Image) -> None:
    with Proxy(plain, when("POST", BLOBS, lambda one: one.reply(202))) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
    assert "opens no place for an upload" in message


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "TAG_INVALID", "The image tag '1' already exists and cannot be overwritten"),
        (400, "ImageTagAlreadyExistsException", "the tag is immutable"),
        (409, "CONFLICT", "tag 1 already exists"),
        (412, "PRECONDITION", "Failed to process request due to '1' configured as immutable."),
        (403, "DENIED", "tag immutability is on"),
    ],
)
def test_a_tag_that_cant_be_moved_is_told(
    plain: str, name: str, image: Image, store: Store, status: int, code: str, words: str
) -> None:
    push(reference(plain, name), image)
    other = made.image(store, b"another")

    body = _error(code, words)
    stay = when("PUT", f"{MANIFESTS}1", lambda one: one.reply(status, body))
    with Proxy(plain, stay) as proxy:
        target = reference(proxy.address, name)
        assert push(target, image) == image.digest  # the same again is no move
        message = refusal(partial(push, target, other))
        assert push(reference(proxy.address, name, "2"), other) == other.digest
    assert message == (
        f"{target} exists, and {proxy.address} lets no tag there be moved; push under another tag"
    )
    assert inspect(plain, name, raw=True).encode() == image.manifest


def test_another_refusal_of_a_manifest_is_told_as_it_is(
    plain: str, name: str, image: Image
) -> None:
    body = _error("MANIFEST_INVALID", "no")
    with Proxy(plain, when("PUT", MANIFESTS, lambda one: one.reply(400, body))) as proxy:
        message = refusal(partial(push, reference(proxy.address, name), image))
    assert "refused to push" in message
    assert "400 (MANIFEST_INVALID: no)" in message

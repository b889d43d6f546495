"""Images of others are fetched by tag, digest and platform; what was damaged or made up on the way is refused."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxport.errors import BuildError
from onnxport.image.manifests import (
    OCI_INDEX_TYPE,
    OCI_MANIFEST_TYPE,
    kind_of,
    parse_config,
    parse_list,
    parse_manifest,
)
from onnxport.image.parts import (
    CONFIG_TYPE,
    MANIFEST_LIST_TYPE,
    MANIFEST_TYPE,
    Image,
    Platform,
    canonical,
    digest_of,
)
from onnxport.image.reference import Reference, parse_reference
from onnxport.image.registry import Manifest, Registry
from onnxport.image.store import Store
from tests.image import made, registries
from tests.image.made import AMD64, ARM64
from tests.image.registries import Proxy, Request, Scripted, Seen, once, when
from tests.image.registry.steps import (
    BLOBS,
    MANIFESTS,
    QUICK,
    fetch,
    push,
    reference,
    refusal,
    skopeo,
)

LAYER = "application/vnd.oci.image.layer.v1.tar"


def manifest(target: Reference, architecture: str = "amd64") -> Manifest:
    platform = AMD64 if architecture == "amd64" else ARM64
    with Registry(target.registry, patience=QUICK) as registry:
        return registry.fetch_manifest(target, platform)


def test_a_manifest_is_named_by_tag_or_digest(plain: str, name: str, image: Image) -> None:
    push(reference(plain, name), image)
    expected = (image.manifest, MANIFEST_TYPE, image.digest)
    assert manifest(reference(plain, name)) == expected
    assert manifest(parse_reference(f"{plain}/{name}@{image.digest}")) == expected
    assert manifest(parse_reference(f"{plain}/{name}:absent@{image.digest}")) == expected


def test_a_list_gives_the_image_of_the_platform(plain: str, name: str, store: Store) -> None:
    images = {one.architecture: made.image(store, b"base", platform=one) for one in (AMD64, ARM64)}
    push(reference(plain, name), *images.values())
    for architecture, image in images.items():
        assert manifest(reference(plain, name), architecture).content == image.manifest


def test_a_platform_that_is_missing_is_told_with_those_that_are_there(
    plain: str, name: str, store: Store
) -> None:
    odd = [Platform("riscv64"), Platform("s390x")]
    push(reference(plain, name), *(made.image(store, b"x", platform=one) for one in odd))
    message = refusal(partial(manifest, reference(plain, name)))
    assert "there is no image for linux/amd64; it has linux/riscv64, linux/s390x" in message


def test_a_blob_comes_into_the_store_once(
    plain: str, name: str, image: Image, fetched: Store
) -> None:
    push(reference(plain, name), image)
    blob = image.layers[1].blob
    with Proxy(plain) as proxy:
        for _ in range(2):
            assert fetch(reference(proxy.address, name), blob, fetched) == blob.path.read_bytes()
        assert proxy.count("GET", BLOBS) == 1
    assert fetched.find(blob.digest) is not None


def test_what_skopeo_pushes_as_oci_is_read(
    plain: str, name: str, image: Image, fetched: Store
) -> None:
    push(reference(plain, name), image)
    places = [f"docker://{plain}/{name}:{tag}" for tag in ("1", "oci")]
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format=oci", *places)
    target = reference(plain, name, "oci")
    found = manifest(target)
    assert found.media_type == OCI_MANIFEST_TYPE
    parts = parse_manifest(found.content)
    assert [layer.compression for layer in parts.layers] == ["gzip"] * 3
    with Registry(plain) as registry:
        blob = registry.fetch_blob(target, parts.config.digest, parts.config.size, fetched)
    config = parse_config(blob.path.read_bytes())
    assert (config.platform, config.diff_ids) == (
        AMD64,
        tuple(layer.diff_id for layer in image.layers),
    )


# Documents that a registry may deliver, well or ill.


def _entry(content: bytes, **more: Any) -> dict[str, Any]:
    return {
        "mediaType": OCI_MANIFEST_TYPE,
        "digest": digest_of(content),
        "size": len(content),
        **more,
    }


def _image_manifest(*layers: str, **more: Any) -> dict[str, Any]:
    blob = {"digest": digest_of(b""), "size": 0}
    return {
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob},
        "layers": [{"mediaType": kind, **blob} for kind in layers],
        **more,
    }


class _Documents:
    """A registry of documents: a tag or a digest gives one."""

    def __init__(self, *documents: bytes, kind: str = OCI_INDEX_TYPE) -> None:
        self._named = {digest_of(one): one for one in documents} | {"1": documents[0]}
        self._kind = kind

    def __call__(self, request: Request, seen: Seen) -> None:
        content = self._named.get(seen.path.rpartition("/")[2])
        if content is None:
            request.reply(404)
        else:
            kind = self._kind if "/1" in seen.path[-2:] else OCI_MANIFEST_TYPE
            request.reply(200, content, Content_Type=kind)


def test_an_index_of_an_index_server(name: str) -> None:
    """As buildx pushes it: variants, attestations, annotations, and no media type in the documents."""
    arm64, amd64 = canonical(_image_manifest(LAYER + "+gzip")), canonical(_image_manifest())
    index = {
        "schemaVersion": 2,
        "manifests": [
            _entry(b"?", platform={"architecture": "unknown", "os": "unknown"}),
            _entry(b"32 bits", platform={"architecture": "arm", "os": "linux", "variant": "v7"}),
            _entry(arm64, platform={"architecture": "arm64", "os": "linux", "variant": "v8"}),
            _entry(b"v2", platform={"architecture": "amd64", "os": "linux", "variant": "v2"}),
            _entry(b"w", platform={"architecture": "amd64", "os": "windows", "os.version": "10"}),
            _entry(amd64, platform={"architecture": "amd64", "os": "linux"}),
        ],
    }
    with Scripted(_Documents(canonical(index), arm64, amd64)) as server:
        target = reference(server.address, name)
        assert manifest(target, "arm64") == (arm64, OCI_MANIFEST_TYPE, digest_of(arm64))
        assert manifest(target, "amd64").content == amd64


@pytest.mark.parametrize(
    ("kind", "compression"),
    [
        (LAYER, "plain"),
        (LAYER + "+gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
        (LAYER + "+zstd", "is compressed with zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", "is compressed with zstd"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "is no tar"),
    ],
)
def test_layers_are_gzip_or_plain(kind: str, compression: str) -> None:
    (layer,) = parse_manifest(canonical(_image_manifest(kind))).layers
    if compression in ("plain", "gzip"):
        assert layer.compression == compression
    else:
        assert compression in refusal(lambda: layer.compression)


WORDS = ("manifests", "layers", "config", "mediaType", "schemaVersion", "digest", "size", "urls")
MORE = ("platform", "architecture", "os", "variant", "annotations", "rootfs", "diff_ids")
FIELDS = st.sampled_from(WORDS + MORE)
PLATFORM = {"architecture": "amd64", "os": "linux"}
SIMPLE = canonical(_image_manifest())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "is no JSON"),
        (b"<html>", "is no JSON"),
        (b"[]", "is no JSON object"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON|no kind of manifest"),
        (b"{}", "no kind of manifest"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "schema 1 of 2014"),
        (canonical(_image_manifest(manifests=[])), "an image and a list at once"),
        (canonical({"mediaType": "application/json\x1b[2J"}), "no kind of manifest"),
        (canonical({"mediaType": 7}), "no kind of manifest"),
        (canonical({"manifests": []}), "it names no platforms"),
        (canonical({"manifests": [7]}), "is no JSON object"),
        (canonical({"manifests": [_entry(SIMPLE)] * 2000}), "no list manifests of at most"),
        (canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, size=-1)]}), "lacks a sha256"),
        (canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, size=1e99)]}), "lacks"),
        (canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, size=True)]}), "lacks"),
        (canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, size=7)]}), "names no image"),
        (
            canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, digest="sha256:../x")]}),
            "lacks a sha256",
        ),
        (
            canonical({"manifests": [_entry(SIMPLE, platform=PLATFORM, urls=["http://a"])]}),
            "lies at another address",
        ),
        (canonical({"manifests": [_entry(b"absent", platform=PLATFORM)]}), "has no image"),
    ],
    ids=range(20),
)
def test_a_document_that_is_none_is_refused(name: str, document: bytes, words: str) -> None:
    with Scripted(_Documents(document, SIMPLE, kind="application/octet-stream")) as server:
        message = refusal(partial(manifest, reference(server.address, name)))
    assert re.search(words, message)
    assert server.address in message


def test_a_list_in_a_list_is_refused(name: str) -> None:
    inner = canonical({"mediaType": MANIFEST_LIST_TYPE, "manifests": []})
    outer = canonical({"manifests": [_entry(inner, platform=PLATFORM)]})
    with Scripted(_Documents(outer, inner)) as server:
        message = refusal(partial(manifest, reference(server.address, name)))
    assert "a list that names no image for linux/amd64" in message


@pytest.mark.parametrize(
    "document",
    [
        {"config": {}, "layers": []},
        _image_manifest(config={"mediaType": "application/vnd.cncf.helm.config.v1+json"}),
        _image_manifest(
            config={"mediaType": CONFIG_TYPE, "digest": digest_of(b""), "size": 5 << 20}
        ),
        _image_manifest(layers=None),
        _image_manifest(layers=[None]),
        _image_manifest(*[LAYER] * 600),
    ],
    ids=range(6),
)
def test_a_manifest_that_is_no_images_is_refused(document: Any) -> None:
    refusal(lambda: parse_manifest(canonical(document)))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"architecture": "amd64"},
        {"architecture": 7, "rootfs": {"diff_ids": []}},
        {"architecture": "amd64", "rootfs": {"diff_ids": ["sha256:1"]}},
        {"architecture": "amd64", "rootfs": {"diff_ids": 7}},
    ],
    ids=range(5),
)
def test_a_configuration_that_is_none(document: Any) -> None:
    if document == {"architecture": "amd64"}:
        assert parse_config(canonical(document)).diff_ids == ()  # an image without layers
        return
    refusal(lambda: parse_config(canonical(document)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(FIELDS, JSON, max_size=6), st.text(max_size=30))
def test_any_document_is_read_or_refused_in_one_line(document: Any, told: str) -> None:
    content = json.dumps(document).encode()
    messages = []
    for parse in (partial(kind_of, told=told), parse_manifest, parse_list, parse_config):
        try:
            parse(content)
        except BuildError as err:
            messages.append(str(err))
    assert all(message.isprintable() and len(message) < 500 for message in messages)


# Deliveries that go wrong.


def test_an_image_that_isnt_there_is_told(plain: str, name: str) -> None:
    message = refusal(partial(manifest, reference(plain, name)))
    assert f"{plain} has no image {plain}/{name}:1 (" in message


def test_a_manifest_with_another_digest_is_refused(plain: str, name: str, image: Image) -> None:
    push(reference(plain, name), image)
    other = canonical(_image_manifest())

    def exchange(request: Request) -> None:
        request.reply(200, other, Docker_Content_Digest=image.digest)

    with Proxy(plain, when("GET", MANIFESTS, exchange)) as proxy:
        for target in (f"{name}:1", f"{name}@{image.digest}"):
            message = refusal(partial(manifest, parse_reference(f"{proxy.address}/{target}")))
            assert f"with the digest {digest_of(other)} instead of {image.digest}" in message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-1] + b"x", "bytes that .* exchanged on the way"),
        (lambda content: content[:-1], "only .* bytes came"),
        (lambda content: content + b"x", "more bytes come than"),
        (lambda _: b"", "only 0 of"),
    ],
    ids=["changed", "short", "long", "empty"],
)
def test_a_blob_that_isnt_what_was_asked_for_is_not_kept(
    plain: str, name: str, image: Image, fetched: Store, damage: Any, words: str
) -> None:
    blob = image.layers[1].blob
    content = damage(blob.path.read_bytes())
    with Proxy(plain, when("GET", BLOBS, lambda one: one.reply(200, content))) as proxy:
        message = refusal(partial(fetch, reference(proxy.address, name), blob, fetched))
        assert proxy.count("GET", BLOBS) == 1
    assert re.search(f"{proxy.address}, layer of .*: {words}", message)
    assert [path for path in fetched.folder.rglob("*") if path.is_file()] == []


def test_a_blob_that_broke_off_is_fetched_again(
    plain: str, name: str, image: Image, fetched: Store
) -> None:
    push(reference(plain, name), image)
    blob = image.layers[1].blob

    def break_off(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(blob.size))
        request.end_headers()
        request.wfile.write(blob.path.read_bytes()[:1000])
        request.hang_up()

    with Proxy(plain, once(when("GET", BLOBS, break_off), 2)) as proxy:
        target = reference(proxy.address, name)
        assert fetch(target, blob, fetched) == blob.path.read_bytes()
        assert proxy.count("GET", BLOBS) == 3


@pytest.mark.parametrize("what", ["manifest", "blob"])
def test_a_body_without_end_is_left(
    plain: str, name: str, image: Image, fetched: Store, what: str
) -> None:
    def pour(request: Request) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            request.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    with Proxy(plain, when("GET", f"{name}/", pour)) as proxy:
        target = reference(proxy.address, name)
        deed = partial(fetch, target, image.layers[0].blob, fetched)
        message = refusal(deed if what == "blob" else partial(manifest, target))
    assert "more bytes come than" in message or "bytes where a small document" in message


def test_a_registry_of_this_machine_may_speak_tls(
    name: str, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key, root = (tmp_path / file for file in ("chain.pem", "key.pem", "root.pem"))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(root)
    with registries.registry(
        tmp_path / "tls", http=f"tls: {{certificate: {chain}, key: {key}}}"
    ) as address:
        message = refusal(partial(push, reference(address, name), image))
        assert f"{address} shows no certificate that this machine trusts" in message
        monkeypatch.setenv("SSL_CERT_FILE", str(root))
        assert push(reference(address, name), image) == image.digest
        assert manifest(reference(address, name)).content == image.manifest

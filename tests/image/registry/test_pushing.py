"""What a registry gets from us, others can use; and nothing is sent twice."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from onnxport.image.parts import Image, digest_of, manifest_list
from onnxport.image.reference import parse_reference
from onnxport.image.registry import Progress
from onnxport.image.store import Store
from tests.image import made
from tests.image.made import AMD64, ARM64
from tests.image.registries import Proxy
from tests.image.registry.steps import inspect, push, reference, refusal, skopeo, uploads


def test_skopeo_pulls_what_was_pushed(plain: str, name: str, image: Image, tmp_path: Path) -> None:
    assert push(reference(plain, name), image) == image.digest
    assert inspect(plain, name, raw=True).encode() == image.manifest
    words = ("copy", "--src-tls-verify=false", "--preserve-digests")
    skopeo(*words, f"docker://{plain}/{name}:1", f"dir:{tmp_path / 'pulled'}")
    for layer in image.layers:
        pulled = tmp_path / "pulled" / layer.blob.digest.removeprefix("sha256:")
        assert pulled.read_bytes() == layer.blob.path.read_bytes()


def test_a_list_has_one_image_for_each_platform(plain: str, name: str, store: Store) -> None:
    images = [made.image(store, b"base", b"x", platform=one) for one in (ARM64, AMD64)]
    digest = push(reference(plain, name), *images)
    raw = inspect(plain, name, raw=True).encode()
    assert (raw, digest) == (manifest_list(images), digest_of(raw))
    for architecture in ("amd64", "arm64"):
        words = ("--override-arch", architecture, "inspect", "--tls-verify=false")
        told = skopeo(*words, "--format", "{{.Architecture}}", f"docker://{plain}/{name}:1")
        assert told.strip() == architecture


def test_an_image_is_pushed_by_its_digest_alone(plain: str, name: str, image: Image) -> None:
    target = parse_reference(f"{plain}/{name}@{image.digest}")
    assert push(target, image) == image.digest
    place = f"docker://{plain}/{name}@{image.digest}"
    assert skopeo("inspect", "--tls-verify=false", "--raw", place).encode() == image.manifest


def test_a_digest_of_another_image_is_refused_before_anything_is_sent(
    plain: str, name: str, image: Image
) -> None:
    with Proxy(plain) as proxy:
        target = parse_reference(f"{proxy.address}/{name}:1@sha256:{'0' * 64}")
        assert "names another image than was built" in refusal(partial(push, target, image))
        assert proxy.seen == []


def test_no_image_and_two_for_one_platform_are_refused(plain: str, name: str, image: Image) -> None:
    for images in ([], [image, image]):
        message = refusal(partial(push, reference(plain, name), *images))
        assert "one image is pushed for each platform" in message


def test_a_tag_moves_to_a_new_image(plain: str, name: str, image: Image, store: Store) -> None:
    other = made.image(store, b"another")
    push(reference(plain, name), image)
    push(reference(plain, name), other)
    assert inspect(plain, name, raw=True).encode() == other.manifest


def test_a_second_push_sends_nothing(plain: str, name: str, image: Image) -> None:
    push(reference(plain, name), image)
    told: list[Progress] = []
    with Proxy(plain) as proxy:
        assert push(reference(proxy.address, name), image, tell=told.append) == image.digest
        assert proxy.count("PUT") == proxy.count("POST") == 0
    assert [(one.state, one.title) for one in told] == [("there", "manifest")]


def test_a_retrain_sends_one_layer(plain: str, name: str, image: Image, store: Store) -> None:
    push(reference(plain, name), image)
    model = made.layer(store, "model", {"app/model": os.urandom(100)})
    layers = (*image.layers[:2], model)
    again = Image(AMD64, made.config([layer.diff_id for layer in layers]), layers)
    told: list[Progress] = []
    with Proxy(plain) as proxy:
        push(reference(proxy.address, name), again, tell=told.append)
        assert uploads(proxy) == sorted([model.blob.size, len(again.config)])
    assert [(one.state, one.title) for one in told if one.state != "sending"] == [
        ("there", "base"),
        ("there", "libraries"),
        ("done", "model"),
        ("done", "configuration"),
        ("done", "manifest"),
    ]


def test_layers_that_platforms_share_are_sent_once(plain: str, name: str, store: Store) -> None:
    images = [made.image(store, b"the same", platform=one) for one in (AMD64, ARM64)]
    with Proxy(plain) as proxy:
        push(reference(proxy.address, name), *images)
        assert len(uploads(proxy)) == 3  # with two configurations


def test_the_progress_of_a_layer_grows_to_its_size(plain: str, name: str, store: Store) -> None:
    image = made.image(store, b"base", os.urandom(3_000_000))
    told: list[Progress] = []
    push(reference(plain, name), image, tell=told.append)
    steps = [one for one in told if one.title == "libraries"]
    assert [one.done for one in steps] == sorted(one.done for one in steps)
    assert (steps[-1].state, steps[-1].done) == ("done", image.layers[1].blob.size)
    assert len(steps) > 5

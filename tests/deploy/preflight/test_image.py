"""P04 to P06, P08, P11, P12, P15 to P19: the image as it is, real ones and such that differ in one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import onnxport
from onnxport.deploy.intent import Image, Instances
from onnxport.deploy.preflight.image import manifest_faults
from onnxport.deploy.preflight.subject import Subject
from onnxport.image.order import Built
from onnxport.image.parts import canonical
from onnxport.image.store import Store
from tests.deploy.account import bundle
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import (
    built_of,
    finding,
    fires,
    passes,
    with_config,
    with_environment,
    with_layer,
)
from tests.image import bases, made

Make = Callable[..., Subject]
AWS_KEY = (
    "AKIA" + "ABCDEFGHIJKLMNOP"
)  # in parts, so that no scanner takes this file for what it describes


def test_a_real_image_passes(subject_of: Make, built: Built) -> None:
    subject = subject_of(built=built)
    passes("P04", subject, "fit on 16 GB")
    passes("P05", subject, "x86_64")
    passes("P06", subject, "programs and libraries for amd64")
    passes("P08", subject, "exposes 8080")
    passes("P12", subject, "kept for 75 s")
    passes("P15", subject)
    passes("P16", subject, built.digest[:19])
    passes("P17", subject)
    passes("P18", subject, "telemetry is off")


def test_an_image_too_large_for_the_disk(subject_of: Make, built: Built, store: Store) -> None:
    large = with_layer(built, store, {"app/data": b"x"}, unpacked=5_000_000_000)
    found = fires("P04", subject_of(built=large), "don't fit on 16 GB")
    assert found.fix == "write volume_gb = 19 in [instances]"
    roomy = replace(OPEN, instances=Instances(volume_gb=19))
    passes("P04", subject_of(roomy, built=large))


def test_another_processor(subject_of: Make, built: Built, store: Store) -> None:
    graviton = Instances(types=("t4g.small",), architecture="arm64")
    fires(
        "P05", subject_of(replace(OPEN, instances=graviton), built=built), "the image is for amd64"
    )
    mixed = Instances(types=("t3.small", "t4g.small"))
    fires("P05", subject_of(replace(OPEN, instances=mixed), built=built), "t4g.small is arm64")
    arm = built_of(made.image(store, b"x", platform=made.ARM64))
    passes("P05", subject_of(replace(OPEN, instances=graviton), built=arm), "arm64")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"app/site/x.so": bases.elf("arm64")},
            "/app/site/x.so is for arm64, and the image for amd64",
        ),
        ({"lib/ld-musl-x86_64.so.1": bases.elf("amd64")}, "is musl's loader"),
        ({"app/site/y.so.1": bases.elf("amd64", b"GLIBC_2.99")}, "y.so.1 needs glibc 2.99"),
    ],
    ids=["processor", "musl", "glibc"],
)
def test_machine_code_that_does_not_fit(
    subject_of: Make, built: Built, store: Store, files: dict[str, bytes], told: str
) -> None:
    fires("P06", subject_of(built=with_layer(built, store, files)), told)


def test_what_was_found_in_a_layer_is_kept(subject_of: Make, built: Built, tmp_path: Path) -> None:
    own = Store(tmp_path / "notes")
    first = passes("P06", subject_of(built=built, store=own))
    assert len([*(own.folder / "programs").iterdir()]) == len(built.images[0].layers)
    assert passes("P06", subject_of(built=built, store=own)) == first


def test_ports_that_differ(subject_of: Make, built: Built) -> None:
    other = with_config(built, ExposedPorts={"9090/tcp": {}})
    fires("P08", subject_of(built=other), "the image exposes 9090/tcp")
    told = bundle(f"nginx@{built.digest}", port="80")
    fires("P08", subject_of(built=built, bundle=told), "proxies to 80")


def test_an_image_for_root(subject_of: Make, built: Built) -> None:
    fires("P11", subject_of(built=with_config(built, User="root")), "its user is root")
    found = finding("P11", subject_of(built=built))
    assert found.outcome == "skipped", "nothing has run"


def test_connections_that_end_before_the_proxys(subject_of: Make, built: Built) -> None:
    hasty = with_environment(built, "ONNXPORT_KEEP_ALIVE=5")
    fires("P12", subject_of(built=hasty), "kept for 5 s")


def test_a_list_of_images(subject_of: Make, built: Built, store: Store) -> None:
    arm = made.image(store, b"x", platform=made.ARM64)
    both = replace(built, images=(*built.images, arm))
    fires("P15", subject_of(built=both), "manifest.list.v2+json")


def test_manifests_of_others() -> None:
    digest = "sha256:" + "0" * 64
    oci = "application/vnd.oci.image.manifest.v1+json"
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
    told = {"schemaVersion": 2, "mediaType": oci, "config": config, "layers": []}
    assert list(manifest_faults(canonical(told))) == [f"the manifest is {oci}"]
    mixed = {**told, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    assert list(manifest_faults(canonical(mixed))) == [
        f"sha256:000000000000 is {config['mediaType']}"
    ]


def test_a_bundle_with_a_tag_or_another_image(subject_of: Make, built: Built) -> None:
    tagged = subject_of(built=built, bundle=bundle("me/iris:latest"))
    fires("P16", tagged, "me/iris:latest without a digest")
    other = subject_of(built=built, bundle=bundle("me/iris@sha256:" + "1" * 64))
    fires("P16", other, "sha256:111111111111, and")


@pytest.mark.parametrize("name", ["docker.io/me/iris", "me/iris"])
def test_docker_hub_counts_pulls(subject_of: Make, name: str) -> None:
    hub = replace(OPEN, image=Image(repository=name))
    fires("P17", subject_of(hub), "100 images in 6 hours", "warning")
    passes("P17", subject_of(replace(OPEN, image=Image(repository="ghcr.io/me/iris"))))


def test_secrets(subject_of: Make, built: Built, store: Store) -> None:
    layer = with_layer(built, store, {"app/.netrc": b"machine a login b", "x": AWS_KEY.encode()})
    found = fires("P18", subject_of(built=layer), "/app/.netrc is a file for secrets")
    assert "/x holds an AWS access key" in found.looked_at
    named = with_environment(built, "DB_PASSWORD=hunter2")
    found = fires("P18", subject_of(built=named), "the variable DB_PASSWORD is set")
    assert "hunter2" not in str(found)
    telemetry = with_config(built, Env=["PATH=/bin"])
    fires("P18", subject_of(built=telemetry), "telemetry isn't off")


def test_labels(subject_of: Make, built: Built, models: dict[str, Path]) -> None:
    fires("P19", subject_of(built=built), "names no licence", "warning")
    bare = with_config(built, Labels={})
    fires("P19", subject_of(built=bare), "no label org.opencontainers.image.title", "warning")
    fires("P19", subject_of(built=built, model=models["2.0"]), "the image says iris 1.0")


def test_a_model_with_a_licence(subject_of: Make, built: Built, tmp_path: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    X, y = load_iris(return_X_y=True, as_frame=True)
    path = tmp_path / "free.onnx"
    fitted = LogisticRegression(max_iter=1000).fit(X, y)
    onnxport.save(fitted, path, X, y, name="iris", version="1.0", license="Apache-2.0")
    passes("P19", subject_of(built=built, model=path), "licence Apache-2.0")

"""Names of images and platforms: Docker's grammar, and nothing that a shell, a URL or a terminal could take amiss."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onnxport.errors import BuildError
from onnxport.image.parts import Platform
from onnxport.image.reference import Reference, is_digest, parse_platforms, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iris", Reference("docker.io", "library/iris", "latest")),
        ("iris:1.0_a-B", Reference("docker.io", "library/iris", "1.0_a-B")),
        ("team/iris:1", Reference("docker.io", "team/iris", "1")),
        ("index.docker.io/iris:1", Reference("docker.io", "library/iris", "1")),
        ("localhost/iris:1", Reference("localhost", "iris", "1")),
        ("localhost:5000/a/b__c--d/e.f:1", Reference("localhost:5000", "a/b__c--d/e.f", "1")),
        ("[::1]:5000/iris:1", Reference("[::1]:5000", "iris", "1")),
        (f"{ECR}/iris:1", Reference(ECR, "iris", "1")),
        ("Registry/iris:1", Reference("Registry", "iris", "1")),
        (f"python@{DIGEST}", Reference("docker.io", "library/python", None, DIGEST)),
        (
            f"public.ecr.aws/docker/library/python:3.12-slim@{DIGEST}",
            Reference("public.ecr.aws", "docker/library/python", "3.12-slim", DIGEST),
        ),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected
    assert parse_reference(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("docker.io/library/iris:1", "iris:1"),
        ("docker.io/team/iris", "team/iris:latest"),
        ("ghcr.io/team/iris:1", "ghcr.io/team/iris:1"),
        ("docker.io/localhost/iris:1", "docker.io/localhost/iris:1"),
        ("docker.io/a.b/iris:1", "docker.io/a.b/iris:1"),
        ("docker.io/library/a/b:1", "docker.io/library/a/b:1"),
        (f"iris@{DIGEST}", f"iris@{DIGEST}"),
    ],
)
def test_names_are_shown_as_docker_shows_them(text: str, shown: str) -> None:
    assert str(parse_reference(text)) == shown
    assert str(parse_reference(shown)) == shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "small letters"),
        ("Iris:1", "no capital letters"),
        ("ghcr.io/Team/iris:1", "no capital letters"),
        ("iris:", "a tag has"),
        ("iris:-1", "a tag has"),
        ("iris:" + "1" * 129, "a tag has"),
        ("iris:1:2", "small letters"),
        ("iris:1 ", "a tag has"),
        ("iris:1\n", "a tag has"),
        ("iris\n", "small letters"),
        ("iris\x00", "small letters"),
        ("$(reboot)", "small letters"),
        ("iris:$(reboot)", "a tag has"),
        ("`id`/iris", "no registry|small letters"),
        ("'iris'", "small letters"),
        ('"iris"', "small letters"),
        ("iris;id", "small letters"),
        ("-iris", "small letters"),
        ("--output=/etc/passwd", "small letters"),
        ("ïris", "small letters"),
        ("iris:\u0661", "a tag has"),
        ("\u0131ris", "small letters"),
        ("a//b", "small letters"),
        ("../iris", "no registry"),
        ("a/../b", "small letters"),
        ("a/./b", "small letters"),
        ("/iris", "small letters"),
        ("iris/", "small letters"),
        ("a__-b", "small letters"),
        ("https://ghcr.io/team/iris:1", "it is a URL"),
        ("http://localhost:5000/iris", "it is a URL"),
        ("user:password@ghcr.io/iris", "after @ stand sha256"),
        ("ghcr.io:port/iris", "no registry"),
        ("-ghcr.io/iris", "no registry"),
        ("ghcr..io/iris", "no registry"),
        ("ghcr.io:123456/iris", "no registry"),
        ("ghcr.io\\evil.example/iris", "no registry"),
        ("ghcr.io?x=1/iris", "no registry"),
        ("ghcr.io#x/iris", "no registry"),
        ("[::1/iris", "no registry"),
        ("iris@sha256:0123", "after @ stand sha256"),
        ("iris@" + DIGEST.upper(), "after @ stand sha256"),
        (f"iris@{DIGEST}@{DIGEST}", "after @ stand sha256"),
        ("iris@md5:" + "0" * 32, "after @ stand sha256"),
        ("0123456789abcdef" * 4, "an image's id"),
        ("a" * 300, "more than 255"),
        ("a" * 10_240, "10240 characters"),
        ("a/" * 100_000, "200000 characters"),
    ],
)
def test_what_is_no_name_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(BuildError, match=reason) as caught:
        parse_reference(text)
    message = str(caught.value)
    assert len(message) < 400
    assert message.isprintable()
    assert "give one such as iris:1" in message


HARMLESS = re.compile(r"[A-Za-z0-9._:/@\[\]-]+")


@given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9._:/@\[\]-]{1,40}", fullmatch=True))
@example("iris:1")
def test_what_passes_is_harmless_and_stays_the_same(text: str) -> None:
    try:
        reference = parse_reference(text)
    except BuildError:
        return
    for part in (reference.registry, reference.repository, reference.tag or "", str(reference)):
        assert HARMLESS.fullmatch(part) or part == ""
        assert not part.startswith("-")
        assert ".." not in part.split("/")
    assert parse_reference(str(reference)) == reference


def test_digests() -> None:
    assert is_digest(DIGEST)
    for wrong in (DIGEST[:-1], DIGEST + "0", DIGEST + "\n", DIGEST.upper(), "", None, 7):
        assert not is_digest(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", ["amd64"]),
        ("linux/amd64,linux/arm64", ["amd64", "arm64"]),
        ("linux/arm64, linux/amd64", ["arm64", "amd64"]),
        ("linux/amd64,linux/x86_64,amd64", ["amd64"]),
        ("linux/arm64/v8", ["arm64"]),
        ("aarch64", ["arm64"]),
        ("Linux/AMD64", ["amd64"]),
    ],
)
def test_platforms(text: str, expected: list[str]) -> None:
    assert parse_platforms(text) == tuple(Platform(architecture) for architecture in expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "linux/amd64,",
        "linux",
        "windows/amd64",
        "darwin/arm64",
        "linux/arm/v7",
        "linux/386",
        "linux/amd64/v2",
        "linux/amd64\n,x",
        "$(id)",
        "linux/" + "a" * 10_000,
        "linux/amd64," * 10_000 + "linux/arm64",
    ],
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="give linux/amd64, linux/arm64, or both") as caught:
        parse_platforms(text)
    assert len(str(caught.value)) < 250


def test_a_password_in_a_name_is_not_repeated() -> None:
    with pytest.raises(BuildError, match="after @") as caught:
        parse_reference("anna:secret@ghcr.io/team/iris:1")
    assert "secret" not in str(caught.value)

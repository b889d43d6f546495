"""P20 to P24: bundles as others pack them, and as we do; snippets are given to a real nginx."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from onnxport.deploy.intent import Instances, Network
from onnxport.deploy.preflight.bundle import snippets_verdict
from onnxport.deploy.preflight.members import members
from onnxport.deploy.preflight.nginx import refusal
from onnxport.deploy.preflight.subject import Subject
from onnxport.errors import BuildError
from onnxport.image.order import Built
from tests.deploy.account import bundle, zipped
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import fires, passes

Make = Callable[..., Subject]
DIGEST = "sha256:" + "0" * 64
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/onnxport/iris@{DIGEST}"
GOOD: dict[str, Any] = {
    "AWSEBDockerrunVersion": "1",
    "Image": {"Name": IMAGE, "Update": "true"},
    "Ports": [{"ContainerPort": "8080"}],
}
ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
SECURE = replace(
    OPEN,
    instances=Instances(layout="load-balanced"),
    network=Network(domain="api.example.com", certificate=ARN),
)
SNIPPET = ".platform/nginx/conf.d/a.conf"
HOOK = ".platform/hooks/postdeploy/prune.sh"


def packed(files: Mapping[str, str], *, mode: int = 0o644) -> bytes:
    """A zip whose files have a mode, beside a good Dockerrun.aws.json."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in {"Dockerrun.aws.json": json.dumps(GOOD), **files}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, text)
    return content.getvalue()


def test_our_own_bundles_pass(subject_of: Make) -> None:
    for intent in (OPEN, SECURE):
        subject = subject_of(intent)
        passes("P20", subject)
        passes("P21", subject)
        passes("P22", subject, "bytes")
        passes("P24", subject)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"AWSEBDockerrunVersion": "2"}, "AWSEBDockerrunVersion is 2"),
        ({"containerDefinitions": []}, "belongs to version 2"),
        ({"ports": []}, "ports is no key of it; did you mean Ports?"),
        ({"Image": {}}, "Image.Name is missing"),
        ({"Image": {"Name": "Me/Iris:1"}}, "Image.Name: "),
        ({"Ports": []}, "Ports names no ContainerPort"),
        ({"Ports": ["8080"]}, "Ports names no ContainerPort"),
    ],
    ids=["version", "ecs", "case", "unnamed", "upper", "ports", "form"],
)
def test_a_dockerrun_that_is_not_understood(
    subject_of: Make, change: dict[str, Any], told: str
) -> None:
    text = json.dumps({**GOOD, **change})
    fires("P20", subject_of(bundle=zipped({"Dockerrun.aws.json": text})), told)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"Dockerrun.aws.json": "{"}, "is no JSON"),
        ({"Dockerrun.aws.json": "[]"}, "is no JSON object"),
        ({"readme.txt": "x"}, "there is no Dockerrun.aws.json"),
        (
            {"Dockerrun.aws.json": json.dumps(GOOD), "Dockerfile": "FROM x"},
            "Image is named beside a Dockerfile",
        ),
        (
            {"Dockerrun.aws.json": json.dumps(GOOD), "docker-compose.yml": "services:"},
            "can't be together",
        ),
    ],
    ids=["broken", "list", "missing", "dockerfile", "compose"],
)
def test_a_bundle_that_is_no_image(subject_of: Make, files: dict[str, str], told: str) -> None:
    fires("P20", subject_of(bundle=zipped(files)), told)


def test_others_ways_that_are_right(subject_of: Make) -> None:
    number = {**GOOD, "AWSEBDockerrunVersion": 1, "Ports": [{"ContainerPort": 8080}]}
    passes("P20", subject_of(bundle=zipped({"Dockerrun.aws.json": json.dumps(number)})))
    passes("P20", subject_of(bundle=zipped({"Dockerfile": "FROM x"})))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({".env": "KEY=1"}, ".env doesn't belong"),
        ({".git/config": "x"}, ".git/config doesn't belong"),
        ({"a\\b.txt": "x"}, "has a backslash"),
        ({"../a.txt": "x"}, "leads out of the bundle"),
        ({HOOK: "#!/bin/sh\n"}, "is a hook and isn't executable"),
    ],
    ids=["env", "git", "windows", "out", "mode"],
)
def test_files_that_do_not_belong(subject_of: Make, files: dict[str, str], told: str) -> None:
    fires("P21", subject_of(bundle=packed(files)), told)


def test_a_dockerrun_that_is_no_object_breaks_no_other_check(
    subject_of: Make, built: Built
) -> None:
    for text in ("{", "[]", '{"Ports": ["8080"], "Image": "me/iris"}'):
        subject = subject_of(built=built, bundle=zipped({"Dockerrun.aws.json": text}))
        fires("P08", subject, "proxies to none")
        fires("P16", subject, "the bundle names no image without a digest")


def test_hooks(subject_of: Make) -> None:
    good = packed({HOOK: "#!/bin/sh\ndocker image prune -f\n"}, mode=0o755)
    passes("P21", subject_of(bundle=good), "2 files")
    windows = packed({HOOK: "@echo off\r\n"}, mode=0o755)
    found = fires("P21", subject_of(bundle=windows), "doesn't begin with #!")
    assert "the line ends of Windows" in found.looked_at


def test_a_zip_of_the_folder(subject_of: Make) -> None:
    folder = zipped({"iris/Dockerrun.aws.json": json.dumps(GOOD)})
    fires("P21", subject_of(bundle=folder), "iris/Dockerrun.aws.json stands in a folder")


def test_no_zip_at_all(subject_of: Make) -> None:
    fires("P20", subject_of(bundle=b"{}"), "the source bundle is no zip")
    with pytest.raises(BuildError, match="no zip"):
        members(b"")


def test_a_bundle_with_the_model_inside(subject_of: Make) -> None:
    passes("P22", subject_of(bundle=packed({"model.onnx": os.urandom(3000).hex()})))
    fires("P22", subject_of(bundle=bytes(500_000_001)), "500 are allowed")


# ------------------------------------------------------------------------------------------------------------ nginx


def test_a_real_nginx_takes_our_snippet(subject_of: Make, needs_nginx: str) -> None:
    assert needs_nginx
    passes("P23", subject_of(), "nginx takes .platform/nginx/conf.d/zz-onnxport.conf")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("client_max_body_sise 4m;", 'unknown directive "client_max_body_sise"'),
        ("client_max_body_size 4m", "nginx refuses the snippets"),
        ("server_tokens on;", "duplicate"),
    ],
    ids=["typo", "semicolon", "twice"],
)
def test_a_real_nginx_refuses(subject_of: Make, needs_nginx: str, text: str, told: str) -> None:
    assert refusal(needs_nginx, {SNIPPET: b"client_max_body_size 4m;"}) == ""
    found = fires("P23", subject_of(bundle=packed({SNIPPET: text})), told)
    assert "/tmp" not in found.looked_at


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (SNIPPET, "upstream docker { server 1.2.3.4; }", "has a block upstream docker"),
        (SNIPPET, "server { listen 81; }", "has a block server"),
        (".ebextensions/nginx/conf.d/a.conf", "x 1;", "is ignored on Amazon Linux 2023"),
    ],
    ids=["upstream", "server", "old"],
)
def test_snippets_that_are_wrong_without_nginx(
    subject_of: Make, name: str, text: str, told: str
) -> None:
    fires("P23", subject_of(bundle=packed({name: text})), told)


def test_without_nginx_nothing_is_ok(subject_of: Make) -> None:
    found = snippets_verdict(subject_of().members, None)
    assert found.outcome == "skipped"
    assert "nginx isn't here; 1 snippets were read" in found.looked_at
    passes("P23", subject_of(bundle=packed({})), "no snippet")


# ------------------------------------------------------------------------------------------------------ .ebextensions


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.config", "option_settings:\n\t- x", "a.config is no JSON object"),
        ("a.yml", "{}", "a.yml isn't called .config"),
        ("a.config", "[]", "a.config is no JSON object"),
    ],
    ids=["tab", "name", "list"],
)
def test_extensions_that_stop_a_deployment(
    subject_of: Make, name: str, text: str, told: str
) -> None:
    fires("P24", subject_of(bundle=packed({f".ebextensions/{name}": text})), told)


def test_options_that_have_no_effect(subject_of: Make) -> None:
    space, name = "aws:autoscaling:asg", "MaxSize"
    mapped = {"option_settings": {space: {name: "4"}}}
    listed = {"option_settings": [{"namespace": space, "option_name": name, "value": "4"}]}
    for told in (mapped, listed):
        content = packed({".ebextensions/a.config": json.dumps(told)})
        fires("P24", subject_of(bundle=content), f"{space} {name}", "warning")
    other = {"option_settings": {"aws:elasticbeanstalk:xray": {"XRayEnabled": "true"}}}
    passes("P24", subject_of(bundle=packed({".ebextensions/a.config": json.dumps(other)})))


def test_a_dockerrun_of_the_tests_own_passes(subject_of: Make) -> None:
    passes("P20", subject_of(bundle=bundle(IMAGE)))

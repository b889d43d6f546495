"""The source bundle: the same bytes anywhere, an image by digest, and a snippet that a real nginx takes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from onnxport.deploy.bundle import (
    DOCKERRUN,
    PROXY_LIMITS,
    REDIRECT,
    dockerrun,
    files_of,
    make_bundle,
    proxy_limits,
)
from onnxport.deploy.intent import Instances, Intent, Limits, Network
from onnxport.errors import SettingsError
from onnxport.image.settings import PORT

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/onnxport/iris@{DIGEST}"
INTENT = Intent(app="iris")
ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
SECURE = replace(
    INTENT,
    instances=Instances(layout="load-balanced"),
    network=Network(domain="api.example.com", certificate=ARN),
)


def opened(intent: Intent, image: str = IMAGE) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(make_bundle(intent, image).content))


def test_the_image_by_its_digest_and_the_port_that_it_listens_on() -> None:
    told = json.loads(opened(INTENT).read(DOCKERRUN))
    assert told == {
        "AWSEBDockerrunVersion": "1",
        "Image": {"Name": IMAGE, "Update": "true"},
        "Ports": [{"ContainerPort": str(PORT), "HostPort": "8000"}],
    }


def test_nothing_else_is_in_it() -> None:
    """Files stand at the root, with plain names and modes; no hook, no environment file, no folder of the user's."""
    for intent, names in (
        (INTENT, {DOCKERRUN, PROXY_LIMITS}),
        (SECURE, {DOCKERRUN, PROXY_LIMITS, REDIRECT}),
    ):
        with opened(intent) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == sorted(names)
            assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
            assert not any(entry.extra or entry.comment for entry in archive.infolist())
    assert len(make_bundle(SECURE, IMAGE).content) < 10_000


def test_it_is_known_by_its_digest() -> None:
    bundle = make_bundle(INTENT, IMAGE)
    assert bundle.sha256 == hashlib.sha256(bundle.content).hexdigest()
    others = [
        make_bundle(INTENT, IMAGE.replace("0123", "3210")),
        make_bundle(replace(INTENT, limits=Limits(body_mb=5)), IMAGE),
        make_bundle(replace(INTENT, limits=Limits(timeout=61)), IMAGE),
        make_bundle(SECURE, IMAGE),
    ]
    assert len({bundle.sha256, *(other.sha256 for other in others)}) == 5
    assert make_bundle(replace(INTENT, region="eu-west-1", budget=5.0), IMAGE) == bundle


_PROGRAM = f"""
import os, sys
os.umask(int(sys.argv[1], 8))
from onnxport.deploy.bundle import make_bundle
from onnxport.deploy.intent import Intent
print(make_bundle(Intent(app="iris"), {IMAGE!r}).sha256)
"""


@pytest.mark.parametrize(
    ("zone", "umask", "seed", "language"),
    [("UTC", "022", "0", "C.UTF-8"), ("Pacific/Kiritimati", "077", "1", "tr_TR.UTF-8")],
    ids=["here", "elsewhere"],
)
def test_the_same_bytes_everywhere(
    tmp_path: Path, zone: str, umask: str, seed: str, language: str
) -> None:
    environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": language}
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM, umask],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == make_bundle(INTENT, IMAGE).sha256


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("me/iris", "names an image without its digest"),
        ("me/iris:1", "names an image without its digest"),
        ("me/iris@sha256:0", "is no image name"),
        (f"Me/Iris@{DIGEST}", "is no registry's host name|no capital letters|is no image name"),
        (f'me/iris"\n@{DIGEST}', "is no image name"),
        ("", "is no image name"),
    ],
    ids=range(6),
)
def test_an_image_that_could_be_another_tomorrow_is_refused(image: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make_bundle(INTENT, image)


def test_images_of_docker_hub_and_others_are_named_as_they_are() -> None:
    for image in (f"docker.io/me/iris@{DIGEST}", f"ghcr.io/team/iris:1@{DIGEST}"):
        assert json.loads(dockerrun(image))["Image"]["Name"] == image


def test_the_domain_leads_to_https_and_the_address_of_golden_requests_stays() -> None:
    rule = yaml.safe_load(files_of(SECURE, IMAGE)[REDIRECT])["Resources"]["OnnxportHttpsRedirect"]
    told = rule["Properties"]
    assert rule["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
    assert told["Conditions"] == [
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["api.example.com"]}}
    ]
    assert told["Actions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"


# ------------------------------------------------------------------------------------------------------------- nginx


def test_the_snippet_raises_what_the_proxy_allows() -> None:
    assert proxy_limits(replace(INTENT, limits=Limits(body_mb=32, timeout=120))) == (
        "client_max_body_size 32m;\nproxy_read_timeout 120s;\nproxy_send_timeout 120s;\n"
    )


_NGINX = """
daemon off;
master_process off;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    include {folder}/conf.d/*.conf;
    server {{
        listen 127.0.0.1:{port} default_server;
        client_header_timeout 60;
        client_body_timeout 60;
        keepalive_timeout 60;
        location / {{
            proxy_pass http://docker;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def _proxy(folder: Path, intent: Intent, upstream: int) -> tuple[Path, int]:
    """A configuration of the shape that Elastic Beanstalk's has, with the bundle unpacked beside it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf = folder / "conf.d"
    conf.mkdir()
    (conf / "elasticbeanstalk-nginx-docker-upstream.conf").write_text(
        f"upstream docker {{ server 127.0.0.1:{upstream}; keepalive 256; }}\n", "utf-8"
    )
    with opened(intent) as archive:
        snippet = archive.read(PROXY_LIMITS).decode()
    (conf / Path(PROXY_LIMITS).name).write_text(snippet, "utf-8")
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port), "utf-8")
    return folder / "nginx.conf", port


def test_nginx_takes_the_snippet(needs_nginx: str, tmp_path: Path) -> None:
    for index, limits in enumerate((Limits(), Limits(body_mb=1024, timeout=3600), Limits(1, 1))):
        folder = tmp_path / str(index)
        folder.mkdir()
        file, _ = _proxy(folder, replace(INTENT, limits=limits), 8000)
        said = subprocess.run(
            [needs_nginx, "-t", "-p", folder, "-c", file, "-e", folder / "error.log"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        assert "warn" not in said.stderr


def test_nginx_lets_bodies_through_that_it_refuses_by_itself(
    needs_nginx: str, tmp_path: Path
) -> None:
    with _upstream() as upstream:
        file, port = _proxy(tmp_path, INTENT, upstream)
        with _running([needs_nginx, "-p", str(tmp_path), "-c", str(file)], port):
            assert _post(port, 4 * 1024 * 1024) == 200
            assert _post(port, 4 * 1024 * 1024 + 1) == 413


class _Counts(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _upstream() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Counts) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _post(port: int, size: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # a refusal comes before the body's end
            connection.request("POST", "/predict", b"x" * size)
        return connection.getresponse().status
    finally:
        connection.close()

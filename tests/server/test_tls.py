"""TLS on a running server, with a certificate that callers verify; and every file that can't be used, told of."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

import onnxport
from onnxport.errors import SettingsError
from onnxport.keys import new_key
from onnxport.server.run import bind
from onnxport.server.tls import tls_context
from onnxport.settings import Settings
from tests.server import models
from tests.serving import ServerProcess

ModelFile = Callable[[models.Made], Path]


@dataclass(frozen=True)
class Files:
    """What stands in a folder: `ca` for callers, `cert` and `key` for the server, and others that don't fit."""

    folder: Path

    def __getattr__(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = Files(tmp_path_factory.mktemp("tls"))
    authority = trustme.CA()
    ours, other = (authority.issue_cert("127.0.0.1", "localhost") for _ in range(2))
    authority.cert_pem.write_to_path(made.ca)
    for number, part in enumerate(ours.cert_chain_pems):
        part.write_to_path(made.cert, append=number > 0)
    ours.private_key_pem.write_to_path(made.key)
    other.private_key_pem.write_to_path(made.other_key)
    key = load_pem_private_key(ours.private_key_pem.bytes(), None)
    for name, form in (
        ("encrypted", PrivateFormat.PKCS8),
        ("encrypted_of_old", PrivateFormat.TraditionalOpenSSL),
    ):
        sealed = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
        (made.folder / f"{name}.pem").write_bytes(sealed)
    (made.folder / "der.pem").write_bytes(ssl.PEM_cert_to_DER_cert(Path(made.ca).read_text()))
    (made.folder / "cut.pem").write_bytes(Path(made.cert).read_bytes()[:200])
    (made.folder / "empty.pem").touch()
    return made


@pytest.fixture(scope="module")
def server(model_file: ModelFile, files: Files) -> Iterator[ServerProcess]:
    told = ("--tls-cert", files.cert, "--tls-key", files.key)
    with ServerProcess("serve", model_file(models.reciprocal()), "--port", "0", *told) as process:
        yield process
    assert "Traceback" not in process.log


def test_callers_verify_the_server(server: ServerProcess, files: Files) -> None:
    assert server.url.startswith("https://127.0.0.1:")
    with requests.Session() as session:

        def post(rows: object) -> object:
            sent = session.post(f"{server.url}/predict", json=rows, verify=files.ca, timeout=20)
            return sent.json()

        assert post({"x": 4}) == {"prediction": 0.25}
        assert post([{"x": 1.0}] * 9000) == [{"prediction": 1.0}] * 9000
        assert session.get(f"{server.url}/docs", verify=files.ca, timeout=20).status_code == 200
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        requests.get(f"{server.url}/health/live", timeout=20)


def test_curl_verifies_the_server(server: ServerProcess, files: Files, needs_curl: str) -> None:
    command = [needs_curl, "--silent", "--fail", "--cacert", files.ca]
    row = ["--json", '{"x": 2}', f"{server.url}/predict"]
    done = subprocess.run([*command, *row], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"prediction": 0.5}


def shake_hands(server: ServerProcess, files: Files, version: ssl.TLSVersion) -> str:
    """The version that the server agrees to, when only this one is offered."""
    context = ssl.create_default_context(cafile=files.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")  # this side would take anything
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    place = urlsplit(server.url)
    with (
        socket.create_connection((place.hostname, place.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        return str(wrapped.version())


def test_nothing_older_than_tls_1_2(server: ServerProcess, files: Files) -> None:
    for version, told in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        assert shake_hands(server, files, version) == told
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(OSError, match=r"ALERT_PROTOCOL_VERSION|EOF|reset"):  # there
            shake_hands(server, files, version)


def test_who_speaks_no_tls_gets_nothing_and_disturbs_nobody(
    server: ServerProcess, files: Files
) -> None:
    place = urlsplit(server.url)
    address = (place.hostname, place.port)
    silent = [socket.create_connection(address, timeout=20) for _ in range(20)]
    with socket.create_connection(address, timeout=20) as plain:
        plain.sendall(b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(65536)
    context = ssl.create_default_context(cafile=files.ca)
    caller = http.client.HTTPSConnection("127.0.0.1", place.port, context=context, timeout=20)
    for _ in range(3):  # on one connection
        caller.request("POST", "/predict", b'{"x":1}')
        assert json.loads(caller.getresponse().read()) == {"prediction": 1.0}
    caller.close()
    for connection in silent:
        connection.close()


def test_who_never_shakes_hands_is_sent_away(server: ServerProcess) -> None:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as silent:
        began = time.monotonic()
        assert silent.recv(1) == b""
        assert 4 < time.monotonic() - began < 8


def test_an_idle_caller_does_not_hold_up_the_end(model_file: ModelFile, files: Files) -> None:
    """Neither one that doesn't answer the end of TLS, because it isn't reading."""
    told = ("--tls-cert", files.cert, "--tls-key", files.key)
    server = ServerProcess("serve", model_file(models.reciprocal()), "--port", "0", *told)
    context = ssl.create_default_context(cafile=files.ca)
    place = urlsplit(server.url)
    idle = http.client.HTTPSConnection("127.0.0.1", place.port, context=context, timeout=20)
    idle.request("GET", "/health/live")
    assert idle.getresponse().read() == b'{"status":"live"}'
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 4
    assert "error" not in server.log
    idle.close()


def test_the_client_of_onnxport(server: ServerProcess) -> None:
    """It takes the authorities that the system knows, and no others."""
    with (
        onnxport.Client(server.url) as client,
        pytest.raises(onnxport.OnnxportError, match="certificate verify failed"),
    ):
        client.predict({"x": 1})


def test_keys_over_tls(model_file: ModelFile, files: Files, tmp_path: Path) -> None:
    """All guards at once, on an address that others reach."""
    made = new_key()
    (tmp_path / "keys.txt").write_text(made.line, "utf-8")
    told = ["--host", "0.0.0.0", "--api-key-file", str(tmp_path / "keys.txt")]
    told += ["--tls-cert", files.cert, "--tls-key", files.key, "--hosts", "localhost"]
    with ServerProcess("serve", model_file(models.reciprocal()), "--port", "0", *told) as server:
        url = server.url.replace("0.0.0.0", "localhost") + "/predict"
        rows, bearer = b'{"x":1}', {"Authorization": f"Bearer {made.key}"}
        post = [
            requests.post(url, rows, headers=headers, verify=files.ca, timeout=20).status_code
            for headers in (bearer, {}, {**bearer, "Host": "evil"})
        ]
        assert post == [200, 401, 400]
        server.process.send_signal(signal.SIGINT)  # which waits for no load balancer


REFUSED: list[tuple[str, str, str]] = [
    ("cert", "", "--tls-cert is given without --tls-key; give both, or neither"),
    ("", "key", "--tls-key is given without --tls-cert; give both, or neither"),
    ("gone", "key", "--tls-cert .*gone.pem: No such file or directory; name a file"),
    ("cert", "gone", "--tls-key .*gone.pem: No such file or directory; name a file"),
    ("key", "key", "--tls-cert .*key.pem holds no certificate in PEM"),
    ("cert", "cert", "--tls-key .*cert.pem holds no private key in PEM"),
    ("der", "key", "--tls-cert .*der.pem holds no certificate in PEM"),
    ("empty", "key", "--tls-cert .*empty.pem holds no certificate"),
    ("cut", "key", "--tls-cert .*cut.pem and --tls-key .* can't be used .*both in PEM"),
    ("cert", "other_key", "--tls-key .*other_key.pem is not the key of the first certificate in"),
    ("ca", "key", "--tls-key .*key.pem is not the key of the first certificate in"),
    ("cert", "encrypted", "--tls-key .*encrypted.pem is encrypted.*openssl pkey -in"),
    ("cert", "encrypted_of_old", "--tls-key .*encrypted_of_old.pem is encrypted"),
]


@pytest.mark.parametrize(("cert", "key", "told"), REFUSED)
def test_files_that_cannot_be_used(files: Files, cert: str, key: str, told: str) -> None:
    named = [getattr(files, name) if name else "" for name in (cert, key)]
    settings = Settings(port=0, tls_cert=named[0], tls_key=named[1])
    with pytest.raises(SettingsError, match=told):
        tls_context(settings)
    with pytest.raises(SettingsError, match=told):
        bind(settings)


def test_serve_ends_before_it_listens(model_file: ModelFile, files: Files) -> None:
    told = ("--tls-cert", files.cert, "--tls-key", files.encrypted)
    server = ServerProcess("serve", model_file(models.reciprocal()), "--port", "0", *told)
    with pytest.raises(AssertionError, match="ended before it listened"):
        _ = server.url
    assert server.process.wait(timeout=20) == 2
    assert server.log.startswith("onnxport: --tls-key ")
    assert server.log.count("\n") == 1
    server.stop()


def test_without_files_there_is_no_tls() -> None:
    assert tls_context(Settings()) is None

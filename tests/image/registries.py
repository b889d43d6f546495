"""Real registries on this machine: plain, with a password, behind a token server; and a proxy that breaks them."""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests import programs

USER, PASSWORD = "anna", "correct horse"
# bcrypt of PASSWORD with the lowest cost, as `htpasswd -B` writes it
_HTPASSWD = f"{USER}:$2y$05$6YFRvO3.4exjAwt0cZPvyOZhnAwHTOmIzM2e8jVdBMbBlmItkfBjy\n"
_SERVICE, _ISSUER = "the registry", "the token server"


@contextmanager
def registry(folder: Path, *, settings: str = "", http: str = "") -> Iterator[str]:
    """A `docker-registry` that keeps all below a folder; gives its address.

    settings: lines of its configuration. http: more of the part about HTTP.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yml"
    path.write_text(
        f"version: 0.1\nlog: {{level: info, formatter: json}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:0', {http}}}\n{settings}"
    )
    program = programs.program("docker-registry")
    command = ["setpriv", "--pdeathsig", "TERM", program, "serve", str(path)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        yield _listening(process.stderr)
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stderr.close()


def _listening(lines: Any) -> str:
    """The address in the log; a thread reads on, lest the pipe be full one day."""
    for line in lines:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
        if found:
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            return found[1]
    raise AssertionError("docker-registry ended before it listened")


def with_password(folder: Path) -> str:
    """The configuration of a registry that knows USER and PASSWORD."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "htpasswd"
    path.write_text(_HTPASSWD)
    return f"auth: {{htpasswd: {{realm: here, path: {path}}}}}\n"


@dataclass
class Seen:
    """A request that a server of the tests got. body: how many bytes of it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        self._is_read = False
        seen = Seen(self.command, self.path, dict(self.headers.items()))
        self.server.seen.append(seen)
        try:
            self.server.answer(self, seen)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        """http.server looks for do_GET, do_PUT and so on."""
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer, after the whole request; header names are given with underscores."""
        if not self._is_read:
            self.read_body()
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self, limit: int | None = None) -> bytes:
        self._is_read = True
        length = int(self.headers.get("Content-Length", 0))
        content = self.rfile.read(length if limit is None else min(limit, length))
        self.server.seen[-1].body = len(content)
        return content

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[_Handler, Seen], None]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(timeout=10)

    def count(self, method: str, part: str = "") -> int:
        return sum(one.method == method and part in one.path for one in self.seen)


Request = _Handler
Fault = Callable[[_Handler, Seen], bool]


class Proxy(_Server):
    """Stands before a registry. Each fault is asked in turn and says whether it has dealt with the request."""

    def __init__(self, behind: str, *faults: Fault) -> None:
        super().__init__()
        self._behind, self.faults = behind, list(faults)

    def answer(self, request: _Handler, seen: Seen) -> None:
        if not any(fault(request, seen) for fault in self.faults):
            self.forward(request)

    def forward(self, request: _Handler, *, silent: bool = False) -> None:
        """Hands a request on. silent: the answer is kept back."""
        body = request.read_body()
        connection = http.client.HTTPConnection(self._behind, timeout=20)
        try:
            connection.request(request.command, request.path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if silent:
            return
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("date", "server", "transfer-encoding"):
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


class Scripted(_Server):
    """A server that is no registry: one function answers everything."""

    def __init__(self, answer: Callable[[_Handler, Seen], None]) -> None:
        super().__init__()
        self.answer = answer


def once(fault: Fault, times: int = 1) -> Fault:
    """A fault that strikes so often, then never again."""
    left = [times]

    def strike(request: _Handler, seen: Seen) -> bool:
        if left[0] and fault(request, seen):
            left[0] -= 1
            return True
        return False

    return strike


def when(method: str, part: str, deed: Callable[[_Handler], None]) -> Fault:
    """A fault for requests of a method whose path holds a part."""

    def strike(request: _Handler, seen: Seen) -> bool:
        if seen.method != method or part not in seen.path:
            return False
        deed(request)
        return True

    return strike


@dataclass
class TokenServer:
    """Issues the tokens that a registry checks by our certificate. lifetime: of a token, in seconds."""

    folder: Path
    lifetime: int = 300
    refresh_token: str = ""
    issued: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._certificate = _certificate(self._key)
        self.server = Scripted(self._answer)

    @property
    def settings(self) -> str:
        """The configuration of a registry that trusts this server."""
        path = self.folder / "bundle.pem"
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        realm = f"http://{self.server.address}/token"
        return (
            f"auth: {{token: {{realm: '{realm}', service: {_SERVICE}, issuer: {_ISSUER}, "
            f"rootcertbundle: {path}}}}}\n"
        )

    def _answer(self, request: _Handler, seen: Seen) -> None:
        form = parse_qs(urlsplit(seen.path).query)
        if seen.method == "POST":
            form = parse_qs(request.read_body().decode())
            is_known = form.get("refresh_token") == [self.refresh_token]
        else:
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            is_known = seen.headers.get("Authorization") == f"Basic {pair}"
        if not is_known or form["service"] != [_SERVICE]:
            request.reply(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "wrong"}]}')
            return
        token = self._sign(form["scope"][0])
        self.issued.append(token)
        document = {"token": token, "expires_in": self.lifetime}
        request.reply(200, json.dumps(document).encode())

    def _sign(self, scope: str) -> str:
        kind, name, actions = scope.split(":")
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": _ISSUER,
            "sub": USER,
            "aud": _SERVICE,
            "exp": now + self.lifetime,
            "nbf": now - 10,
            "iat": now,
            "jti": f"{now}-{len(self.issued)}",
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        text = ".".join(_url64(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_url64(signature)}"


def _url64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )

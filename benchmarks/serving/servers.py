"""The servers that are compared: how each is started, and what its answers must be."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from benchmarks.serving.process import Process
from benchmarks.serving.workloads import Workload

APPS = Path(__file__).with_name("apps")


class Answers(Enum):
    """What a server's answers are compared with."""

    WHOLE = "the model's whole answer"
    LABELS = "the model's prediction"
    CONSTANT = "the constant"


@dataclass(frozen=True)
class Place:
    """Where a server runs and what it gets. constant: an answer of onnxport's with its headers, as it went over the
    wire. folder: for its files.
    """

    port: int
    folder: Path
    cores: Sequence[int]
    workload: Workload
    key_file: Path
    constant: bytes

    @property
    def constant_body(self) -> bytes:
        return self.constant.partition(b"\r\n\r\n")[2]


def _as_it_is(body: bytes) -> bytes:
    return body


@dataclass(frozen=True)
class Server:
    """A way to serve a workload. path: of one-row requests; many_path: of requests with a list of rows.

    cores: how many it runs on. order: of the requests that it gets, see `load.run`. A server with another protocol
    says how a row's body is written, and how an answer becomes one of onnxport's. is_peer: it may be given up.
    """

    name: str
    command: Callable[[Place], list[str]]
    answers: Answers
    path: str = "/predict"
    many_path: str = "/predict"
    cores: int = 1
    order: str = "turns"
    write: Callable[[bytes], bytes] = _as_it_is
    read: Callable[[bytes], Any] = json.loads
    is_peer: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def bodies(self, workload: Workload) -> list[bytes]:
        return [self.write(body) for body in workload.bodies]

    def path_for(self, workload: Workload) -> str:
        return self.path if workload.rows_per_request == 1 else self.many_path

    def start(self, place: Place) -> Process:
        place.folder.mkdir(parents=True, exist_ok=True)
        answer = place.folder / "constant"
        answer.write_bytes(place.constant_body)
        return Process(
            self.name,
            self.command(place),
            log=place.folder / f"{self.name}.log",
            cores=place.cores,
            env={
                "BENCH_MODEL": str(place.workload.plain),
                "BENCH_ONNX": str(place.workload.model),
                "BENCH_ANSWER": str(answer),
                **self.environment,
            },
            cwd=place.folder,
        )


def onnxport_with(*options: str) -> Callable[[Place], list[str]]:
    """`onnxport serve` with an API key asked for, as in production."""

    def command(place: Place) -> list[str]:
        keys = ["--api-key-file", str(place.key_file)]
        serve = [sys.executable, "-m", "onnxport", "serve", str(place.workload.model)]
        return [*serve, "--port", str(place.port), *keys, *options]

    return command


def _nginx(place: Place) -> list[str]:
    config = place.folder / "nginx.conf"
    config.write_text(nginx_config(place), "utf-8")
    return ["nginx", "-e", "stderr", "-p", str(place.folder), "-c", str(config)]


def nginx_config(place: Place) -> str:
    """One worker that answers every request with the same bytes, as many as onnxport's answer has with its headers."""
    body = place.constant_body.decode("utf-8")
    own = (
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    )
    missing = len(place.constant) - len(own) - len(body) - len("X: \r\n")
    fill = f"add_header X {'x' * missing};" if missing > 0 else ""
    user = "user root;" if os.getuid() == 0 else ""
    quoted = body.replace("\\", "\\\\").replace("'", "\\'")
    temporary = "\n".join(
        f"  {kind}_temp_path {place.folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}
daemon off;
worker_processes 1;
pid {place.folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  client_max_body_size 64m;
{temporary}
  server {{
    listen 127.0.0.1:{place.port} backlog=4096;
    location / {{
      default_type application/json;
      {fill}
      return 200 '{quoted}';
    }}
  }}
}}
"""


def tutorial(place: Place) -> list[str]:
    """uvicorn as the tutorial starts it, with all defaults: its log has a line for each request."""
    app = f"tutorial_{place.workload.name.partition('-')[0]}:app"
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(APPS)]
    return [*uvicorn, "--port", str(place.port), app]


def _uvicorn(place: Place) -> list[str]:
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(APPS), "--port", str(place.port)]
    return [*uvicorn, "--no-access-log", "--log-level", "warning", "constant:app"]


def _granian(place: Place) -> list[str]:
    granian = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(place.port)]
    granian += ["--workers", "1", "--loop", "uvloop", "--no-ws", "--log-level", "warning"]
    return [*granian, "--working-dir", str(APPS), "constant:app"]


NGINX = Server("nginx", _nginx, Answers.CONSTANT)
ONNXPORT = Server("onnxport", onnxport_with(), Answers.WHOLE)
LOGGING = Server("onnxport-access-log", onnxport_with("--access-log"), Answers.WHOLE)
TWO_WORKERS = Server("onnxport-2-workers", onnxport_with("--workers", "2"), Answers.WHOLE, cores=2)
PLAIN = replace(NGINX, name="nginx-plain-wrk", order="constant")
TUTORIAL = Server("tutorial", tutorial, Answers.LABELS, many_path="/predict_many")
UVICORN = Server("uvicorn", _uvicorn, Answers.CONSTANT)
GRANIAN = Server("granian", _granian, Answers.CONSTANT)

SERVERS = {
    server.name: server
    for server in (NGINX, PLAIN, ONNXPORT, LOGGING, TWO_WORKERS, TUTORIAL, UVICORN, GRANIAN)
}

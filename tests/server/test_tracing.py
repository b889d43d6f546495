"""Traces: read by a collector that speaks the real protocol, decoded with OpenTelemetry's own definitions."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from onnxport.predictor import load
from onnxport.server import tracing
from onnxport.server.app import create_app
from onnxport.server.board import Board
from onnxport.server.lines import JsonLines
from onnxport.server.logs import Answered, Log
from onnxport.server.observed import Observed
from onnxport.server.observer import open_observer
from onnxport.server.sink import Sink
from onnxport.server.tracing import Tracer
from onnxport.settings import Settings
from tests.server import models

ModelFile = Callable[[models.Made], Path]
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
GOOD = Answered("id-1", "POST", "/predict", 200, 0.004, "127.0.0.1:50000", "")


class Collector(ThreadingHTTPServer):
    """Takes traces as a real collector does: OTLP over HTTP, in protobuf."""

    daemon_threads = True

    def __init__(self, *, patience: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.requests: list[ExportTraceServiceRequest] = []
        self.patience = patience
        self.url = f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[Span]:
        scopes = [s for r in self.requests for each in r.resource_spans for s in each.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    @property
    def resource(self) -> dict[str, Any]:
        return facts(self.requests[0].resource_spans[0].resource.attributes)


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        time.sleep(self.server.patience)
        assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        self.server.requests.append(ExportTraceServiceRequest.FromString(content))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


def serve(collector: Collector) -> None:
    threading.Thread(target=collector.serve_forever, args=(0.02,), daemon=True).start()


def facts(attributes: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, str(pair.value.WhichOneof("value")))

    return {pair.key: value(pair) for pair in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    with Collector() as server:
        serve(server)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server
        server.shutdown()


def started() -> Tracer:
    tracer = tracing.start(model="iris", version="7", scheme="http")
    assert tracer is not None
    return tracer


def one_span(collector: Collector, request: Answered = GOOD, **more: Any) -> Span:
    tracer = started()
    tracer.request(
        request, time.perf_counter(), **{"template": "/predict", "headers": SAMPLED, **more}
    )
    tracer.close()
    [span] = collector.spans
    return span


def test_a_span_tells_of_its_request_by_the_conventions(collector: Collector) -> None:
    headers = {**SAMPLED, "host": "api.example.com:8443", "user-agent": "curl/8"}
    began = time.time_ns()
    span = one_span(collector, headers=headers)
    assert (span.name, span.kind) == ("POST /predict", Span.SPAN_KIND_SERVER)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(4e6, rel=1e-3)
    assert began - 1e6 < span.end_time_unix_nano < time.time_ns() + 1e6
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert facts(span.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/predict",
        "url.scheme": "http",
        "url.path": "/predict",
        "server.address": "api.example.com",
        "server.port": 8443,
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "onnxport.request_id": "id-1",
    }
    assert collector.resource["service.name"] == "iris"
    assert collector.resource["service.version"] == "7"
    assert collector.resource["service.instance.id"]


def test_a_failure_is_an_error_and_a_refusal_is_not(collector: Collector) -> None:
    tracer = started()
    for status in (503, 422):
        request = GOOD._replace(status=status)
        tracer.request(request, time.perf_counter(), template="/predict", headers={})
    tracer.close()
    failed, refused = collector.spans
    assert (failed.status.code, refused.status.code) == (
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    )
    assert facts(failed.attributes)["error.type"] == "503"
    assert "error.type" not in facts(refused.attributes)
    assert failed.trace_id != refused.trace_id
    assert failed.parent_span_id == b""


def test_what_a_caller_makes_up_is_no_name_of_a_span(collector: Collector) -> None:
    odd = GOOD._replace(method="BREW" * 1000, path="/" + "x" * 9000, client="[::1]:5")
    headers = {"traceparent": "00-nonsense", "host": "a b\n[", "user-agent": "\u2028" * 5000}
    span = one_span(collector, odd, template=None, headers=headers)
    told = facts(span.attributes)
    assert span.name == "HTTP"
    assert span.parent_span_id == b""
    assert (told["http.request.method"], told["client.address"]) == ("_OTHER", "::1")
    assert {"http.route", "server.address", "server.port"}.isdisjoint(told)
    assert max(len(value) for value in told.values() if isinstance(value, str)) < 300


def test_phases_are_spans_below(collector: Collector) -> None:
    tracer, now = started(), time.perf_counter()
    phases = [("queue", now - 0.004, now - 0.003), ("inference", now - 0.003, now)]
    tracer.request(GOOD, now, template="/predict", headers={}, phases=phases)
    tracer.close()
    by_name = {span.name: span for span in collector.spans}
    request = by_name["POST /predict"]
    assert by_name.keys() == {"POST /predict", "queue", "inference"}
    for name in ("queue", "inference"):
        assert by_name[name].parent_span_id == request.span_id
        assert by_name[name].start_time_unix_nano >= request.start_time_unix_nano - 1000
        assert by_name[name].end_time_unix_nano <= request.end_time_unix_nano + 1000


def test_the_caller_decides_whether_a_request_is_sampled(collector: Collector) -> None:
    tracer = started()
    for flag in ("00", "01"):
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"}
        tracer.request(GOOD, time.perf_counter(), template="/predict", headers=headers)
    tracer.close()
    assert len(collector.spans) == 1


def test_the_environment_names_the_service_and_the_sampler(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=8,team=a")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "flowers")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    tracer = started()
    for _ in range(400):
        tracer.request(GOOD, time.perf_counter(), template="/predict", headers={})
    tracer.close()
    assert 50 < len(collector.spans) < 150
    told = collector.resource
    assert (told["service.name"], told["service.version"], told["team"]) == ("flowers", "8", "a")


def test_the_middleware_traces_what_the_application_answers(
    collector: Collector, model_file: ModelFile
) -> None:
    async def ask() -> None:
        model, settings = load(model_file(models.iris())), Settings()
        log = Log(Sink(None), JsonLines())
        observer = open_observer(model, settings, log=log, board=Board(1), worker=0)
        transport = httpx.ASGITransport(app=Observed(create_app(model), observer))
        async with httpx.AsyncClient(transport=transport, base_url="http://server:81") as client:
            await client.post("/predict", json=ROW, headers={**SAMPLED, "X-Request-ID": "mine"})
            await client.get("/docs/assets/favicon.png?key=secret")
            await client.get("/nowhere")
        observer.close()

    asyncio.run(ask())
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"POST /predict", "GET /docs/assets/{name}", "GET"}
    predict = facts(spans["POST /predict"].attributes)
    assert spans["POST /predict"].parent_span_id.hex() == PARENT
    assert predict["onnxport.request_id"] == "mine"
    assert (predict["server.address"], predict["server.port"]) == ("server", 81)
    assert "secret" not in str(collector.requests)


# ----------------------------------------------------------------------- collectors that fail


@pytest.mark.parametrize("patience", [None, 30.0])
def test_a_collector_that_fails_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, patience: float | None
) -> None:
    """None: nobody listens at its address."""
    with Collector(patience=patience or 0.0) as server:
        server.server_close() if patience is None else serve(server)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        tracer, longest = started(), 0.0
        for _ in range(3000):
            began = time.perf_counter()
            tracer.request(GOOD, began, template="/predict", headers={})
            longest = max(longest, time.perf_counter() - began)
        assert longest < 5.0  # an export that somebody waited for would take longer
        began = time.monotonic()
        tracer.close(0.5)
        assert time.monotonic() - began < 1.5
        if patience is not None:
            server.shutdown()


# -------------------------------------------------------------------------- when there is none

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environment", "warning"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "x"}, ""),
        ({OTLP: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, ""),
        ({OTLP: "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "only otlp is known"),
        ({OTLP: "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "only http/protobuf"),
    ],
)
def test_without_being_asked_for_there_are_no_traces(
    environment: Mapping[str, str], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracer = tracing.start(model="m", version="1", scheme="http", environment=environment)
    assert tracer is None
    assert warning in caplog.text
    assert bool(warning) == bool(caplog.records)


def test_nothing_of_it_is_imported_then(model_file: ModelFile) -> None:
    """Nor where it isn't installed, which is told in one line that says what to do."""
    code = """
import json, logging, sys
from onnxport.server import tracing
from onnxport.server.app import create_app
logging.basicConfig(stream=sys.stdout, format="%(message)s")
PARTS = ("opentelemetry.sdk", "opentelemetry.exporter", "requests")  # FastAPI brings the API alone
create_app(sys.argv[1])
tracing.start(model="m", version="1", scheme="http")
print(json.dumps([name for name in sys.modules if name.startswith(PARTS)]))
class Hide:
    def find_spec(self, name, *_):
        if name.startswith(PARTS):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Hide())
asked = {"OTEL_TRACES_EXPORTER": "otlp"}
assert tracing.start(model="m", version="1", scheme="http", environment=asked) is None
"""
    command = [sys.executable, "-c", code, str(model_file(models.iris()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    imported, told = done.stdout.splitlines()
    assert json.loads(imported) == []
    assert "install onnxport[otel]" in told

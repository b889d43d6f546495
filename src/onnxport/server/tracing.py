"""OpenTelemetry traces: a span for each request, made when it has been answered, where the environment asks for them.

Nothing of OpenTelemetry is imported unless its standard variables say where traces go
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables). Spans and attributes follow its
semantic conventions for HTTP servers (https://opentelemetry.io/docs/specs/semconv/http/http-spans).
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from threading import Thread
from typing import Any

from onnxport.server.lines import cut
from onnxport.server.logs import Answered

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that the last spans get at the end
HEADERS = ("traceparent", "tracestate", "host", "user-agent")  # those that count
MAX_VALUE = 256  # characters of an attribute

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[\w.-]{1,253})(?::(\d{1,5}))?", re.ASCII)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS"})
_METHODS |= {"PATCH", "POST", "PUT", "QUERY", "TRACE"}

Phase = tuple[str, float, float]  # name, beginning and end by `time.perf_counter()`


def start(
    *, model: str, version: str, scheme: str, environment: Mapping[str, str] = os.environ
) -> Tracer | None:
    """What makes spans, if traces are asked for and can be had. In each worker, after the fork.

    model, version: what the service is called, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise.
    scheme: http or https.
    """
    if not _is_asked_for(environment):
        return None
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # it warns at each of its own tries
    try:
        return Tracer(_provider(model, version), scheme)
    except ImportError as err:
        log.warning(
            "OTEL_* variables ask for traces: install onnxport[otel] to have them (%s)", err
        )
        return None


def _is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables say that traces go to an OTLP endpoint."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", "none", "otlp"):
        log.warning("OTEL_TRACES_EXPORTER is %r; only otlp is known here: no traces", exporter)
        return False
    if exporter == "none" or not (exporter or any(environment.get(name) for name in _ENDPOINTS)):
        return False
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "")
    if protocol not in ("", "http/protobuf"):
        log.warning("OTLP's protocol is %r; only http/protobuf is known here: no traces", protocol)
        return False
    return True


def _provider(model: str, version: str) -> Any:
    from uuid import uuid4

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = {"service.name": model, "service.version": version, "service.instance.id": uuid4().hex}
    resource = Resource.create(ours).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracer:
    """Makes spans of what is already over, and hands them to a thread that sends them.

    A collector that is slow or can't be reached holds up that thread alone; what becomes too much for it is dropped.
    """

    def __init__(self, provider: Any, scheme: str) -> None:
        from importlib.metadata import version

        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._otel, self._scheme = provider, trace, scheme
        self._spans = provider.get_tracer("onnxport", version("onnxport"))
        self._propagator = TraceContextTextMapPropagator()

    def request(
        self,
        request: Answered,
        now: float,
        *,
        template: str | None,
        headers: Mapping[str, str],
        phases: Iterable[Phase] = (),
    ) -> None:
        """A span of one request that was answered at `now` (`time.perf_counter()`), below the caller's own.

        template: the path of its route, or None where it has none. headers: by names in lower case; traceparent,
        tracestate, host and user-agent count. phases: what becomes spans below this one.
        """
        known = request.method in _METHODS
        name = request.method if known else "HTTP"
        clock = time.time_ns() - round(time.perf_counter() * 1e9)
        span = self._spans.start_span(
            f"{name} {template}" if template else name,
            context=self._propagator.extract(headers),
            kind=self._otel.SpanKind.SERVER,
            attributes=_attributes(request, template, headers, self._scheme, known=known),
            start_time=clock + round((now - request.seconds) * 1e9),
        )
        if request.status >= 500:
            span.set_status(self._otel.StatusCode.ERROR)
        if span.is_recording():
            below = self._otel.set_span_in_context(span)
            for phase, began, ended in phases:
                part = self._spans.start_span(phase, below, start_time=clock + round(began * 1e9))
                part.end(clock + round(ended * 1e9))
        span.end(clock + round(now * 1e9))

    def close(self, seconds: float = PATIENCE) -> None:
        """Sends what is left, as far as it goes in this time. Nothing is recorded afterwards."""
        last = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(seconds)


def _attributes(
    request: Answered, template: str | None, headers: Mapping[str, str], scheme: str, *, known: bool
) -> dict[str, str | int]:
    host = _HOST.fullmatch(headers.get("host", ""))
    told: dict[str, str | int | None] = {
        "http.request.method": request.method if known else "_OTHER",
        "http.request.method_original": None if known else cut(request.method, MAX_VALUE),
        "http.response.status_code": request.status,
        "http.route": template,
        "error.type": str(request.status) if request.status >= 500 else None,
        "url.scheme": scheme,
        "url.path": cut(request.path, MAX_VALUE),
        "server.address": host[1].strip("[]") if host else None,
        "server.port": int(host[2]) if host and host[2] else None,
        "client.address": request.client.rpartition(":")[0].strip("[]"),
        "user_agent.original": cut(headers.get("user-agent", ""), MAX_VALUE),
        "onnxport.request_id": request.request_id,
    }
    return {name: value for name, value in told.items() if value}

"""All that keeps watch in one worker, under one roof: metrics, incidents, the access log, traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxport.predictor import Model
from onnxport.server import tracing
from onnxport.server.board import Board
from onnxport.server.heads import NO_HEADERS
from onnxport.server.incidents import Incidents
from onnxport.server.logs import AccessLog, Answered, Log
from onnxport.server.metrics import Metrics
from onnxport.server.problems import Rendered
from onnxport.server.rounds import Asked
from onnxport.server.tracing import Tracer
from onnxport.session import describe_runtime
from onnxport.settings import Settings


@dataclass(frozen=True, slots=True)
class Observer:
    """Is told of every request once it has been answered. access_log and tracer are there where they are asked for.

    Times are those of `time.perf_counter()`. Called on the event loop.
    """

    metrics: Metrics
    incidents: Incidents
    log: Log | None = None
    access_log: AccessLog | None = None
    tracer: Tracer | None = None

    def answered(self, asked: Sequence[Asked], now: float) -> None:
        """Takes note of the good answers of one round of the fast path, in the order in which their requests came."""
        self.metrics.answered("predict", 200, [one[4] for one in asked], now)
        is_slow = self.incidents.is_slow(now - asked[0][4])
        if is_slow or self.access_log is not None or self.tracer is not None:
            told = [(_request(one, 200, now), one[3].traced) for one in asked]
            self._tell(told, now, "/predict")

    def refused(self, asked: Asked, told: Rendered, now: float) -> None:
        """Takes note of one request that the fast path has answered with an error."""
        request = _request(asked, told.status, now)
        self.note("predict", request, now, told.code, template="/predict", headers=asked[3].traced)

    def note(
        self,
        route: str,
        request: Answered,
        now: float,
        reason: str = "",
        *,
        template: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """Takes note of one request that was answered at `now`.

        reason: the code of the error that was the answer, if it was one. template, headers: for the trace.
        """
        self.metrics.answered(route, request.status, (now - request.seconds,), now)
        if reason:
            self.metrics.rejected(reason)
            if request.status != 500:  # whoever answered that has logged the error itself
                self.incidents.refused(reason, request)
        self._tell([(request, headers)], now, template)

    def close(self) -> None:
        """At the worker's end: what was held back is told, what was recorded is sent; for a bounded time."""
        self.incidents.close()
        if self.tracer is not None:
            self.tracer.close()
        if self.log is not None:
            self.log.sink.flush()

    def _tell(
        self,
        told: Sequence[tuple[Answered, Mapping[str, str]]],
        now: float,
        template: str | None,
    ) -> None:
        """Requests, and of each the headers that its trace needs."""
        for request, _ in told:
            self.incidents.answered(request)
        if self.access_log is not None:
            self.access_log.write([request for request, _ in told])
        if self.tracer is not None:
            for request, headers in told:
                self.tracer.request(request, now, template=template, headers=headers)


def open_observer(
    model: Model, settings: Settings, *, log: Log | None, board: Board, worker: int
) -> Observer:
    """What watches one worker; in its process, after the fork. worker: its place on the board, from 0."""
    manifest = model.manifest
    metrics = Metrics(
        board,
        worker,
        model=manifest.name,
        version=manifest.version,
        digest=model.file.digest,
        runtime=describe_runtime()["onnxruntime"],
    )
    if log is not None:
        log.sink.report_to(metrics.log_dropped)
    return Observer(
        metrics,
        Incidents(slow=settings.slow_request / 1000),
        log,
        AccessLog(log) if settings.access_log and log is not None else None,
        tracing.start(
            model=manifest.name,
            version=manifest.version,
            scheme="https" if settings.tls_cert else "http",
        ),
    )


def address(client: tuple[str, int] | None) -> str:
    """A caller's address and port as one word."""
    if client is None:
        return ""
    host, port = client
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _request(asked: Asked, status: int, now: float) -> Answered:
    connection, _, known_as, head, arrived = asked
    client = address(getattr(connection, "client", None))
    return Answered(
        known_as.decode("ascii"),
        "POST",
        "/predict",
        status,
        now - arrived,
        client,
        head.key_id or "",
    )

"""ASGI middleware, the outermost: counts, measures, logs and traces each request that the application answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onnxport.server.access import KEY_ID
from onnxport.server.board import OTHER
from onnxport.server.heads import NO_HEADERS
from onnxport.server.logs import Answered
from onnxport.server.observer import Observer, address
from onnxport.server.problems import REFUSED
from onnxport.server.protocol import TAKEN
from onnxport.server.request_ids import request_id, respond
from onnxport.server.routes import route_of
from onnxport.server.tracing import HEADERS

log = logging.getLogger(__name__)

# What others leave in a scope.
GONE = "onnxport.gone"  # true where the connection is lost, and nobody got the answer

# Where nobody has left why.
_REASONS = {
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    500: "internal",
    503: "overloaded",
}


class _Exchange:
    """One request and its answer, as they pass by."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.arrived = time.perf_counter()  # its last byte, as far as anybody has asked for it
        self.status = 0
        self.is_answered = self.is_gone = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = not self.is_answered
        elif not message.get("more_body", False):
            self.arrived = time.perf_counter()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
        self.is_answered = message["type"] == "http.response.body" and not message.get("more_body")


class Observed:
    """Around everything else, the framework's own errors included: what raises is answered here, and logged."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app, self._observer = app, observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known_as, exchange = request_id(scope), _Exchange(receive, send)
        self._observer.metrics.in_flight(1)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as err:
            await _fail(err, known_as, scope, exchange)
        finally:
            self._observer.metrics.in_flight(-1)
            self._note(scope, known_as, exchange)

    def _note(self, scope: Scope, known_as: str, exchange: _Exchange) -> None:
        if scope.get(TAKEN):
            return
        if exchange.is_gone or scope.get(GONE) or not exchange.is_answered:
            self._observer.metrics.lost()
            return
        now, status = time.perf_counter(), exchange.status
        request = Answered(
            known_as,
            scope["method"],
            scope["path"],
            status,
            now - exchange.arrived,
            address(scope.get("client")),
            scope.get(KEY_ID) or "",
        )
        self._observer.note(
            route_of(get_route_path(scope)),
            request,
            now,
            scope.get(REFUSED) or _REASONS.get(status, OTHER) if status >= 400 else "",
            template=getattr(scope.get("route"), "path", None),
            headers=_headers(scope) if self._observer.tracer else NO_HEADERS,
        )


async def _fail(err: Exception, known_as: str, scope: Scope, exchange: _Exchange) -> None:
    if exchange.status == 0:
        await respond(err, scope)(scope, exchange.receive, exchange.send)
    elif exchange.status != 500:  # whoever answered that has logged the error
        told = {"request_id": known_as}
        log.error("request %s failed in its answer", known_as, exc_info=err, extra=told)
    if not exchange.is_answered:
        raise err  # so that the connection is closed


def _headers(scope: Scope) -> Mapping[str, str]:
    sent = Headers(scope=scope)
    return {name: sent[name] for name in HEADERS if name in sent}

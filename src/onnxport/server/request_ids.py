"""Request ids: the caller's own where it is harmless, a new one otherwise, put on every answer."""

from __future__ import annotations

import os
import re
from asyncio import CancelledError
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

from onnxport.server import problems
from onnxport.server.readiness import Readiness

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
_HARMLESS = re.compile(r"[0-9A-Za-z-]{1,64}")
_NAME = HEADER.lower().encode("ascii")
_KEY = "onnxport.request_id"
_OWN = uuid4().hex[:16]
_COUNT = count()


def request_id(scope: Scope) -> str:
    """The id of this request, decided once."""
    known = scope.get(_KEY)
    if isinstance(known, str):
        return known
    decided = decide(sent_id(scope["headers"]))
    scope[_KEY] = decided
    return decided


def respond(err: Exception, scope: Scope) -> Response:
    """The response to an error of this request."""
    return problems.respond(err, request_id(scope), scope)


def sent_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What the caller has sent as its id, the first of several. headers: their names in lower case."""
    return (
        next((value for name, value in headers if name == _NAME), b"")
        .decode("latin-1")
        .strip(" \t")
    )


def decide(sent: str) -> str:
    """The caller's id where it is harmless, else a new one."""
    return sent if _HARMLESS.fullmatch(sent) else new_id()


def new_id() -> str:
    """32 hexadecimal digits that no other request has: half of them are the process's own, half count up."""
    return f"{_OWN}{next(_COUNT):016x}"


def _renew() -> None:
    global _OWN
    _OWN = uuid4().hex[:16]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


class RequestIds:
    """ASGI middleware: puts the id on every answer, and while the server drains, asks to close the connection."""

    def __init__(self, app: ASGIApp, *, readiness: Readiness) -> None:
        self._app, self._readiness = app, readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        decided = request_id(scope)

        async def send_identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].lower() != _NAME]
                headers.append((_NAME, decided.encode("ascii")))
                if self._readiness.draining:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_identified)
        except CancelledError:
            if not self._readiness.draining:
                raise
            cut_off = respond(problems.Draining(), scope)
            await cut_off(scope, receive, send_identified)

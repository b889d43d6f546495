"""Request ids: the caller's own where it is harmless, a new one otherwise, put on every answer."""

from __future__ import annotations

import os
import re
from asyncio import CancelledError
from itertools import count
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onnxport.server import problems
from onnxport.server.readiness import Readiness

HEADER = "X-Request-ID"
_HARMLESS = re.compile(r"[0-9A-Za-z-]{1,64}")
_KEY = "onnxport.request_id"
_OWN = uuid4().hex[:16]
_COUNT = count()


def request_id(scope: Scope) -> str:
    """The id of this request, decided once."""
    known = scope.get(_KEY)
    if isinstance(known, str):
        return known
    decided = decide(Headers(scope=scope).get(HEADER, ""))
    scope[_KEY] = decided
    return decided


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
                headers = MutableHeaders(scope=message)
                headers[HEADER] = decided
                if self._readiness.draining:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, send_identified)
        except CancelledError:
            if not self._readiness.draining:
                raise
            cut_off = problems.answer(problems.Draining(), decided)
            await cut_off(scope, receive, send_identified)

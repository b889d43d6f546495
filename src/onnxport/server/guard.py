"""ASGI middleware that keeps out whom `access` refuses."""

from __future__ import annotations

import time

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from onnxport.server.access import KEY_ID, REFRESH, Access
from onnxport.server.request_ids import respond
from onnxport.server.routes import route_of


class Guard:
    """ASGI middleware: refuses what Access refuses, and notes the key's id in the scope for the logs.

    It judges the path that the router compares, never a URL put together from the Host header.
    """

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app, self._access = app, access
        self._refreshed = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        self._refresh()
        verdict = self._access.judge(route_of(get_route_path(scope)), scope["headers"])
        scope[KEY_ID] = verdict.key_id
        if verdict.refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await respond(verdict.refusal, scope)(scope, receive, send)

    def _refresh(self) -> None:
        """Under another server than ours nobody else does it."""
        now = time.monotonic()
        if now - self._refreshed >= REFRESH:
            self._refreshed = now
            self._access.refresh()

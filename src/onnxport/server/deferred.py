"""The application, built only after the server has begun to answer: FastAPI takes longer to import than all else."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnxport.server.service import Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)


class Deferred:
    """An ASGI application that a thread builds in the first second; requests for it wait until it is there.

    on_failure: called on the event loop where it can't be built, which is a fault of ours: every request then answers
    with the error.
    """

    def __init__(self, service: Service, on_failure: Callable[[], None]) -> None:
        self._service, self._on_failure = service, on_failure
        self._app: ASGIApp | None = None
        self._building: asyncio.Task[ASGIApp] | None = None

    def begin(self) -> None:
        """Begins to build, unless that was done. On the event loop."""
        if self._building is None:
            self._building = asyncio.create_task(asyncio.to_thread(self._build))
            self._building.add_done_callback(self._finish)

    def _build(self) -> ASGIApp:
        from onnxport.server.app import assemble

        return assemble(self._service)

    def _finish(self, built: asyncio.Task[ASGIApp]) -> None:
        if built.cancelled():
            return
        if built.exception() is None:
            self._app = built.result()
            gc.freeze()  # what has been imported stays: no collection needs to look at it again
        else:
            log.error("the application can't be built", exc_info=built.exception())
            self._on_failure()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self.begin()
            assert self._building is not None
            await asyncio.shield(self._building)
            self._app = self._building.result()
        await self._app(scope, receive, send)

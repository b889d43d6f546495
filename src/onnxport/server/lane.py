"""What the fast path of one process consists of, and what must be done about it every second."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from onnxport.server.cors import always
from onnxport.server.fast import FastProtocol
from onnxport.server.heads import Heads
from onnxport.server.protocol import Limits
from onnxport.server.rounds import Rounds
from onnxport.server.scheduler import SMALL_BODY
from onnxport.server.service import Service
from onnxport.server.tracing import HEADERS


class Lane:
    """The fast path of one process. `protocol` is the class of its connections."""

    def __init__(self, service: Service) -> None:
        self._access, self._scheduler = service.access, service.scheduler
        self._metrics = service.observer.metrics
        settings = service.settings
        limits = Limits(connections=settings.max_connections)
        self._heads = Heads(
            service.access,
            service.readiness,
            max_body=min(settings.max_body, SMALL_BODY),
            max_headers=limits.headers,
            is_cors=bool(settings.cors_origins),
            traced=[name.encode() for name in HEADERS] if service.observer.tracer else (),
        )
        of_process = {
            "heads": self._heads,
            "rounds": Rounds(
                service.scheduler, service.observer, always=always(settings.cors_origins)
            ),
            "observer": service.observer,
            "limits": limits,
        }
        self.protocol: type[FastProtocol] = type("ProcessProtocol", (FastProtocol,), of_process)
        self._generation = service.access.generation

    def every_second(self, connections: Collection[Any]) -> None:
        """Takes up changed keys, gives up what is late, and closes what is idle. connections: of this process."""
        self._access.refresh()
        if self._access.generation != self._generation:
            self._generation = self._access.generation
            self.forget(connections)
        self._scheduler.give_up_late()
        self._metrics.connections(len(connections))
        now = time.perf_counter()
        for connection in list(connections):
            connection.sweep(now)

    def drain(self, connections: Collection[Any]) -> None:
        """Nothing is hot from now on. Readiness must have been withdrawn before."""
        self._heads.forget()
        for connection in list(connections):
            connection.drain()

    def forget(self, connections: Collection[Any]) -> None:
        """Drops all judgements: the next request of each connection is judged anew."""
        self._heads.forget()
        for connection in list(connections):
            connection.forget()

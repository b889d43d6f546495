"""Readiness: whether a load balancer should send traffic here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Readiness:
    """A model that could be loaded is ready until the server drains."""

    draining: bool = False

    def drain(self) -> None:
        self.draining = True

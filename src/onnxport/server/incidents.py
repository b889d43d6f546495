"""Refused and slow requests in the log: the first at once, and what follows within a second as one line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from onnxport.server.logs import Answered

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds
_SLOW = "slow"  # no code of an error
_WARNED = frozenset({401, 403, 408, 500, 503})  # the others are their callers' business

Tell = Callable[[int, Answered], None]


@dataclass
class _Held:
    """What is not told yet of one kind: how many requests, and the one that stands for them."""

    tell: Tell
    count: int = 0
    example: Answered | None = None


class Incidents:
    """Tells of requests that the operator should know of, at most once a second for each kind, so that a flood of bad
    requests can't fill the disk.

    Called on the event loop.
    """

    def __init__(self, *, slow: float, pause: float = PAUSE) -> None:
        """slow: seconds from which a request is one. pause: seconds between two lines of one kind."""
        self._slow, self._pause = slow, pause
        self._held: dict[str, _Held] = {}

    def refused(self, reason: str, request: Answered, count: int = 1) -> None:
        """Tells of requests that were refused for one reason; of many, the last one stands for all."""
        held = self._held.get(reason)
        if held is not None:
            held.count, held.example = held.count + count, request
        else:
            self._tell(reason, partial(_tell_refusal, reason), count, request)

    def is_slow(self, seconds: float) -> bool:
        """Whether a request that took so long would be told of."""
        return seconds >= self._slow

    def answered(self, request: Answered) -> None:
        """Tells of a request if it was slow; of several, the slowest stands for all."""
        if not self.is_slow(request.seconds):
            return
        held = self._held.get(_SLOW)
        if held is None:
            self._tell(_SLOW, _tell_slow, 1, request)
            return
        held.count += 1
        if held.example is None or request.seconds > held.example.seconds:
            held.example = request

    def close(self) -> None:
        """Tells what is still held back."""
        held, self._held = self._held, {}
        for each in held.values():
            if each.example is not None:
                each.tell(each.count, each.example)

    def _tell(self, kind: str, tell: Tell, count: int, example: Answered) -> None:
        """Tells at once, and holds back for a while what follows."""
        tell(count, example)
        self._held[kind] = _Held(tell)
        asyncio.get_running_loop().call_later(self._pause, self._release, kind)

    def _release(self, kind: str) -> None:
        held = self._held.pop(kind, None)
        if held is not None and held.example is not None:
            self._tell(kind, held.tell, held.count, held.example)


def _tell_refusal(reason: str, count: int, example: Answered) -> None:
    level = logging.WARNING if example.status in _WARNED else logging.INFO
    many = {"count": count} if count > 1 else {}
    message = f"refused {count} requests" if many else "refused"
    log.log(level, "%s: %s", message, reason, extra={"reason": reason, **many, **example.facts()})


def _tell_slow(count: int, example: Answered) -> None:
    many = {"count": count} if count > 1 else {}
    message = f"{count} slow requests, the slowest:" if many else "slow request"
    log.warning(message, extra={**many, **example.facts()})

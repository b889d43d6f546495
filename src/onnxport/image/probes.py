"""Calls to a container as a load balancer makes them: plain, short, and without following anything."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from onnxport.image.complaints import Ended
from onnxport.image.running import Container

READY = "/health/ready"
_TIMEOUT = 5.0
_PAUSE = 0.03
_LOOK_EVERY = 20  # calls


@dataclass(frozen=True, slots=True)
class Readiness:
    """When a container was ready. seconds: since its start. before: the statuses that it answered until then."""

    seconds: float
    before: frozenset[int]


def await_readiness(container: Container, health: list[str], patience: float) -> Readiness:
    """Asks until the answer is 200. health: a command that is fine when the server inside is ready, or nothing.

    Raises Ended where the container has ended, takes too long, or can't be reached though its server is ready.
    """
    start, before, calls = time.monotonic(), set[int](), 0
    while time.monotonic() - start < patience:
        status = status_of(container.address, READY)
        if status == 200:
            return Readiness(_age(container), frozenset(before))
        if status is not None:
            before.add(status)
        elif calls % _LOOK_EVERY == _LOOK_EVERY - 1:
            _look_inside(container, health)
        calls += 1
        time.sleep(_PAUSE)
    told = f"it answers {max(before)}" if before else "nothing answers on its port"
    raise Ended(f"the container isn't ready after {patience:.0f} s: {told}")


def _look_inside(container: Container, health: list[str]) -> None:
    container.check_running()
    if not health or status_of(container.address, READY) is not None:
        return
    if container.runs(health) and status_of(container.address, READY) is None:
        raise Ended(
            "the server inside is ready, and can't be reached: it listens on another port than it should, or on "
            "127.0.0.1 alone"
        )


def status_of(address: str, path: str) -> int | None:
    """The status of a GET, or None where nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Idler:
    """A connection that a proxy keeps to use it again."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
        self._connection.connect()
        self._since = time.monotonic()

    def is_kept_for(self, seconds: float) -> bool:
        """Whether it still answers after having been idle for that long since the last call."""
        time.sleep(max(0.0, self._since + seconds - time.monotonic()))
        return self.ask()

    def ask(self) -> bool:
        """Whether a call is answered on the same connection."""
        socket = self._connection.sock
        try:
            self._connection.request("GET", READY)
            self._connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        self._since = time.monotonic()
        return socket is not None and self._connection.sock is socket

    def close(self) -> None:
        self._connection.close()


@contextmanager
def idler(address: str) -> Iterator[Idler]:
    one = Idler(address)
    try:
        yield one
    finally:
        one.close()


def _age(container: Container) -> float:
    """Seconds since the engine started it, by this machine's clock."""
    started = datetime.fromisoformat(str(container.state["StartedAt"]))
    return max(0.0, (datetime.now(UTC) - started).total_seconds())

"""Waits for sockets, and for moments to within a tenth of a millisecond.

epoll counts in milliseconds, too coarse for a schedule: it rounds half of a short latency up. An epoll descriptor can
itself be waited for by `select`, which counts in microseconds. kqueue (macOS) and select (Windows) are fine as is.
"""

from __future__ import annotations

import select
import selectors
import sys
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

COARSE = 0.002  # seconds: what epoll may be late by, and as much again


class Poller(Protocol, Generic[T]):
    """Sockets, each with whom to tell."""

    def watch(self, descriptor: int, owner: T, *, writing: bool = False) -> None:
        """From now on, for input; writing: for room to write as well. Again: changes that."""

    def forget(self, descriptor: int) -> None:
        """No longer, if it was; before the socket is closed."""

    def wait(self, seconds: float) -> list[T]:
        """The owners of sockets that are ready, after so many seconds at most; 0 doesn't wait."""


class _Epoll(Generic[T]):
    def __init__(self) -> None:
        self._epoll = select.epoll()  # made before any connection, so that select takes its number
        self._owners: dict[int, T] = {}

    def watch(self, descriptor: int, owner: T, *, writing: bool = False) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if writing else 0)
        change = self._epoll.modify if descriptor in self._owners else self._epoll.register
        change(descriptor, events)
        self._owners[descriptor] = owner

    def forget(self, descriptor: int) -> None:
        if self._owners.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wait(self, seconds: float) -> list[T]:
        if seconds > COARSE:
            ready = self._epoll.poll(seconds - COARSE)
        else:
            if seconds > 0:
                select.select([self._epoll], (), (), seconds)
            ready = self._epoll.poll(0)
        owners = self._owners
        return [owners[descriptor] for descriptor, _ in ready if descriptor in owners]


class _Selector(Generic[T]):
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._known: set[int] = set()

    def watch(self, descriptor: int, owner: T, *, writing: bool = False) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        change = self._selector.modify if descriptor in self._known else self._selector.register
        change(descriptor, events, owner)
        self._known.add(descriptor)

    def forget(self, descriptor: int) -> None:
        if descriptor in self._known:
            self._known.remove(descriptor)
            self._selector.unregister(descriptor)

    def wait(self, seconds: float) -> list[T]:
        return [key.data for key, _ in self._selector.select(max(seconds, 0))]


def new_poller() -> Poller[T]:
    """The best that this system has."""
    return _Epoll() if sys.platform == "linux" else _Selector()

"""How long a registry is waited for, and which failures are tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from onnxport.errors import BuildError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """tries: of one step. pause: seconds before the second try, doubled before each further one. timeout: seconds of
    silence. longest: seconds that a registry may ask us to wait. rate: bytes a second that a transfer keeps up.
    """

    tries: int = 5
    pause: float = 0.5
    timeout: float = 60.0
    longest: float = 60.0
    rate: int = 1024


class PassingError(Exception):
    """A failure that may be gone the next time. what, remedy: for the user. wait: seconds that were asked for."""

    def __init__(self, what: str, remedy: str, wait: float = 0.0) -> None:
        self.what, self.remedy, self.wait = what, remedy, wait
        super().__init__(what)


class Pace:
    """The seconds that a transfer may take, by the bytes that have passed: a peer that drips is left in the end."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._start, self._passed = patience, time.monotonic(), 0

    def count(self, size: int) -> None:
        """Raises TimeoutError where the transfer is too slow."""
        self._passed += size
        allowed = self._patience.timeout + self._passed / self._patience.rate
        if time.monotonic() - self._start > allowed:
            raise TimeoutError("too slow")


def persist(
    patience: Patience, attempt: Callable[[], _T], waiting: Callable[[str, float], None]
) -> _T:
    """The attempt's result; after a passing failure it is made again, as often as patience has it.

    waiting: told why and for how many seconds. Raises BuildError for the last failure.
    """
    pause = patience.pause
    for tries_left in reversed(range(patience.tries)):
        try:
            return attempt()
        except PassingError as err:
            seconds = max(pause, err.wait)
            if not tries_left or seconds > patience.longest:
                raise BuildError(f"{err.what}; {err.remedy}") from err
            waiting(err.what, seconds)
        time.sleep(seconds)
        pause = min(2 * pause, patience.longest)
    raise AssertionError("patience allows one try at least")


def seconds_of(retry_after: str) -> float:
    """A Retry-After header's seconds, given as a number or as a date (RFC 9110, section 10.2.3); 0 for neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())

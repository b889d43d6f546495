"""One pool of connections to one server, with a deadline for each call. The only importer of httpx2.

What is sent again, and why that is safe: a prediction is a pure function of its rows, so a second request can't change
anything. Still only three failures are retried, lest a request that breaks a server break it twice: no connection came
about; the server says 503 with a Retry-After that fits in; or a kept-alive connection broke before the first byte of
the answer, as it does when the server closes it in the same moment (RFC 9110, 9.2.2; RFC 9112, 9.3.1).
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from onnxport.client.answers import Answer
from onnxport.errors import ConnectionFailed, shorten

MAX_RETRY_AFTER = 10.0
BUSY_TRIES = 3
CONNECT_TRIES = 3
CONNECT_PAUSE = 0.2

_NOT_TLS = ("WRONG_VERSION_NUMBER", "record layer failure")  # OpenSSL's words, 1.1 to 3
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Connection:
    """Sends requests below `base_url`. timeout: seconds that one call may take, retries included.

    Each process has a pool of its own: two that shared a socket after a fork would read each other's answers.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeout: float,
        verify: ssl.SSLContext | bool,
    ) -> None:
        if not 0 < timeout <= threading.TIMEOUT_MAX:  # never true of NaN
            raise ValueError("timeout must be a positive, finite number of seconds")
        url = _parse(base_url)
        self.base_url = str(url).rstrip("/")
        self._timeout = timeout
        self._headers, self._verify = dict(headers), verify
        self._trust_env = url.host not in _LOOPBACK  # a proxy can't reach this machine's address
        self._is_closed = False
        self._pools = {os.getpid(): self._new_pool()}

    def close(self) -> None:
        """Closes this process's connections; those that a fork left here are the parent's."""
        self._is_closed = True
        pool = self._pools.get(os.getpid())
        if pool is not None:
            pool.close()

    def call(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """The server's answer, whatever it says; asked again while it is busy and says for how long."""
        deadline = time.monotonic() + self._timeout
        for tries_left in reversed(range(BUSY_TRIES)):
            answer = self._send(method, path, body, deadline)
            pause = answer.retry_after
            if not tries_left or pause is None or pause > min(MAX_RETRY_AFTER, _left(deadline)):
                break
            time.sleep(pause)
        return answer

    def try_call(self, method: str, path: str) -> Answer:
        """The server's answer, whatever it says, without waiting for a better one."""
        return self._send(method, path, None, time.monotonic() + self._timeout)

    def _pool(self) -> httpx2.Client:
        if self._is_closed:
            raise ValueError("the client is closed; make a new one")
        pid = os.getpid()
        # a parent's pool stays referenced, lest its sockets be finalised here; setdefault is atomic among threads
        return self._pools.get(pid) or self._pools.setdefault(pid, self._new_pool())

    def _new_pool(self) -> httpx2.Client:
        return httpx2.Client(headers=self._headers, trust_env=self._trust_env, verify=self._verify)

    def _send(self, method: str, path: str, body: bytes | None, deadline: float) -> Answer:
        """New tries only where nothing can have been answered. Raises ConnectionFailed."""
        failures, was_broken_off = 0, False
        while True:
            opened: list[str] = []
            try:
                return self._exchange(method, path, body, deadline, opened)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as err:
                if any(words in str(err) for words in _NOT_TLS):
                    message = f"{self.base_url} doesn't speak TLS; try http:// instead of https://"
                    raise ConnectionFailed(message) from err
                failures += 1
                pause = CONNECT_PAUSE * failures
                if failures >= CONNECT_TRIES or _left(deadline) < pause:
                    raise self._failed("can't be reached", err) from err
                time.sleep(pause)
            except _BrokenOff as err:
                if opened or was_broken_off:
                    raise self._failed("gave no HTTP answer", err) from err
                was_broken_off = True
            except httpx2.TimeoutException as err:
                message = f"{self.base_url} gave no answer within {self._timeout:g} s; try a longer timeout"
                raise ConnectionFailed(message) from err
            except UnicodeError as err:
                what = "can't be reached: a part of its host's name is empty or too long"
                raise ConnectionFailed(f"{self.base_url} {what}; correct the URL") from err
            except httpx2.HTTPError as err:
                raise self._failed("broke off in the middle of its answer", err) from err

    def _exchange(
        self, method: str, path: str, body: bytes | None, deadline: float, opened: list[str]
    ) -> Answer:
        """One request and its whole answer. `opened` is filled where it took a new connection."""

        def trace(event: str, _: Any) -> None:
            if event == "connection.connect_tcp.started":
                opened.append(event)

        pool = self._pool()
        request = pool.build_request(
            method,
            self.base_url + path,
            content=body,
            headers={} if body is None else {"Content-Type": "application/json"},
            timeout=_left(deadline),
            extensions={"trace": trace},
        )
        try:
            response = pool.send(request, stream=True)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as err:
            raise _BrokenOff(str(err)) from err
        try:
            content = _read(response, deadline)
        finally:
            response.close()
        return Answer(self.base_url + path, response.status_code, response.headers, content)

    def _failed(self, what: str, err: Exception) -> ConnectionFailed:
        said = re.sub(r" \(_ssl\.c:\d+\)", "", str(err))
        why = f" ({shorten(said, 120)})" if said else ""
        return ConnectionFailed(f"{self.base_url} {what}{why}; is the server running there?")


class _BrokenOff(Exception):
    """The connection ended before the first byte of an answer."""


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as err:
        raise ValueError(f"{url!r} is no URL; give one such as http://127.0.0.1:8000") from err
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"{url!r} is no http URL; give one such as http://127.0.0.1:8000")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("the base URL holds a user, a query or a fragment; give keys as api_key")
    return parsed


def _left(deadline: float) -> float:
    """Seconds until the deadline, at least a moment: a timeout of 0 would mean none."""
    return max(deadline - time.monotonic(), 0.001)


def _read(response: httpx2.Response, deadline: float) -> bytes:
    """The whole body. A server that drips is left at the deadline: httpx2 bounds only the wait for each piece."""
    parts = []
    for part in response.iter_bytes():
        parts.append(part)
        if time.monotonic() > deadline:
            raise httpx2.ReadTimeout("the answer drips")
    return b"".join(parts)

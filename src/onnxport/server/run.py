"""Runs the application under uvicorn, from a bound socket to a clean end."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from onnxport.errors import SettingsError
from onnxport.server.access import open_access
from onnxport.server.app import ModelApp, create_app
from onnxport.server.cors import origins
from onnxport.server.protocol import GuardedProtocol
from onnxport.server.tls import tls_context
from onnxport.settings import Settings

log = logging.getLogger(__name__)

LINGER = 3.0  # seconds until load balancers have seen that the server drains

_BIND_ERRORS = {
    errno.EADDRINUSE: "is taken; choose another port, or 0 for a free one",
    errno.EACCES: "needs a privilege; choose a port from 1024 up",
    errno.EADDRNOTAVAIL: "is no address of this machine; choose one, such as 127.0.0.1",
}


def serve(
    model_path: str | Path, settings: Settings, on_ready: Callable[[str], None] | None = None
) -> int:
    """Serves a model file until SIGTERM or SIGINT, and answers 0 when all accepted requests have been answered.

    Logs "listening on http://HOST:PORT" to stderr as soon as requests are answered, and calls `on_ready` with that URL;
    logs "draining" at the signal, and "stopped" at the end.
    Raises SettingsError where the address can't be had, ModelFileError where the file can't be trusted.
    """
    configure_logging(settings.log_level)
    with bind(settings) as listener:
        app = create_app(model_path, settings=settings)
        Server(app, settings, listener, on_ready).run(sockets=[listener])
    log.info("stopped")
    return 0


def configure_logging(level: str) -> None:
    """One plain line a record on stderr: the message, after its level unless that is `info`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("onnxport").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel("INFO" if level == "debug" else "WARNING")


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


def bind(settings: Settings) -> socket.socket:
    """A socket at the settings' address, not listening yet.

    Raises SettingsError, also for keys, hosts, origins or TLS files that can't be used, and for an address that others
    reach where nothing asks for a key.
    """
    family, address = _resolve(settings)
    asks_for_keys = _check_guards(settings)
    if not (asks_for_keys or ip_address(address[0]).is_loopback):
        _refuse_unguarded(settings)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as err:
        bound.close()
        why = _BIND_ERRORS.get(err.errno or 0, "can't be listened on; choose another host or port")
        raise SettingsError(f"{settings.host}:{settings.port} {why}") from err
    return bound


def _check_guards(settings: Settings) -> bool:
    """Whether callers need a key. A file or name that can't be used is told of here, before anything listens."""
    tls_context(settings)
    origins(settings.cors_origins)
    return open_access(settings).asks_for_keys


def _refuse_unguarded(settings: Settings) -> None:
    if not settings.insecure:
        raise SettingsError(
            f"host {settings.host}: other machines reach this address, and the API asks for no key; "
            "make one with `onnxport key` and name its file with --api-key-file, keep 127.0.0.1, "
            "or allow it with --insecure where something in front decides who may call"
        )
    log.warning(
        "host %s: WHOEVER REACHES THIS ADDRESS MAY CALL THE API: --insecure is given, and no API key is set",
        settings.host,
    )


def _resolve(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise SettingsError(
            f"host {settings.host!r} is no address; give one of this machine's, such as 127.0.0.1"
        ) from err
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


class Server(uvicorn.Server):
    """uvicorn that ends with code 0 on the first signal, faster on the second, and tells readiness at once."""

    def __init__(
        self,
        app: ModelApp,
        settings: Settings,
        listener: socket.socket,
        on_ready: Callable[[str], None] | None = None,
    ) -> None:
        self._app, self._settings, self._listener = app, settings, listener
        self._on_ready = on_ready
        self._ends_at = float("inf")
        self._draining_told = False
        reached = not ip_address(listener.getsockname()[0]).is_loopback
        self._linger = min(LINGER, settings.shutdown_timeout / 3) if reached else 0.0
        tls = tls_context(settings)
        super().__init__(
            uvicorn.Config(
                app,
                http=GuardedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=settings.log_level == "debug",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive,
                ssl_context_factory=None if tls is None else (lambda *_: tls),
                timeout_graceful_shutdown=settings.shutdown_timeout,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self._listener.getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        log.info("listening on %s", url)
        if self._on_ready:
            self._on_ready(url)

    async def on_tick(self, counter: int) -> bool:
        if self._app.readiness.draining and not self._draining_told:
            self._draining_told = True
            log.info("draining")
        return await super().on_tick(counter) or time.monotonic() >= self._ends_at

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The first signal drains, a second one cuts off."""
        if self._app.readiness.draining:
            self.should_exit = self.force_exit = True
            return
        self._app.readiness.drain()
        wait = self._linger if sig == signal.SIGTERM else 0.0
        self.config.timeout_graceful_shutdown = round(self._settings.shutdown_timeout - wait)
        self._ends_at = time.monotonic() + wait

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised again: the exit code stays 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

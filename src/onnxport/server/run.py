"""Runs the application under uvicorn, from a bound socket to a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from onnxport.errors import SettingsError
from onnxport.modelfile import ModelFile, read_model_file
from onnxport.predictor import Model
from onnxport.server.access import open_access
from onnxport.server.app import ModelApp, create_app
from onnxport.server.cors import origins
from onnxport.server.protocol import GuardedProtocol
from onnxport.server.seat import Order, Seat
from onnxport.server.supervisor import Supervisor
from onnxport.server.tls import tls_context
from onnxport.session import open_session
from onnxport.settings import Settings

log = logging.getLogger(__name__)

LINGER = 3.0  # seconds until load balancers have seen that the server drains
MARGIN = 2.0  # seconds that a worker may be late after --shutdown-timeout
BACKLOG = 2048  # connections that queue until they are accepted
BEATS = 10  # heartbeats a second

_BIND_ERRORS = {
    errno.EADDRINUSE: "is taken; choose another port, or 0 for a free one",
    errno.EACCES: "needs a privilege; choose a port from 1024 up",
    errno.EADDRNOTAVAIL: "is no address of this machine; choose one, such as 127.0.0.1",
}


@dataclass(frozen=True)
class Prepared:
    """What a server needs that is made once, before the first fork: all workers share it."""

    settings: Settings
    listener: socket.socket
    tls: ssl.SSLContext | None
    file: ModelFile

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        scheme = "https" if self.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(
    model_path: str | Path, settings: Settings, on_ready: Callable[[str], None] | None = None
) -> int:
    """Serves a model file until SIGTERM or SIGINT, and answers 0 when all accepted requests have been answered.

    Logs "listening on http://HOST:PORT (N workers)" to stderr as soon as all of them answer, and calls `on_ready` with
    that URL; logs "draining" at the signal, and "stopped" at the end. Answers 1 where a worker had to be killed.
    Raises SettingsError where the address can't be had, ModelFileError where the file can't be trusted, WorkersFailed
    where workers die before they are ready.
    """
    configure_logging(settings.log_level)
    with bind(settings) as listener:
        if settings.workers > 1:
            listener.listen(BACKLOG)  # callers queue here while workers start, or start anew
        prepared = Prepared(settings, listener, tls_context(settings), read_model_file(model_path))

        def tell() -> None:
            processes = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
            log.info("listening on %s (%s)", prepared.url, processes)
            if on_ready:
                on_ready(prepared.url)

        code = 0
        if settings.workers == 1:
            one_worker(prepared, Seat(on_ready=tell))
        else:
            code = several_workers(prepared, tell)
    log.info("stopped")
    return code


def one_worker(prepared: Prepared, seat: Seat) -> None:
    """Serves until it is told to end, by a signal or through its seat. Raises ModelFileError, InferenceError."""
    model = Model(open_session(prepared.file))
    app = create_app(model, settings=prepared.settings)
    Server(app, prepared, seat).run(sockets=[prepared.listener])


def several_workers(prepared: Prepared, on_ready: Callable[[], None]) -> int:
    """The same in as many processes as the settings say; the exit code."""

    def work(seat: Seat) -> None:
        configure_logging(prepared.settings.log_level)
        one_worker(prepared, seat)

    return Supervisor(
        work,
        prepared.settings.workers,
        on_ready=on_ready,
        on_end=prepared.listener.close,  # else callers would queue where nobody accepts them
        patience=prepared.settings.shutdown_timeout + MARGIN,
    ).run()


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
    """uvicorn that does what its seat says and tells readiness at once.

    http: the protocol class of its connections. every_second: called about once a second, until the end.
    """

    def __init__(
        self,
        app: ModelApp,
        prepared: Prepared,
        seat: Seat,
        *,
        http: type[asyncio.Protocol] = GuardedProtocol,
        every_second: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._seat, self._every_second = app, seat, every_second
        self._order, self._ends_at = Order.SERVE, float("inf")
        settings, tls = prepared.settings, prepared.tls
        self._patience = settings.shutdown_timeout
        reached = not ip_address(prepared.listener.getsockname()[0]).is_loopback
        self._linger = min(LINGER, settings.shutdown_timeout / 3) if reached else 0.0
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=settings.log_level == "debug",
                backlog=BACKLOG,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive,
                ssl_context_factory=None if tls is None else (lambda *_: tls),
                timeout_graceful_shutdown=settings.shutdown_timeout,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._pulse = asyncio.create_task(self._beat())
        self._seat.ready()

    async def _beat(self) -> None:
        """As long as the event loop turns, so also while it drains."""
        for tick in itertools.count():
            self._obey(self._seat.beat())
            if tick % BEATS == 0:
                self._run_every_second()
            await asyncio.sleep(1 / BEATS)

    def _run_every_second(self) -> None:
        try:
            self._every_second()
        except Exception:
            log.exception("what is done every second failed")

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or time.monotonic() >= self._ends_at

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The first signal drains, a second one cuts off; in a worker the supervisor's order counts instead."""
        self._pulse.get_loop().call_soon_threadsafe(self._hear, sig)

    def _hear(self, number: int) -> None:
        self._obey(self._seat.hear(self._order, number))

    def _obey(self, order: Order) -> None:
        if order <= self._order:
            return
        first, self._order = self._order is Order.SERVE, order
        if first:
            self._app.readiness.drain()
            self._seat.drains()
        if order is Order.CUT_OFF:
            self.should_exit = self.force_exit = True
            return
        wait = self._linger if order is Order.DRAIN else 0.0
        self.config.timeout_graceful_shutdown = round(self._patience - wait)
        self._ends_at = time.monotonic() + wait

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised again: the exit code stays 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {n: signal.signal(n, self.handle_exit) for n in self._seat.signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

"""`onnxport serve`: from a model file and settings to one process that answers, or several."""

from __future__ import annotations

import errno
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from onnxport.errors import InferenceError, SettingsError
from onnxport.modelfile import read_model_file
from onnxport.server import logs
from onnxport.server.accepting import make_room
from onnxport.server.access import open_access
from onnxport.server.board import Board
from onnxport.server.cors import origins
from onnxport.server.draining import BACKLOG, Server
from onnxport.server.lane import Lane
from onnxport.server.logs import Log
from onnxport.server.prepared import Prepared
from onnxport.server.seat import Seat
from onnxport.server.service import open_model, open_service
from onnxport.server.supervisor import Supervisor
from onnxport.server.threads import usable_processors
from onnxport.server.tls import tls_context
from onnxport.settings import Settings

log = logging.getLogger(__name__)

_always = logging.getLogger("onnxport.server.ready")  # whatever --log-level says
_always.setLevel(logging.INFO)

MARGIN = 2.0  # seconds that a worker may be late after --shutdown-timeout

_BIND_ERRORS = {
    errno.EADDRINUSE: "is taken; choose another port, or 0 for a free one",
    errno.EACCES: "needs a privilege; choose a port from 1024 up",
    errno.EADDRNOTAVAIL: "is no address of this machine; choose one, such as 127.0.0.1",
}


def serve(
    model_path: str | Path, settings: Settings, on_ready: Callable[[str], None] | None = None
) -> int:
    """Serves a model file until SIGTERM or SIGINT, and answers 0 when all accepted requests have been answered.

    Logs "listening on http://HOST:PORT (N workers)" to stderr as soon as all of them answer, and calls `on_ready` with
    that URL; logs "draining" at the signal, and "stopped" at the end. Answers 1 where a worker had to be killed.
    Raises SettingsError where the address can't be had, ModelFileError where the file can't be trusted, WorkersFailed
    where workers die before they are ready.
    """
    several = settings.workers > 1
    log_to = logs.configure(settings.log_level, settings.log_format, threaded=not several)
    logs.catch_strays()
    make_room(settings.max_connections)
    with bind(settings) as listener:
        if several:
            listener.listen(BACKLOG)  # callers queue here while workers start, or start anew
        prepared = Prepared(
            settings,
            listener,
            tls_context(settings),
            read_model_file(model_path),
            Board(settings.workers),
            open_access(settings),
        )

        def tell() -> None:
            processes = f"{settings.workers} workers" if several else "1 worker"
            _always.info("listening on %s (%s)", prepared.url, processes)
            if on_ready:
                on_ready(prepared.url)

        code = 0
        if several:
            code = several_workers(prepared, tell)
        else:
            one_worker(prepared, Seat(on_ready=tell), log_to)
    log.info("stopped")
    log_to.sink.flush()
    return code


def one_worker(prepared: Prepared, seat: Seat, log_to: Log) -> None:
    """Serves until it is told to end, by a signal or through its seat. Raises ModelFileError, InferenceError."""
    told = prepared.settings
    threads = told.threads or max(1, usable_processors() // seat.count)
    settings = replace(told, threads=threads)
    prepared.access.refresh()  # a worker that replaces another was forked from an older state
    service = open_service(
        open_model(prepared.file, settings),
        settings,
        access=prepared.access,
        board=prepared.board,
        worker=seat.index,
        log=log_to,
    )
    lane = Lane(service)
    server = Server(prepared, seat, service, lane)
    try:
        server.run(sockets=[prepared.listener])
    finally:
        service.observer.close()
    if server.is_broken:
        raise InferenceError("the application can't be built; the log says why")


def several_workers(prepared: Prepared, on_ready: Callable[[], None]) -> int:
    """The same in as many processes as the settings say; the exit code."""
    settings, board = prepared.settings, prepared.board

    def work(seat: Seat) -> None:
        log_to = logs.configure(settings.log_level, settings.log_format, worker=seat.index + 1)
        one_worker(prepared, seat, log_to)

    _import_early()
    return Supervisor(
        work,
        settings.workers,
        on_ready=on_ready,
        on_death=board.vacate,
        on_end=prepared.listener.close,  # else callers would queue where nobody accepts them
        patience=settings.shutdown_timeout + MARGIN,
    ).run()


def _import_early() -> None:
    """What FastAPI and uvicorn import at their first use: once here, instead of half a new worker's start each time."""
    from fastapi import FastAPI

    import onnxport.server.app  # noqa: F401

    app = FastAPI()
    app.add_api_route("/", lambda: None)
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
    config.load()
    config.get_loop_factory()


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
        "host %s: WHOEVER REACHES THIS ADDRESS MAY CALL THE API, since no API key is set",
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

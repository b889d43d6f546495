"""The same model behind the fast path and behind FastAPI alone, in threads of this process, on real sockets."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from onnxport.modelfile import read_model_file
from onnxport.predictor import Model
from onnxport.server.access import open_access
from onnxport.server.board import Board
from onnxport.server.draining import Server
from onnxport.server.lane import Lane
from onnxport.server.observer import Observer
from onnxport.server.prepared import Prepared
from onnxport.server.problems import Rendered
from onnxport.server.rounds import Asked
from onnxport.server.run import bind
from onnxport.server.seat import Seat
from onnxport.server.service import open_service
from onnxport.session import open_session
from onnxport.settings import Settings


class Watch:
    """Sees what the fast path answers, on its way to the server's own observer, and how many requests in one turn."""

    def __init__(self, observer: Observer) -> None:
        self._observer, self.metrics = observer, observer.metrics
        self.hot, self.refusals, self.most = 0, 0, 0

    def answered(self, asked: Sequence[Asked], now: float, /) -> None:
        assert all(arrived <= now for *_, arrived in asked)
        self.hot += len(asked)
        self.most = max(self.most, len(asked))
        self._observer.answered(asked, now)

    def refused(self, asked: Asked, told: Rendered, now: float, /) -> None:
        assert told.status >= 400
        assert asked[-1] <= now
        self.refusals += 1
        self._observer.refused(asked, told, now)


class Running:
    """A server in a thread. observer: counts what its fast path answers, if it has one."""

    def __init__(self, model_file: Path, settings: Settings, *, fast: bool) -> None:
        self._ready = threading.Event()
        self._listener = bind(settings)
        file = read_model_file(model_file)
        prepared = Prepared(settings, self._listener, None, file, Board(1), open_access(settings))
        self.service = open_service(Model(open_session(file)), settings)
        self.lane = Lane(self.service)
        self.observer = Watch(self.service.observer)
        self.lane.protocol.rounds.observer = self.observer
        seat = Seat(on_ready=self._ready.set)
        self.server = Server(prepared, seat, self.service, self.lane if fast else None)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self.server.run, args=([self._listener],))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        self._listener.close()
        assert not self._thread.is_alive()
        while (
            self.service.scheduler.is_busy()
        ):  # else Python's own end would meet a run in the middle
            time.sleep(0.05)

    def tick(self) -> None:
        """What is done every second, now."""
        done = threading.Event()

        def step() -> None:
            self.lane.every_second(self.server.server_state.connections)
            done.set()

        self.server._pulse.get_loop().call_soon_threadsafe(step)
        assert done.wait(10)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def talk(self, segments: Sequence[bytes], *, pause: float = 0.0) -> bytes:
        """Sends the segments on a connection of their own; all that comes back until the server closes it."""
        with self.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for segment in segments:
                    connection.sendall(segment)
                    if pause:
                        time.sleep(pause)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused before its end; the answer is there to be read
            return read_to_end(connection)


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


_DATE = re.compile(rb"\r\ndate: [^\r]*\r\n")
_OWN_ID = re.compile(rb"[0-9a-f]{32}")


def masked(answer: bytes) -> bytes:
    """Without the date and the ids that a server has made up."""
    return _OWN_ID.sub(b"ID", _DATE.sub(b"\r\n", answer))

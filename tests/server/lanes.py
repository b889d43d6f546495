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
from onnxport.server.app import assemble
from onnxport.server.draining import Server
from onnxport.server.lane import Lane
from onnxport.server.prepared import Prepared
from onnxport.server.problems import Rendered
from onnxport.server.protocol import GuardedProtocol
from onnxport.server.rounds import Asked
from onnxport.server.run import bind
from onnxport.server.seat import Seat
from onnxport.server.service import open_service
from onnxport.session import open_session
from onnxport.settings import Settings


class Observer:
    """Counts what the fast path answers, and how many requests at most in one turn."""

    def __init__(self) -> None:
        self.hot, self.refusals, self.most = 0, 0, 0

    def answered(self, asked: Sequence[Asked], now: float, /) -> None:
        assert all(arrived <= now for *_, arrived in asked)
        self.hot += len(asked)
        self.most = max(self.most, len(asked))

    def refused(self, asked: Asked, told: Rendered, now: float, /) -> None:
        assert told.status >= 400
        assert asked[-1] <= now
        self.refusals += 1


class Running:
    """A server in a thread. observer: counts what its fast path answers, if it has one."""

    def __init__(self, model_file: Path, settings: Settings, *, fast: bool) -> None:
        self.observer = Observer()
        self._ready = threading.Event()
        self._listener = bind(settings)
        prepared = Prepared(settings, self._listener, None, read_model_file(model_file))
        self.service = open_service(Model(open_session(prepared.file)), settings)
        self.lane = Lane(self.service, self.observer)
        self.server = Server(
            assemble(self.service),
            prepared,
            Seat(on_ready=self._ready.set),
            http=self.lane.protocol if fast else GuardedProtocol,
        )
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

"""What is made once, before the first fork, for all workers."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from onnxport.modelfile import ModelFile
from onnxport.server.access import Access
from onnxport.server.board import Board
from onnxport.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """What a worker serves, and where. `listener` is bound; several workers accept from it."""

    settings: Settings
    listener: socket.socket
    tls: ssl.SSLContext | None
    file: ModelFile
    board: Board
    access: Access

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()[:2]
        scheme = "https" if self.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

"""How a process that serves ends: by a signal before it listens, and with its exit code at once afterwards."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end a server with exit code 0 before it takes them over itself.

    At once, as nothing has been accepted yet; an exception could get lost in what is being imported.
    """

    def end(*_: object) -> None:
        os._exit(0)

    before = {n: signal.signal(n, end) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> int:
    """The exit code of a server that has ended. Where a prediction was given up and still runs, the process ends here:
    the interpreter's own end would abort in the middle of it.
    """
    from onnxport.server.threads import NAME

    if any(thread.name == NAME for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code

"""Workers with a life of their own, under the real supervisor: `python -m tests.server.worker_program LIFE`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time

from onnxport.errors import OnnxportError
from onnxport.server.seat import Order, Seat
from onnxport.server.supervisor import Supervisor


def killed_at_once(_: Seat) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def out_of_memory(_: Seat) -> None:
    raise MemoryError


def killed_early(seat: Seat) -> None:
    """Ready, and dead soon after."""
    seat.ready()
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGSEGV)


def deaf(seat: Seat) -> None:
    """Ready, with an event loop that turns, which does nothing that it is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    seat.ready()
    for _ in range(300):  # half a minute, should nobody kill it
        seat.beat()
        time.sleep(0.1)


def calm(seat: Seat) -> None:
    """Ready, and obedient."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    seat.ready()
    while seat.beat() is Order.SERVE:
        time.sleep(0.05)


def main(life: str) -> int:
    logging.basicConfig(level="INFO", format="%(message)s")
    log = logging.getLogger(__name__)
    lives = {f.__name__: f for f in (killed_at_once, out_of_memory, killed_early, deaf, calm)}
    try:
        return Supervisor(
            lives[life],
            2,
            on_ready=lambda: log.info("all ready"),
            on_end=lambda: log.info("ends"),
            patience=0.5,
        ).run()
    except OnnxportError as err:
        log.error("%s", err)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

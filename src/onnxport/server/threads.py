"""Threads for long predictions: daemons, since a run can't be stopped and must not hold up the process's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread

Work = Callable[[], bytes]
NAME = "prediction"


class Threads:
    """A fixed number of threads, started when the first work comes; what was given up before its turn is dropped."""

    def __init__(self, count: int) -> None:
        self._idle = count
        self._work: SimpleQueue[tuple[Future[bytes], Work]] = SimpleQueue()

    async def run(self, work: Work) -> bytes:
        """What the work returns or raises, without holding the event loop."""
        while self._idle:
            self._idle -= 1
            Thread(target=self._run_forever, name=NAME, daemon=True).start()
        answer: Future[bytes] = Future()
        self._work.put((answer, work))
        return await asyncio.wrap_future(answer)

    def _run_forever(self) -> None:
        while True:
            answer, work = self._work.get()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(work())
            except BaseException as err:
                answer.set_exception(err)
            del answer, work  # the answer may be large, and the next work far

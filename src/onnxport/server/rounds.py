"""All hot requests of one turn of the event loop: decoded, run and encoded together, then written one by one.

This is the hot path. `FastProtocol.data_received` hands over complete requests, `Rounds.add` collects them, and
`Rounds._answer` names the steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from onnxport.server import problems
from onnxport.server.heads import Head
from onnxport.server.metrics import Metrics
from onnxport.server.scheduler import Gone, Result, Scheduler

_OK = (
    b"HTTP/1.1 200 OK\r\n%bcontent-length: %%d\r\ncontent-type: application/json\r\n"
    b"%bx-request-id: %%b\r\n\r\n%%b"
)


class Asker(Protocol):
    """The connection that a request came on."""

    def answer(self, response: bytes, /) -> None: ...

    def is_gone(self) -> bool: ...


# A hot request: its connection, body, id, what is known of its head, and when it was complete by
# `time.perf_counter()`. A plain tuple, because ten thousands of them are made in a second.
Asked = tuple[Asker, bytes, bytes, Head, float]


class Observer(Protocol):
    """Who wants to know what happens on the hot path."""

    @property
    def metrics(self) -> Metrics: ...

    def answered(self, asked: Sequence[Asked], now: float, /) -> None: ...

    def refused(self, asked: Asked, told: problems.Rendered, now: float, /) -> None: ...


class Rounds:
    """Collects the hot requests of one process, and answers those of one turn at once.

    always: headers that every answer has, beside those of its own.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        observer: Observer,
        *,
        always: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._scheduler, self.observer, self._always = scheduler, observer, always
        self._asked: list[Asked] = []
        self.gone = 0  # how many answers found nobody
        self._state: ServerState | None = None
        self._dated: Any = None
        self._ok = b""

    def attach(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        """Must be called before `add`: where the Date is kept, and the loop whose turns count."""
        self._state, self._call_soon = state, loop.call_soon

    def add(self, asked: Asked) -> None:
        """Takes a request, which is answered as soon as all that came in this turn has been looked at."""
        if not self._asked:
            self._call_soon(self._answer)
        self._asked.append(asked)

    def form_answer(self, content: bytes, request_id: bytes) -> bytes:
        """A whole good answer."""
        return self._form() % (len(content), request_id, content)

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        _, bodies, _, _, arrivals = zip(*asked, strict=True)
        if self._scheduler.can_join(bodies):
            self._write(asked, self._scheduler.answer_now(bodies, arrivals))
        elif joined := self._pass_on(asked):
            _, bodies, _, _, arrivals = zip(*joined, strict=True)
            self._write(joined, self._scheduler.answer_now(bodies, arrivals))

    def _pass_on(self, asked: list[Asked]) -> list[Asked]:
        """Answers what is short and can't join, leaves to threads what is long; those that join are left over."""
        joined = []
        for one in asked:
            if self._scheduler.can_join([one[1]]):
                joined.append(one)
            elif self._scheduler.is_short(one[1]):
                self._write([one], [self._scheduler.try_short(one[1])])
            else:
                self.observer.metrics.in_flight(1)
                self._scheduler.submit(one[1], partial(self._write_one, one), one[0].is_gone)
        return joined

    def _write_one(self, one: Asked, result: Result) -> None:
        self.observer.metrics.in_flight(-1)
        if isinstance(result, Gone):
            self.observer.metrics.lost(1)
        else:
            self._write([one], [result])

    def _write(self, asked: list[Asked], results: Sequence[Result]) -> None:
        form, failed, gone = self._form(), False, self.gone
        for (asker, _, known_as, _, _), result in zip(asked, results, strict=True):
            if type(result) is bytes:
                asker.answer(form % (len(result), known_as, result))
            else:
                failed = True
        now = time.perf_counter()
        if failed:
            asked = self._tell_failed(asked, results, now)
        if self.gone != gone:
            self.observer.metrics.lost(self.gone - gone)
            asked = [one for one in asked if not one[0].is_gone()]
        if asked:
            self.observer.answered(asked, now)

    def _tell_failed(
        self, asked: list[Asked], results: Sequence[Result], now: float
    ) -> list[Asked]:
        """Tells the errors among the results; answers who got an answer."""
        answered = []
        for one, result in zip(asked, results, strict=True):
            if isinstance(result, Exception):
                self._tell(one, result, now)
            else:
                answered.append(one)
        return answered

    def _tell(self, one: Asked, err: Exception, now: float) -> None:
        """Answers with an error, as FastAPI would."""
        told = problems.render(err, one[2].decode("ascii"))
        *headers, known_as = told.headers
        lines = _lines((*self._default_headers(), *headers, *self._always, known_as))
        one[0].answer(b"%b%b\r\n%b" % (STATUS_LINE[told.status], lines, told.content))
        self.observer.refused(one, told, now)

    def _form(self) -> bytes:
        """A good answer, with places for length, request id and body; new when the date is."""
        headers = self._default_headers()
        if headers is not self._dated:
            self._dated = headers
            self._ok = _OK % (_lines(headers), _lines(self._always))
        return self._ok

    def _default_headers(self) -> list[tuple[bytes, bytes]]:
        return [] if self._state is None else self._state.default_headers


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])

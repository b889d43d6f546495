"""Where and when a prediction runs: on the event loop while it is short, else in a thread, and not at all where
its turn would come too late.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import orjson

from onnxport.codec import Limits
from onnxport.errors import OverloadedError, RequestError
from onnxport.predictor import Model
from onnxport.server.metrics import Metrics
from onnxport.server.threads import Threads, usable_processors
from onnxport.settings import Settings

log = logging.getLogger(__name__)

SMALL_BODY = 64 * 1024  # bytes that the loop may parse
SMALL_TEXT = 2 * 1024  # the same where a model reads texts, which are analysed in Python
SMALL_ROW = 0.2e-3  # seconds for one row of a small model
LOOP_BUDGET = 2e-3  # seconds that one request may hold the loop
BATCH_SECONDS = 50e-3  # that requests which run together may take
_WEIGHT = 0.2  # of the newest run in the estimate
_ENOUGH = 64  # rows of a small model

_OBJECT = {b"{"}

Result = bytes | Exception
Observe = Callable[[int, float], None]


class Gone(Exception):
    """Nobody waits for the answer any longer."""


@dataclass(slots=True, eq=False)
class Job:
    """A body that waits for a thread.

    rows: how many, at most. alone: it isn't one row object, which would run together with others.
    done: called once, on the loop, with the answer or the error. is_gone: nobody waits for it any longer.
    """

    body: bytes
    rows: int
    alone: bool
    arrived: float
    done: Callable[[Result], None]
    is_gone: Callable[[], bool]
    ended: bool = False

    def end(self, result: Result) -> None:
        if not self.ended:
            self.ended = True
            self.done(result)


class Scheduler:
    """Answers JSON bodies with one model, whose speed is measured when this is made.

    A queue is bounded by time: a request is refused that would wait longer than `max_wait` seconds, by what the runs
    before took. Requests that wait together are answered together, in one run. Times are `time.perf_counter()`.
    """

    def __init__(self, model: Model, settings: Settings, metrics: Metrics) -> None:
        self._model = model
        self._limits = Limits(settings.max_rows, settings.max_cells, settings.max_string)
        self._max_wait, self._deadline = settings.max_wait, settings.deadline
        self._reads_texts = bool(model.signature.texts)
        most = SMALL_TEXT if self._reads_texts else SMALL_BODY
        fits = len(model.signature.features) <= settings.max_cells
        self._most_joined = min(most, settings.max_string) if fits else 0
        # Where a run has threads of its own, one more runs only to read and write meanwhile.
        self._threads = Threads(usable_threads(settings) if model.threads == 1 else 2)
        self._row_time = model.run_time()
        self.is_small = self._row_time < SMALL_ROW
        self._idle = self._threads.count
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._rows = 0  # in the queue
        self._metrics = metrics
        self._warm_up()

    def _warm_up(self) -> None:
        """Whatever is done for the first time takes longer: not for a caller."""
        body = orjson.dumps(self._model.example())
        self._answer_joined([body, body], lambda _rows, _seconds: None)

    def can_join(self, bodies: Sequence[bytes]) -> bool:
        """Whether these are short row objects of a small model, which the loop answers in one run."""
        return self.is_small and self._are_rows(bodies)

    def _are_rows(self, bodies: Sequence[bytes]) -> bool:
        return (
            max(map(len, bodies)) <= self._most_joined and {body[:1] for body in bodies} == _OBJECT
        )

    def is_short(self, body: bytes) -> bool:
        """Whether the loop may answer this body itself."""
        if not self.is_small or len(body) >= SMALL_BODY:
            return False
        if self._reads_texts and len(body) > SMALL_TEXT:
            return False
        return body.startswith(b"{") or self._most_rows(body) * self._row_time < LOOP_BUDGET

    def _most_rows(self, body: bytes) -> int:
        """No body holds more rows than opening braces, and none is answered that holds more than the limit."""
        return max(1, min(body.count(b"{"), self._limits.rows or 1))

    def answer_now(self, bodies: Sequence[bytes], arrivals: Sequence[float]) -> list[Result]:
        """Answers bodies that join, on the loop. arrivals: when they were complete, ascending."""
        self._metrics.queued(arrivals, time.perf_counter())
        return self._answer_joined(bodies, self._metrics.ran)

    def answer_short(self, body: bytes) -> bytes:
        """The answer to a short body, on the loop. Raises RequestError, InferenceError."""
        return _or_raise(self.try_short(body))

    def try_short(self, body: bytes) -> Result:
        """The same, an error given instead of raised."""
        return self._answer_alone(body, self._metrics.ran)

    async def answer(self, body: bytes, is_gone: Callable[[], bool]) -> bytes:
        """The answer to a body whose turn comes in a thread. Raises RequestError, InferenceError, OverloadedError."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(result: Result) -> None:
            if not answer.done():
                answer.set_result(result)

        self.submit(body, done, lambda: answer.done() or is_gone())
        try:
            return _or_raise(await asyncio.wait_for(answer, self._deadline))
        except TimeoutError as err:
            raise OverloadedError(f"not answered within {self._deadline} s") from err

    def submit(
        self, body: bytes, done: Callable[[Result], None], is_gone: Callable[[], bool]
    ) -> None:
        """Queues a body for the threads, or refuses it at once."""
        is_row = self._are_rows([body])
        rows = 1 if is_row else self._most_rows(body)
        job = Job(body, rows, not is_row, time.perf_counter(), done, is_gone)
        if self.wait() > self._max_wait:
            self._drop_gone()
        if self.wait() > self._max_wait:
            job.end(OverloadedError(f"a turn would come after more than {self._max_wait} s"))
            return
        self._queue.append(job)
        self._rows += job.rows
        self._start()

    def is_busy(self) -> bool:
        """Whether a thread is at work, for whomever."""
        return self._threads.busy > 0

    def wait(self) -> float:
        """Seconds until a request that came now would have its turn, as far as can be foreseen."""
        return self._rows * self._row_time / self._threads.count

    def give_up_late(self) -> None:
        """Refuses what is past its deadline. For every second; a run that has begun goes on, for nobody."""
        self._drop_gone()
        latest = time.perf_counter() - self._deadline
        for job in (*self._queue, *self._running):
            if job.arrived < latest:
                job.end(OverloadedError(f"not answered within {self._deadline} s"))

    def _drop_gone(self) -> None:
        for job in self._queue:
            if not job.ended and job.is_gone():
                job.end(Gone())
        self._queue = deque(job for job in self._queue if not job.ended)
        self._rows = sum(job.rows for job in self._queue)

    def _start(self) -> None:
        while self._idle and (batch := self._next()):
            self._idle -= 1
            self._running.update(batch)
            self._metrics.queued([job.arrived for job in batch], time.perf_counter())
            self._threads.run(partial(self._run, batch), partial(self._finish, batch))

    def _next(self) -> list[Job]:
        """What runs together next, without those for whom it's too late or who are gone."""
        batch: list[Job] = []
        most = max(1, int(BATCH_SECONDS / self._row_time))
        while self._queue and len(batch) < most:
            if self._queue[0].alone and batch:
                break
            job = self._queue.popleft()
            self._rows -= job.rows
            if not job.ended and job.is_gone():
                job.end(Gone())
            if job.ended:
                continue
            batch.append(job)
            if job.alone:
                break
        return batch

    def _run(self, batch: list[Job]) -> Done:
        """In a thread."""
        began, runs = time.perf_counter(), list[tuple[int, float]]()

        def note(rows: int, seconds: float) -> None:
            runs.append((rows, seconds))

        if batch[0].alone:
            answers = [self._answer_alone(batch[0].body, note)]
        else:
            answers = self._answer_joined([job.body for job in batch], note)
        return Done(answers, time.perf_counter() - began, runs)

    def _finish(self, batch: list[Job], done: Done) -> None:
        self._idle += 1
        self._running.difference_update(batch)
        self._learn(done)
        for run in done.runs:
            self._metrics.ran(*run)
        for job, answer in zip(batch, done.answers, strict=True):
            job.end(answer)
        self._start()

    def _learn(self, done: Done) -> None:
        """Corrects the estimate by what was answered: of a small model only by many rows at once, as all that is done
        once for a request would count as theirs.
        """
        rows = sum(rows for rows, _ in done.runs)
        if rows >= (_ENOUGH if self.is_small else 1):
            self._row_time += _WEIGHT * (done.seconds / rows - self._row_time)

    def _answer_joined(self, bodies: Sequence[bytes], ran: Observe) -> list[Result]:
        """Answers bodies in one run, or in halves where one of them is in the way of the others."""
        began = time.perf_counter()
        try:
            answers: list[Result] = [*self._model.answer_bodies(bodies)]
        except Exception:  # of one of them: no other one is to notice
            if len(bodies) == 1:
                return [self._answer_alone(bodies[0], ran)]
            half = len(bodies) // 2
            return self._answer_joined(bodies[:half], ran) + self._answer_joined(bodies[half:], ran)
        ran(len(bodies), time.perf_counter() - began)
        return answers

    def _answer_alone(self, body: bytes, ran: Observe) -> Result:
        """Answers one body, however it must be read. Nothing is raised: whoever tells the caller logs what is ours."""
        try:
            batch = self._model.read_json(body, limits=self._limits)
            began = time.perf_counter()
            answer = self._model.answer_json(batch)
        except RequestError as err:
            return _alone(err)
        except Exception as err:
            return err
        ran(batch.rows, time.perf_counter() - began)
        return answer


@dataclass(frozen=True, slots=True)
class Done:
    """What a thread has done: the answers, the seconds it took, and rows and seconds of each run."""

    answers: list[Result]
    seconds: float
    runs: list[tuple[int, float]]


def usable_threads(settings: Settings) -> int:
    """Threads for what is too long for the event loop."""
    return settings.threads or usable_processors()


def _alone(err: RequestError) -> RequestError:
    """The error without the frames that it came through: they hold all that was read, and nobody logs them."""
    err.__cause__ = err.__context__ = None
    return err.with_traceback(None)


def _or_raise(result: Result) -> bytes:
    if isinstance(result, Exception):
        raise result
    return result

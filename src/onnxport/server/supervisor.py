"""Several worker processes: made by fork, watched, replaced when they die, and told when to end.

The supervisor has no event loop, no thread and no session, so that a fork of it is safe at any time. Orders and
heartbeats go through a few cells of shared memory; a signal to a worker is but a nudge to look at them.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from onnxport.errors import InferenceError, ModelFileError, OnnxportError, SettingsError
from onnxport.server.seat import READY, Order, Seat, SharedSeat

log = logging.getLogger(__name__)

TICK = 0.5  # seconds between two looks at the heartbeats
HANG = 5.0  # seconds of silence after which an event loop counts as hung
GAP = 1.5  # seconds without a look, after which silence proves nothing: the machine slept
TRIES = 5  # deaths in a row before readiness that end the server
DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds until the next try; doubled each time
SHORT_LIFE = 1.0  # seconds after readiness
CHANCE, PATTERN = 5, 20  # short lives in a row that may be chance, and those that surely aren't
HURRY = 2.0  # seconds that workers get to end after a second signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REFUSED, _FAILED = b"refused", b"failed"
_REFUSALS = (ModelFileError, SettingsError, InferenceError)


class WorkersFailed(OnnxportError):
    """A worker died several times in a row before it was ready."""


@dataclass(eq=False)
class _Worker:
    """A running worker. Times are those of `time.monotonic()`."""

    seat: Seat
    process: BaseProcess
    ear: Connection
    since: float  # made, or ready if it is
    is_ready: bool = False
    beats: int = 0
    heard: float = 0.0
    refusal: OnnxportError | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"worker {self.seat.index + 1} (pid {self.process.pid})"


class Supervisor:
    """Keeps `count` workers running, each of which calls `work` with its seat.

    `work` calls `seat.ready()` once it serves, `seat.beat()` some ten times a second from then on, and does what it
    says; it returns when it has ended as it was told to. on_ready: called once, when all are ready for the first
    time. on_death: told the index of each worker that has ended. on_end: called at the order to end; here the listening
    socket is closed. patience: seconds that workers get from that order on.
    """

    def __init__(
        self,
        work: Callable[[Seat], None],
        count: int,
        *,
        on_ready: Callable[[], None],
        on_death: Callable[[int], None] = lambda _: None,
        on_end: Callable[[], None],
        patience: float,
    ) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise SettingsError(
                f"--workers is {count}, and this system can't fork processes; give 1, and run several servers behind "
                "a load balancer"
            )
        self._work, self._count, self._patience = work, count, patience
        self._on_ready, self._on_death, self._on_end = on_ready, on_death, on_end
        self._cells = memoryview(mmap.mmap(-1, 8 * (1 + count))).cast("Q")
        self._workers: list[_Worker] = []
        self._due = dict.fromkeys(range(count), 0.0)  # when which seat is to be taken
        self._failures, self._short_lives = [0] * count, [0] * count
        self._signals: list[int] = []
        self._order, self._ends_at = Order.SERVE, float("inf")
        self._was_ready, self._lost = False, False
        self._failure: OnnxportError | None = None
        self._looked = time.monotonic()

    def run(self) -> int:
        """Returns 0 when all workers have ended as they were told to, 1 when one had to be killed or died on the way.

        Raises what a worker refused to start for; WorkersFailed when one died too often before it was ready.
        """
        with _bell(self._signals) as bell:
            try:
                while self._workers or self._due:
                    self._start_due()
                    self._wait(bell)
                    self._obey_signals()
                    self._look()
            finally:
                self._kill(list(self._workers))
        if self._failure:
            raise self._failure
        return int(self._lost)

    # -------------------------------------------------------------------------------- workers come

    def _start_due(self) -> None:
        for index in [i for i, due in self._due.items() if due <= time.monotonic()]:
            del self._due[index]
            try:
                self._start(index)
            except OSError as err:
                self._try_again(index, f"worker {index + 1} can't be made: {err.strerror}")

    def _start(self, index: int) -> None:
        fork = multiprocessing.get_context("fork")
        ear, mouth = fork.Pipe(duplex=False)
        seat = SharedSeat(self._cells, mouth, index=index, count=self._count)
        process = fork.Process(target=_live, args=(self._work, seat), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until the child has its own
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            mouth.close()
        self._workers.append(_Worker(seat, process, ear, since=time.monotonic()))

    def _hear(self, worker: _Worker) -> None:
        """What a worker has to say, also when it is dead."""
        with contextlib.suppress(EOFError, OSError):
            while worker.ear.poll():
                kind, *words = worker.ear.recv_bytes().split(b"\0")
                told = [word.decode() for word in words]
                if kind == READY:
                    self._note_ready(worker)
                elif kind == _REFUSED:
                    worker.refusal = _refusal(*told)
                else:
                    worker.reason = f" ({told[0]})"

    def _note_ready(self, worker: _Worker) -> None:
        now = time.monotonic()
        took, worker.since, worker.heard = now - worker.since, now, now
        worker.is_ready = True
        self._failures[worker.seat.index] = 0
        if self._was_ready:
            log.info("%s is ready after %.1f s", worker, took)
        elif sum(w.is_ready for w in self._workers) == self._count:
            self._was_ready = True
            self._on_ready()

    # ---------------------------------------------------------------------------------- workers go

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        self._hear(worker)
        worker.ear.close()
        self._workers.remove(worker)
        self._on_death(worker.seat.index)
        lived = time.monotonic() - worker.since
        if self._order is not Order.SERVE:
            self._judge_end(worker)
        elif worker.refusal and not self._was_ready:
            self._fail(worker.refusal)
        elif not worker.is_ready:
            when = f"{lived:.1f} s after its start, before it was ready"
            self._try_again(worker.seat.index, f"{worker} {_how(worker)} {when}")
        else:
            self._replace(worker, lived)
        worker.process.close()

    def _judge_end(self, worker: _Worker) -> None:
        """A worker that isn't ready has no handler for the signal, and no request to lose."""
        fine = (0,) if worker.is_ready else (0, -signal.SIGTERM)
        if worker.process.exitcode not in fine or worker.reason:
            self._lost = True
            log.error("%s %s before its requests were answered", worker, _how(worker))

    def _replace(self, worker: _Worker, lived: float) -> None:
        """At once, unless it is the latest of many that didn't live long."""
        index = worker.seat.index
        self._short_lives[index] = self._short_lives[index] + 1 if lived < SHORT_LIFE else 0
        times = self._short_lives[index]
        delay = _delay(max(1, times - PATTERN)) if times > CHANCE else 0.0
        self._due[index] = time.monotonic() + delay
        when = f"in {delay:.1f} s" if delay else "now"
        level = logging.WARNING if worker.process.exitcode or worker.reason else logging.INFO
        log.log(level, "%s %s after %.1f s; replaced %s", worker, _how(worker), lived, when)

    def _try_again(self, index: int, what: str) -> None:
        self._failures[index] += 1
        if self._failures[index] >= TRIES:
            self._fail(WorkersFailed(f"{what}, as {TRIES - 1} before it; the server ends"))
            return
        delay = _delay(self._failures[index])
        self._due[index] = time.monotonic() + delay
        log.warning("%s; the next try is in %.1f s", what, delay)

    def _fail(self, failure: OnnxportError) -> None:
        self._failure = failure
        self._give(Order.STOP)

    def _kill(self, workers: list[_Worker]) -> None:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()

    # -------------------------------------------------------------------------- what happens meanwhile

    def _wait(self, bell: int) -> None:
        """Until a worker says something or dies, a signal comes, or it is time for something."""
        now = time.monotonic()
        until = min(now + TICK, self._ends_at, *self._due.values())
        lines = [line for w in self._workers for line in (w.ear, w.process.sentinel)]
        heard = set[Any](wait([bell, *lines], max(0.0, until - now)))
        if bell in heard:
            os.read(bell, 4096)
        for worker in list(self._workers):
            if worker.process.sentinel in heard:
                self._bury(worker)
            elif worker.ear in heard:
                self._hear(worker)

    def _obey_signals(self) -> None:
        while self._signals:
            self._give(self._order.after(self._signals.pop(0)))

    def _give(self, order: Order) -> None:
        """Tells all workers; those that aren't there yet see it when they come."""
        now = time.monotonic()
        if self._order is Order.SERVE:
            self._due.clear()
            self._ends_at = now + self._patience
            if self._was_ready:
                log.info("draining")
            self._on_end()
        if order is Order.CUT_OFF:
            self._ends_at = min(self._ends_at, now + HURRY)
        self._order = max(self._order, order)
        self._cells[0] = self._order
        for worker in self._workers:
            worker.process.terminate()

    def _look(self) -> None:
        """Kills workers that hang, or that don't come to their end."""
        now = time.monotonic()
        slept, self._looked = now - self._looked > GAP, now
        for worker in self._workers:
            beats = self._cells[1 + worker.seat.index]
            if slept or beats != worker.beats:
                worker.beats, worker.heard = beats, now
            elif worker.is_ready and now - worker.heard > HANG:
                log.error("%s hangs: its event loop has not turned for %.0f s", worker, HANG)
                worker.process.kill()
                worker.heard = now
        if now >= self._ends_at:
            self._ends_at = float("inf")
            for worker in self._workers:
                log.error("%s didn't end in time", worker)
                worker.process.kill()


def _live(work: Callable[[Seat], None], seat: SharedSeat) -> None:
    """A worker's life, on the child's side of the fork."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and one must judge
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        work(seat)
    except _REFUSALS as err:
        log.debug("worker %d refuses to start", seat.index + 1, exc_info=True)
        kind = next(kind for kind in _REFUSALS if isinstance(err, kind))
        seat.say(_REFUSED, kind.__name__, str(err))
    except Exception as err:
        log.exception("worker %d failed", seat.index + 1)
        seat.say(_FAILED, type(err).__name__)
    finally:
        logging.shutdown()  # nothing else waits for the last lines


def _refusal(name: str, message: str) -> OnnxportError:
    return next(kind for kind in _REFUSALS if kind.__name__ == name)(message)


@contextlib.contextmanager
def _bell(signals: list[int]) -> Iterator[int]:
    """A file descriptor that can be read when a signal has come, which is then in the list."""
    bell, rope = os.pipe()
    for end in (bell, rope):
        os.set_blocking(end, False)
    before = {number: signal.signal(number, lambda n, _: signals.append(n)) for number in _SIGNALS}
    woken = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    try:
        yield bell
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(bell)
        os.close(rope)


def _delay(times: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(DELAY * 2.0 ** (times - 1), LONGEST_DELAY)


def _how(worker: _Worker) -> str:
    """How a dead worker came to its end."""
    code = worker.process.exitcode or 0
    if worker.refusal:
        return f"refused: {worker.refusal}"
    if code >= 0:
        return f"ended with exit code {code}{worker.reason}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-code}"

"""The generator processes: started, begun together, heard, and stopped; the only module that knows of processes.

They are apart from the process that shows and reports, so that neither disturbs the other, even where there is one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from onnxport.bench.generator import Generator, Plan, clock
from onnxport.bench.processor import Effort
from onnxport.bench.schedule import SECOND
from onnxport.bench.tally import Slot
from onnxport.errors import ClientError

_READY, _STOP = "ready", "stop"
_PATIENCE = 60.0  # seconds for a process to start
_OPENING = 5.0  # seconds for its connections
_LAST_WORDS = 3.0  # seconds that a stopped process may take
_LEAD = SECOND // 20  # between the word to begin and the beginning


@dataclass(slots=True)
class Outcome:
    """The processes' efforts, and whether the test was stopped before its time."""

    efforts: list[Effort] = field(default_factory=list)
    is_partial: bool = False


def run_fleet(plans: Sequence[Plan], tell: Callable[[Slot], None]) -> Outcome:
    """Runs all plans at the same time, one process each; `tell` gets the counts as they come.

    KeyboardInterrupt ends the test early: what was counted so far is told. Raises ClientError where a process fails.
    """
    outcome = Outcome()
    with _processes(plans) as pipes:
        speaking = [*pipes]
        try:
            _begin(pipes)
            while speaking:
                ready = wait(speaking)
                for pipe in [p for p in speaking if p in ready]:
                    _hear(pipe, speaking, tell, outcome)
        except KeyboardInterrupt:
            outcome.is_partial = True
            _stop(speaking, tell, outcome)
    return outcome


def _begin(pipes: Sequence[Connection]) -> None:
    for pipe in pipes:
        if not pipe.poll(_PATIENCE):
            raise ClientError(
                f"a generator process didn't start within {_PATIENCE:.0f} s; try again"
            )
        said = _receive(pipe)
        if said != _READY:
            raise ClientError(f"a generator process failed: {said}")
    start = clock() + _LEAD
    for pipe in pipes:
        pipe.send(start)


def _hear(
    pipe: Connection, speaking: list[Connection], tell: Callable[[Slot], None], outcome: Outcome
) -> None:
    """One message: counts, or the effort, which is a process's last word."""
    said = _receive(pipe)
    if isinstance(said, Slot):
        tell(said)
    elif isinstance(said, Effort):
        outcome.efforts.append(said)
        speaking.remove(pipe)
    else:
        raise ClientError(f"a generator process failed: {said}")


def _receive(pipe: Connection) -> object:
    try:
        received: object = pipe.recv()
    except (EOFError, OSError) as err:
        raise ClientError(
            "a generator process ended before its time (killed, or out of memory?); the test is void"
        ) from err
    return received


def _stop(speaking: list[Connection], tell: Callable[[Slot], None], outcome: Outcome) -> None:
    """Asks for the last counts, for which a process has little time."""
    for pipe in speaking:
        with contextlib.suppress(OSError):
            pipe.send(_STOP)
    end = time.monotonic() + _LAST_WORDS
    while speaking and (ready := wait(speaking, max(end - time.monotonic(), 0))):
        for pipe in [p for p in speaking if p in ready]:
            try:
                _hear(pipe, speaking, tell, outcome)
            except ClientError:  # it had not begun yet
                speaking.remove(pipe)


@contextlib.contextmanager
def _processes(plans: Sequence[Plan]) -> Iterator[list[Connection]]:
    """The processes' pipes. Ctrl-C reaches all processes of a terminal; only this one heeds it."""
    context = multiprocessing.get_context(
        "spawn"
    )  # what is imported here may have threads, which a fork would lose
    pairs = [context.Pipe() for _ in plans]
    processes = [
        context.Process(target=_generate, args=(theirs, plan), daemon=True)
        for plan, (_, theirs) in zip(plans, pairs, strict=True)
    ]
    with _interrupts_ignored():
        for process in processes:
            process.start()
    for _, theirs in pairs:
        theirs.close()
    try:
        yield [ours for ours, _ in pairs]
    finally:
        for ours, _ in pairs:
            ours.close()  # which ends a process that still runs
        _join(processes)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A child inherits this; outside of the main thread, where no signal arrives, nothing has to be done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _join(processes: Sequence[SpawnProcess]) -> None:
    end = time.monotonic() + _LAST_WORDS
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


# ------------------------------------------------------------------------------------------------------ in the process


def _generate(pipe: Connection, plan: Plan) -> None:
    """What a generator process does: gets ready, waits for the word, runs, tells its effort."""
    try:
        generator = Generator(plan, pipe.send)
        generator.prepare(_OPENING)
        pipe.send(_READY)
        start = pipe.recv()
        if start == _STOP:
            return
        threading.Thread(target=_heed, args=(pipe, generator), daemon=True).start()
        pipe.send(generator.run(start))
    except (EOFError, BrokenPipeError):
        pass  # the process that reports has gone
    except Exception as err:
        pipe.send(f"{type(err).__name__}: {err}")


def _heed(pipe: Connection, generator: Generator) -> None:
    """Stops the generator at a word, or where nobody listens any longer."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    generator.stop()

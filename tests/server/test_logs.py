"""The log: one line for one event, whatever stands in it, and nobody who waits for its reader."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pty
import random
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from onnxport.server.incidents import Incidents
from onnxport.server.lines import MAX_TEXT, Event, JsonLines, TextLines
from onnxport.server.logs import TRACEBACKS, AccessLog, Answered, Log
from onnxport.server.sink import CAPACITY, Sink

PER_TEXT = 4  # lines
PAUSE = 0.3  # seconds
NASTY = [
    "\r\n", "\n", "\x00", "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\u2028", "\u2029", "\x85",
    "\u202e", "\u2066", "\ufeff", "\ud800", "\udfff", "\ue001", "\U000e0041", "\N{PILE OF POO}", "ü", "\t", "\b", '"',
    "\\", "\\u000a", "{}", '"}', '","level":"error', "%s", "%(x)d", "{0}", " status=200 ", "\n{\"level\":\"error\"}\n",
    "info: listening on http://evil.test\n", "a" * 300,
]  # fmt: skip
VALUE = rb'(?:"(?:[^"\\]|\\.)*"|[^\s"\\]+)'
FIELDS = re.compile(rb"fields request_id=%b client=%b count=3 \w+=1" % (VALUE, VALUE))
READABLE = Answered("id-1", "POST", "/predict", 200, 0.00123, "127.0.0.1:50000", "ci")


def texts(count: int, seed: int) -> list[str]:
    """Texts that would break a careless log: pieces in any order, and now and then one of 10 MB."""
    draw = random.Random(seed)
    made = ["".join(draw.choices(NASTY, k=draw.randint(1, 6))) for _ in range(count - 1)]
    return [*made, "\x1b\n" * 5_000_000]


def log_all(told: Sequence[str], form: str, *more: str) -> list[bytes]:
    """The lines that a process of its own logs of these texts."""
    command = [sys.executable, "-m", "tests.server.logging_program", form, *more]
    done = subprocess.run(
        command, input=json.dumps(told).encode(), capture_output=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, b"0\n"), done.stderr[-2000:]
    assert done.stderr.endswith(b"\n")
    return done.stderr.split(b"\n")[:-1]


def check_json(told: Sequence[str]) -> None:
    lines = log_all(told, "json", "3")
    assert len(lines) == PER_TEXT * len(told)
    for line in lines:
        assert line.decode("utf-8").isprintable(), line
        read = orjson.loads(line)  # which knows no lone surrogates
        assert json.loads(line) == read
        assert len(json.loads(line, object_pairs_hook=list)) == len(read), "a name twice"
        assert read["level"] in ("info", "warning", "error")
        assert (read["worker"], type(read["pid"])) == (3, int)
        assert len(line) < 250_000
    for number, text in enumerate(told):
        message, fields, error, answered = map(
            orjson.loads, lines[number * PER_TEXT : (number + 1) * PER_TEXT]
        )
        if len(text) < MAX_TEXT and not re.search("[\ud800-\udfff]", text):
            assert message["message"] == fields["request_id"] == fields["client"] == text
            assert answered["path"] == answered["request_id"] == text
            assert ("traceback" not in error) or text.rstrip("\n") in error["traceback"]
        assert error["error"] == "ValueError"


def check_text(told: Sequence[str]) -> None:
    lines = log_all(told, "text")
    assert all(line.decode("utf-8").isprintable() for line in lines)
    records = [line for line in lines if not line.startswith(b"  ")]
    assert len(records) == PER_TEXT * len(told)
    for number in range(len(told)):
        message, fields, error, answered = records[number * PER_TEXT : (number + 1) * PER_TEXT]
        assert message.startswith(b"warning: ")
        assert fields.startswith(b"fields ")
        assert error.startswith(b"error: an error error=ValueError")
        assert answered.startswith(b"answered ")
        assert FIELDS.fullmatch(fields), fields
        assert b" 200 1.0 ms " in answered


def test_no_text_breaks_a_json_line() -> None:
    check_json(texts(200, seed=22))


def test_no_text_breaks_a_text_line() -> None:
    check_text(texts(200, seed=23))


@pytest.mark.long
def test_no_text_of_many_breaks_a_line() -> None:
    for seed in range(10):
        check_json(texts(2000, seed))
        check_text(texts(2000, seed))


# -------------------------------------------------------------------------------------- the form


def event(message: str = "hello", **more: Any) -> Event:
    return Event(1_800_000_000.0625, "info", "onnxport.test", message, **more)


def test_a_json_line_has_its_facts_in_order() -> None:
    line = JsonLines(worker=2)(event(fields={"request_id": "r", "rows": 3, "pid": "mine"}))
    assert list(json.loads(line).items()) == [
        ("time", "2027-01-15T08:00:00.062Z"),
        ("level", "info"),
        ("logger", "onnxport.test"),
        ("message", "hello"),
        ("pid", os.getpid()),
        ("worker", 2),
        ("request_id", "r"),
        ("rows", 3),
    ]


def test_times_are_those_of_datetime() -> None:
    draw = random.Random(5)
    for seconds in [0.0, 1.999, 1e9, *(draw.uniform(0, 4e9) for _ in range(300))]:
        line = JsonLines()(Event(seconds, "info", "x", "x"))
        told = datetime.fromisoformat(json.loads(line)["time"])
        assert told.tzinfo == UTC
        assert 0 <= seconds - told.timestamp() < 0.0011


def test_values_of_any_kind_are_told() -> None:
    odd = {"big": 2**80, "nan": float("nan"), "none": None, "yes": True, "list": [1, "\n"]}
    read = json.loads(JsonLines()(event(fields={**odd, "path": Path("x")})))
    assert read["big"] == str(2**80)
    assert (read["nan"], read["none"], read["yes"]) == (None, None, True)
    assert (read["list"], read["path"]) == (r"[1, '\n']", "x")


def test_what_is_long_is_cut_and_says_so() -> None:
    line = JsonLines()(event("x" * 10_000_000, traceback="y" * 10_000_000))
    read = json.loads(line)
    assert read["message"].endswith("x… (9,997,952 more characters)")
    assert len(line) < 20_000
    many = json.loads(JsonLines()(event(fields={str(i): i for i in range(1000)})))
    assert len(many) < 50


def test_a_text_line_is_plain_where_no_terminal_is() -> None:
    form = TextLines()
    assert form(event("listening on http://127.0.0.1:8000 (1 worker)")) == (
        b"listening on http://127.0.0.1:8000 (1 worker)\n"
    )
    told = form(Event(0.0, "warning", "x", "slow request", READABLE.facts()))
    assert told == (
        b"warning: slow request POST /predict 200 1.23 ms request_id=id-1"
        b" client=127.0.0.1:50000 key_id=ci\n"
    )
    assert form(event(fields={"why": 'a "b"\n=c'})) == rb'hello why="a \"b\"\n=c"' + b"\n"


# ------------------------------------------------------------------------------- the whole process

SAY = """
import logging, os
from onnxport.server import logs
to = logs.configure({level!r}, {format!r})
log = logging.getLogger("onnxport.x")
"""


def program(code: str, format: str = "auto", level: str = "info") -> list[str]:
    return [sys.executable, "-c", SAY.format(level=level, format=format) + code]


def lines_of(code: str, format: str = "auto", level: str = "info") -> list[str]:
    """What a program logs, in a pipe."""
    command = program(code, format, level)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_a_terminal_gets_time_level_and_colour() -> None:
    code = (
        "log.info('one'); log.error('two'); to.sink.flush(); os.environ['NO_COLOR'] = '1'\n"
        "logs.configure('info', 'auto'); log.error('three')"
    )
    ours, theirs = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run(program(code), stderr=theirs, env=kept, timeout=60, check=False)
    os.close(theirs)
    with os.fdopen(ours, "rb") as terminal:
        first, second, third, _ = terminal.read1(65536).decode().split("\r\n")
    assert done.returncode == 0
    plain = re.sub(r"\x1b\[[\d;]*m", "", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info     one", plain)
    assert "\x1b[31merror   \x1b[0m two" in second
    assert re.fullmatch(r"\d\d:\d\d:\d\d error    three", third)


def test_levels_and_other_loggers() -> None:
    code = (
        "log.info('no'); log.warning('yes'); logging.getLogger('other').info('no')\n"
        "logging.getLogger('uvicorn.error').error('also')\n"
        "import warnings; warnings.warn('me\\ntoo')"
    )
    yes, also, warning = lines_of(code, "text", level="warning")
    assert (yes, also) == ("warning: yes", "error: also")
    assert r"UserWarning: me\ntoo" in warning


def test_what_nobody_has_caught_is_a_line_too_and_a_flood_has_few_tracebacks() -> None:
    code = """
import threading
logs.catch_strays()
def fail():
    raise ValueError("in a\\nthread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
class Bad:
    def __del__(self):
        raise KeyError("gone")
Bad()
log.info("%d", "no number")
for _ in range(200):
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("failed")
"""
    read = [json.loads(line) for line in lines_of(code)]
    errors = [line["error"] for line in read]
    assert errors == ["ValueError", "KeyError", "TypeError"] + 200 * ["ZeroDivisionError"]
    assert "in a\nthread" in read[0]["traceback"]
    assert read[2]["message"] == "a message can't be told: '%d'"
    assert 1 <= sum("traceback" in line for line in read[3:]) <= 4 * TRACEBACKS


def test_a_forked_process_writes_its_own_lines_alone() -> None:
    code = """
for n in range(300):
    log.info("parent %d", n)
child = os.fork()
if child == 0:
    for n in range(300):
        log.info("child %d", n)
    to.sink.flush(5)
    os._exit(0)
os.waitpid(child, 0)
"""
    messages = [json.loads(line)["message"] for line in lines_of(code)]
    expected = [f"{who} {n}" for who in ("parent", "child") for n in range(300)]
    assert sorted(messages) == sorted(expected)


# --------------------------------------------------------------------------- streams that fail

LINE = b"x" * 999 + b"\n"


@pytest.fixture
def stuck() -> Iterator[tuple[Sink, int]]:
    """A sink on a pipe whose reader doesn't read, and the reader's end."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    sink = Sink(stream)
    yield sink, reader
    os.close(reader)
    sink.flush(5.0)
    stream.close()


def test_a_reader_that_stops_holds_nobody_up(stuck: tuple[Sink, int]) -> None:
    sink, reader = stuck
    told: list[int] = []
    sink.report_to(told.append)
    began = time.monotonic()
    for _ in range(3 * CAPACITY // len(LINE)):
        sink.write(LINE)
    sink.flush(0.2)
    assert time.monotonic() - began < 2
    assert sink.dropped == sum(told) > CAPACITY // len(LINE)
    kept = 3 * CAPACITY // len(LINE) - sink.dropped
    got = b""
    while len(got) < kept * len(LINE):
        got += os.read(reader, 65536)
    assert got == LINE * kept, "a line is broken"


def test_a_stream_without_a_reader_is_dropped(stuck: tuple[Sink, int]) -> None:
    sink, reader = stuck
    unread, writer = os.pipe()
    os.dup2(unread, reader)  # the pipe has no reader any more
    for descriptor in (unread, writer):
        os.close(descriptor)
    sink.write(LINE * 3, 3)
    sink.flush()
    assert sink.dropped == 3


COUNT = (
    "for n in range(50): log.info('line %d', n)\nto.sink.flush(); print(to.sink.dropped, opened)"
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk to try")
@pytest.mark.parametrize(("stderr", "free"), [("2>/dev/full", 3), ("2>&-", 2)])
def test_a_full_disk_or_a_closed_stderr_is_survived_and_counted(stderr: str, free: int) -> None:
    """A file that takes the number of a closed stderr must not become the log."""
    command = program("opened = os.open(os.devnull, os.O_WRONLY)\n" + COUNT)
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {stderr}', "bash", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"50 {free}\n")


def test_after_half_a_line_a_new_one_begins(tmp_path: Path) -> None:
    """A disk that is full for a while, by a limit on the size of files."""
    path, before = tmp_path / "log", resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("w") as stream:
        sink = Sink(stream)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (15, before[1]))
            for line in (b"first....\n", b"second...\n"):
                sink.write(line)
                sink.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sink.write(b"third....\n")
        sink.flush()
    assert sink.dropped == 1
    assert path.read_text() == "first....\nsecon\nthird....\n"


def test_without_a_thread_nothing_waits_either() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        sink = Sink(stream, threaded=False)

        def write() -> None:
            for _ in range(500):
                sink.write(LINE)

        told = threading.Thread(target=write, daemon=True)
        told.start()
        told.join(2.0)
        waits = told.is_alive()
        got = os.read(reader, 2**20)
        os.close(reader)  # whoever waits for it wakes
        told.join()
        assert not waits
        assert 0 < sink.dropped < 500
        assert got == LINE * (500 - sink.dropped)


def test_a_stream_of_pythons_own_will_do() -> None:
    stream = io.StringIO()
    sink = Sink(stream)
    AccessLog(Log(sink, TextLines())).write([READABLE])
    sink.flush()
    assert stream.getvalue().startswith("answered POST /predict 200 1.23 ms request_id=id-1")


def test_a_round_goes_out_in_pieces_that_a_pipe_takes_whole() -> None:
    taken: list[tuple[int, int]] = []

    class Scale(Sink):
        def write(self, lines: bytes, count: int = 1) -> None:
            taken.append((len(lines), count))
            assert lines.count(b"\n") == count

    AccessLog(Log(Scale(None), JsonLines())).write([READABLE] * 100)
    assert sum(count for _, count in taken) == 100
    assert max(size for size, _ in taken) <= 4096
    assert len(taken) < 15


# ------------------------------------------------------------------------- refused and slow


def tell(
    work: Callable[[Incidents], Any], caplog: pytest.LogCaptureFixture
) -> list[logging.LogRecord]:
    async def within() -> None:
        watch = Incidents(slow=1.0, pause=PAUSE)
        await work(watch)
        watch.close()

    with caplog.at_level(logging.INFO, logger="onnxport"):
        asyncio.run(within())
    return caplog.records


def test_refusals_come_as_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    async def flood(watch: Incidents) -> None:
        for number in range(5000):
            watch.refused("invalid_json", READABLE._replace(request_id=str(number), status=400))
            if number % 10 == 0:
                watch.refused("overloaded", READABLE._replace(status=503), count=3)
        assert len(caplog.records) == 2  # the first of each, at once
        await asyncio.sleep(1.3 * PAUSE)
        assert len(caplog.records) == 4
        watch.refused("overloaded", READABLE._replace(status=503))
        assert len(caplog.records) == 4
        await asyncio.sleep(2.2 * PAUSE)
        watch.refused("overloaded", READABLE._replace(status=503))

    records = tell(flood, caplog)
    assert [record.getMessage() for record in records] == [
        "refused: invalid_json",
        "refused 3 requests: overloaded",
        "refused 4999 requests: invalid_json",
        "refused 1497 requests: overloaded",
        "refused: overloaded",
        "refused: overloaded",
    ]
    assert [record.levelname for record in records[:2]] == ["INFO", "WARNING"]
    assert vars(records[2]) | {
        "reason": "invalid_json",
        "count": 4999,
        "request_id": "4999",
    } == vars(records[2])


def test_of_slow_requests_the_slowest_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def crawl(watch: Incidents) -> None:
        for seconds in (0.9, 1.0, 1.5, 4.0, 2.0):
            watch.answered(READABLE._replace(seconds=seconds))

    first, second = tell(crawl, caplog)
    assert (first.getMessage(), vars(first)["duration_ms"]) == ("slow request", 1000.0)
    assert second.getMessage() == "3 slow requests, the slowest:"
    assert vars(second)["duration_ms"] == 4000.0

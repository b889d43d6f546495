"""The command that tests a server under load."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxport.bench.load import (
    ARRIVALS,
    CLOSED_CONNECTIONS,
    OPEN_CONNECTIONS,
    Arrivals,
    Load,
)
from onnxport.cli.commands import (
    FAILED,
    INTERRUPTED,
    Command,
    is_url,
    read_api_key,
    say,
    url_options,
)
from onnxport.cli.files import JSON_OPTION
from onnxport.cli.progress import on_terminal

if TYPE_CHECKING:
    from onnxport.bench.record import Record
    from onnxport.bench.result import Result

_BAR = 10  # characters
_REFRESH = 0.2  # seconds
_USUAL_COLUMNS = 80
_BUCKET = re.compile(
    r"\[\n +([\d.]+),\n +([\d.]+),\n +(\d+)\n +\]"
)  # there are hundreds: one a line


@click.command(cls=Command)
@click.argument("url")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="The model file that the URL serves: its self-test rows are sent, and the answers checked.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    help=f"Connections that ask at the same time; with --rate, the most that are opened.  "
    f"[default: {CLOSED_CONNECTIONS}; with --rate {OPEN_CONNECTIONS:,}]",
)
@click.option("--rate", type=float, help="Requests a second, sent by the clock (open loop).")
@click.option(
    "--arrivals",
    type=click.Choice(ARRIVALS),
    default=ARRIVALS[0],
    show_default=True,
    help="How --rate spaces requests: at random, as independent callers do, or evenly.",
)
@click.option("--duration", type=float, default=10.0, show_default=True, help="Seconds that count.")
@click.option(
    "--warm-up", type=float, default=2.0, show_default=True, help="Seconds before, uncounted."
)
@click.option(
    "--rows-per-request", type=int, default=1, show_default=True, help="Rows in each request."
)
@click.option("--processes", type=int, default=1, show_default=True, help="Processes that ask.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result as a page with pictures: report.html.",
)
@JSON_OPTION
@url_options
def bench(
    url: str,
    model: Path | None,
    connections: int | None,
    rate: float | None,
    arrivals: Arrivals,
    duration: float,
    warm_up: float,
    rows_per_request: int,
    processes: int,
    output: Path | None,
    as_json: bool,
    api_key_file: Path | None,
    timeout: float,
) -> int:
    """Test a server under load; every answer is checked.

    Without --rate each connection asks again as soon as it has its answer (closed loop): what is the most that the
    server answers? With --rate requests fall due by the clock, and latency counts from then (open loop): how long do
    callers wait at this load?

    The exit code is 1 where an answer was wrong, or none was right. Ctrl-C tells what was counted so far. Load tests
    are for your own servers: to the owner of another one this is an attack.
    """
    load = Load(
        rate=rate,
        arrivals=arrivals,
        connections=connections or 0,
        duration=duration,
        warm_up=warm_up,
        timeout=timeout,
        rows_per_request=rows_per_request,
        processes=processes,
    )
    _check_usage(url, model, output)
    assert model is not None
    result = _run(url, model, load, read_api_key(api_key_file))
    _tell(result, as_json=as_json)
    if output is not None:
        _write(output, result)
    return _exit_code(result)


def _check_usage(url: str, model: Path | None, output: Path | None) -> None:
    if not is_url(url):
        raise click.UsageError(f"{url}: a load test needs the URL of a running server")
    if model is None:
        raise click.UsageError(
            "name the model file that the server serves: --model; its rows are sent, and the answers checked"
        )
    if output is None:
        return
    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--output {output}: the page is HTML; name it {output.stem}.html")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no such directory")


def _run(url: str, model: Path, load: Load, key: str | None) -> Result:
    from onnxport.bench.run import load_test

    with View(load) as view:
        try:
            return load_test(url, model, load, api_key=key, watch=view.show)
        except ValueError as err:
            raise click.UsageError(str(err)) from err


def _tell(result: Result, *, as_json: bool) -> None:
    from onnxport.bench.telling import lines

    if as_json:
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        click.echo(_BUCKET.sub(r"[\1, \2, \3]", text))
    else:
        click.echo("\n".join(lines(result)))


def _write(path: Path, result: Result) -> None:
    from onnxport.bench.page import render

    path.write_text(render(result), "utf-8")
    click.echo(f"wrote {path}", err=True)


def _exit_code(result: Result) -> int:
    """Says on stderr what makes the test a failure."""
    record = result.record
    if record.wrong:
        say(f"{record.wrong:,} of {record.requests:,} answers were wrong")
    elif not record.total.right and not result.is_partial:
        kinds = ", ".join([*record.failures, *(["busy"] if record.busy else [])])
        say(f"no request got a right answer: {kinds or 'none was answered in time'}")
    if result.is_partial:
        return INTERRUPTED
    return 0 if result.passed else FAILED


class View:
    """One line on a terminal, in place: how far the test is, and how it goes. Elsewhere nothing."""

    def __init__(self, load: Load) -> None:
        self._load, self._is_shown = load, on_terminal()
        self._shown_at = 0.0

    def __enter__(self) -> View:
        self._write("starting ...")
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def show(self, record: Record) -> None:
        """Called with each new count."""
        now = time.monotonic()
        if self._is_shown and now - self._shown_at >= _REFRESH:
            self._shown_at = now
            self._write(self._line(record))

    def _line(self, record: Record) -> str:
        from onnxport.bench.telling import spell

        if record.phase == "warm-up":
            return f"warming up for {self._load.warm_up:g} s ..."
        if record.phase == "end":
            return "waiting for the last answers ..."
        done = min(record.seconds / self._load.duration, 1.0)
        bar = f"[{'=' * int(_BAR * done):<{_BAR}}]"
        latency = record.total.latency
        failed = record.requests - record.total.right - record.wrong
        return (
            f"{bar} {min(record.seconds, self._load.duration):.0f} of {self._load.duration:g} s  "
            f"{record.arrived / record.seconds:,.0f} requests/s  "
            f"p50 {spell(latency.percentile(50))}  p99 {spell(latency.percentile(99))}  "
            f"{record.wrong:,} wrong  {failed:,} failed"
        )

    def _write(self, text: str) -> None:
        if self._is_shown:
            click.echo(f"\r\x1b[K{text[: _columns() - 1]}", nl=False, err=True)


def _columns() -> int:
    """The terminal's width: a line that is longer can't be written over."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS

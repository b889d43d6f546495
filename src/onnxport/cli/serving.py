"""The command that serves."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from onnxport.cli.commands import Command
from onnxport.settings import SETTINGS, Setting, read_settings


def _option(setting: Setting) -> click.Option:
    default = "" if setting.default in ("", False) else f"; default: {setting.default}"
    return click.Option(
        [setting.flag],
        type=setting.type,
        is_flag=setting.type is bool,
        default=None,
        help=f"{setting.help}  [env: {setting.env}{default}]",
    )


@click.command(cls=Command, params=[*map(_option, SETTINGS)])
@click.argument("model", type=click.Path(path_type=Path))
def serve(model: Path, **given: Any) -> int:
    """Serve a model file over HTTP.

    POST /predict answers rows, and /docs shows how; GET /model and /health/ready tell the rest. An option wins over
    its environment variable. SIGTERM finishes what was accepted, then ends with 0.
    """
    settings = read_settings(given)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would do nothing here
    with _ended_by_signals():
        from onnxport.server.run import serve as run

        return leave(run(model, settings))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
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

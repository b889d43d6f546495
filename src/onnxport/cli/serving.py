"""The command that serves."""

from __future__ import annotations

import logging
import os
import sys
import threading
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
    from onnxport.server.run import serve as run

    return leave(run(model, settings))


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

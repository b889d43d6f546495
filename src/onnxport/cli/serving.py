"""The command that serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from onnxport.cli.commands import Command
from onnxport.ending import ended_by_signals, leave
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
    with ended_by_signals():
        from onnxport.server.run import serve as run

        return leave(run(model, settings))

"""The command line: parse, call one function, print. The only place that prints or exits."""

from __future__ import annotations

import click

from onnxport.cli.adopting import adopt
from onnxport.cli.benchmarking import bench
from onnxport.cli.commands import Commands, installed_version
from onnxport.cli.files import check, inspect, openapi
from onnxport.cli.keys import key
from onnxport.cli.predictions import predict
from onnxport.cli.serving import serve
from onnxport.cli.training import demo, export


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version(), message="onnxport %(version)s")
def main() -> None:
    """One trained model in, one production API out: save it, serve it, check it.

    Exit codes: 0 fine, 1 a check or the operation failed, 2 wrong usage.
    """


for command in (demo, export, adopt, inspect, check, predict, openapi, key, serve, bench):
    main.add_command(command)

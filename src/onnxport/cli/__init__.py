"""The command line: parse, call one function, print. The only place that prints or exits."""

from __future__ import annotations

import click

from onnxport.cli.commands import Commands, version_option

# In the order of a first visit, and where each is; only the one that is called is imported.
_HOMES = {
    "demo": "training",
    "export": "training",
    "adopt": "adopting",
    "inspect": "files",
    "check": "files",
    "predict": "predictions",
    "openapi": "files",
    "key": "keys",
    "serve": "serving",
    "build": "building",
    "deploy": "deploying",
    "status": "looking",
    "logs": "looking",
    "rollback": "retreating",
    "destroy": "retreating",
    "open": "looking",
    "bench": "benchmarking",
}


@click.group(cls=Commands, homes=_HOMES, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """One trained model in, one production API out: save it, serve it, check it.

    Exit codes: 0 fine, 1 a check or the operation failed, 2 wrong usage.
    """

"""What all commands share: how failures are told, exit codes, `--debug`, and the options for a URL."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, cast

import click

from onnxport.errors import OnnxportError, SettingsError, shorten

FAILED, WRONG_USAGE, INTERRUPTED, NOT_READ = 1, 2, 130, 141
API_KEY = "ONNXPORT_API_KEY"
TIMEOUT = 30.0

# Which extra brings a module.
EXTRAS = {
    "boto3": "aws",
    "botocore": "aws",
    "catboost": "catboost",
    "joblib": "export",
    "lightgbm": "lightgbm",
    "onnx": "export",
    "pandas": "export",
    "sklearn": "export",
    "torch": "torch",
    "xgboost": "xgboost",
}

_DEBUG = "onnxport.debug"


def _debug_option() -> click.Option:
    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.meta[_DEBUG] = True

    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Show the traceback of an error.",
    )


class Command(click.Command):
    """A command with `--debug`. What it returns is the exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_debug_option())


class Commands(click.Group):
    """The group: tells every failure in a line or two on stderr, and ends with the exit code that fits.

    homes: the module of each command, below onnxport.cli.
    """

    def __init__(self, *args: Any, homes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_debug_option())
        self._homes = homes
        self.commands = {
            name: click.Command(name) for name in homes
        }  # names alone: see get_command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._homes)  # in the order of a first visit, not of the alphabet

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._homes:
            return None
        found = getattr(import_module(f"onnxport.cli.{self._homes[cmd_name]}"), cmd_name)
        return cast(click.Command, found)

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs |= {"standalone_mode": False, "prog_name": "onnxport"}
        try:
            code = super().main(*args, **kwargs)
        except click.exceptions.NoArgsIsHelpError as err:
            click.echo(err.format_message(), err=True)
            code = WRONG_USAGE
        except click.UsageError as err:
            say(err.format_message())
            command = err.ctx.command_path if err.ctx else "onnxport"
            click.echo(f"Try '{command} --help'.", err=True)
            code = WRONG_USAGE
        except click.ClickException as err:
            say(err.format_message())
            code = FAILED
        except click.Abort:
            code = INTERRUPTED
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # the reader, such as `head`, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return NOT_READ
        except Exception as err:
            if ctx.meta.get(_DEBUG):
                traceback.print_exc()
            say(explain(err))
            wrong = isinstance(err, SettingsError) and not isinstance(err.__cause__, OSError)
            return (
                WRONG_USAGE if wrong else FAILED
            )  # a setting that the machine refuses is no wrong usage


def say(message: str) -> None:
    """One message on stderr, marked as ours."""
    click.echo(f"onnxport: {message}", err=True)


def explain(err: Exception) -> str:
    """What went wrong and what to do, for somebody who reads no tracebacks."""
    if isinstance(err, OnnxportError):
        return str(err)
    if isinstance(err, ModuleNotFoundError) and err.name:
        if err.name.startswith("onnxport."):
            return "an image holds what serves alone; run this on the machine where models are made"
        extra = EXTRAS.get(err.name.partition(".")[0])
        if extra:
            return (
                f"this needs the {extra} extra ({err.name} is missing): "
                f"pip install '.[{extra}]' in the clone of onnxport"
            )
    if isinstance(err, OSError) and err.strerror:
        return f"{err.filename}: {err.strerror}" if err.filename else err.strerror
    told = shorten(str(err), 200)
    return f"unexpected {type(err).__name__}: {told}; run it again with --debug, and report it"


def version_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--version`."""

    def tell(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            click.echo(f"onnxport {installed_version()}")
            context.exit()

    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=tell,
        help="Show the version and exit.",
    )(command)


def installed_version() -> str:
    from importlib import metadata  # takes as long as all else of a short command

    try:
        return metadata.version("onnxport")
    except metadata.PackageNotFoundError:
        return "of a source tree that is not installed"


# ------------------------------------------------------------------------------------------- commands that call a URL


def url_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--api-key-file` and `--timeout`."""
    key = click.option(
        "--api-key-file",
        type=click.Path(path_type=Path),
        help=f"File with the API key for a URL; else the key is taken from {API_KEY}.",
    )
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT,
        show_default=True,
        help="Seconds that one call to a URL may take.",
    )
    return key(timeout(command))


def is_url(target: str) -> bool:
    """Whether it is a URL rather than a path. Raises UsageError for a URL of another kind."""
    scheme = re.match(r"[a-z][a-z0-9+.-]*://", target, re.IGNORECASE)
    if scheme and scheme[0].lower() not in ("http://", "https://"):
        raise click.UsageError(f"{shorten(target)}: only http:// and https:// URLs are called")
    return scheme is not None


def read_api_key(path: Path | None) -> str | None:
    """The key for a URL: from the file, else from the environment; never from an argument, which others can read."""
    if path is None:
        return os.environ.get(API_KEY) or None
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not a text file"
        raise click.UsageError(f"--api-key-file {path}: {reason}") from err

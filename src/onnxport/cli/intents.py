"""What the commands about deployments share: the options of an intent, where its file is, and who may be asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli.commands import say
from onnxport.errors import SettingsError

if TYPE_CHECKING:
    from onnxport.deploy.intent import Intent, Option

FILE = "onnxport.toml"
_OF_ALL = ("app", "environment", "region")

FILE_OPTION = click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(FILE),
    show_default=True,
    help="The file of intent.",
)
YES_OPTION = click.option("--yes", "-y", is_flag=True, help="Don't ask before anything is changed.")


@dataclass(frozen=True, slots=True)
class Told:
    """What the user told: the intent, and the folder that paths in it start from."""

    intent: Intent
    folder: Path

    @property
    def state(self) -> Path:
        """The folder of the journal."""
        from onnxport.deploy.starting import STATE_FOLDER

        return self.folder / STATE_FOLDER


def intent_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Flags for options of the table. names: which, else all."""
    from onnxport.deploy.intent import OPTIONS

    chosen = [option for option in OPTIONS if not names or option.name in names]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(chosen):
            command = _flag(option)(command)
        return command

    return add


def of_all(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that say which deployment is meant."""
    return FILE_OPTION(intent_options(*_OF_ALL)(command))


def _flag(option: Option) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    shown = ",".join(option.default) if option.type is tuple else option.default
    told = f"  [default: {shown}]" if shown not in ("", 0.0) and option.type is not bool else ""
    if option.type is bool:
        spelt = f"{option.flag}/--no-{option.flag[2:]}"
        return click.option(spelt, option.parameter, default=None, help=option.help)
    kind = str if option.type is tuple else option.type
    return click.option(
        option.flag, option.parameter, type=kind, default=None, help=option.help + told
    )


def read_told(file: Path, flags: Mapping[str, Any]) -> Told:
    """The intent in force. Without the file, flags alone do if they name the application."""
    from onnxport.deploy.reading import read_intent

    alone = not file.exists() and flags.get("app") is not None
    return Told(read_intent(None if alone else file, flags), file.resolve().parent)


def confirm(question: str, *, yes: bool, word: str | None = None) -> None:
    """Asks. word: what must be typed for a yes.

    Raises ClickException for a no, and UsageError where nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "nobody can be asked here; look at the plan with --dry-run, then give --yes"
        )
    try:
        if word is None:
            if not click.confirm(question, err=True):
                raise click.ClickException("nothing was changed")
            return
        typed = click.prompt(
            f"{question} Type {word} to go on", err=True, default="", show_default=False
        )
    except click.Abort:
        say("interrupted; nothing was changed")
        raise
    if typed.strip() != word:
        raise click.ClickException(f"{word} wasn't typed; nothing was changed")


def key_lines_of(told: Told) -> tuple[str | None, tuple[str, ...]]:
    """The key for golden requests, and the lines of hashes for the server; warns of a key that others can read.

    Raises SettingsError.
    """
    from onnxport.deploy.access import exposed

    found = _keys(told)
    if warning := exposed(told.intent, told.folder):
        say(f"warning: {warning}")
    return found


def _keys(told: Told) -> tuple[str | None, tuple[str, ...]]:
    from onnxport.deploy.access import hash_lines, read_key

    key = read_key(told.intent, told.folder)
    return key, hash_lines(told.intent, told.folder, key)


def known_keys(told: Told) -> tuple[str | None, tuple[str, ...] | None]:
    """The same where commands only look: None for keys that aren't here."""
    try:
        return _keys(told)
    except SettingsError:
        return None, None


def model_if_here(told: Told) -> Path | None:
    """The model file, where it is here."""
    from onnxport.deploy.locating import find_model

    try:
        return find_model(told.intent, told.folder)
    except SettingsError:
        return None

"""Writes docs/reference/ from the code: `cli.md` from the commands, `settings.md` from the table of settings,
`estimators.md` from the registry of the exporter, `deploy-options.md` from the table of `onnxport.toml`,
`preflight.md` from the table of checks before a deployment.

`python tools/reference.py` writes; with `--check` it writes nothing and exits with 1 where a page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from onnxport import cli
from onnxport.deploy.intent import FREE_TABLES, OPTIONS, TABLES, Intent, Option
from onnxport.deploy.options import option_settings
from onnxport.deploy.preflight.table import CHECKS
from onnxport.deploy.server_settings import NAMES
from onnxport.deploy.starting import as_toml
from onnxport.export.registry import EXACT_BAR, ROUGH_BAR, TOLERANT_BAR
from onnxport.export.support import KINDS, Entry, sentence, support_table
from onnxport.settings import SETTINGS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
GENERATED = "<!-- Written by tools/reference.py (`make docs`); edits here are lost. -->\n"
WIDTH = 80


def command_page() -> str:
    """Every command with its full --help."""
    parts = [f"# The command line\n\n{GENERATED}"]
    for path, help_text in _commands(cli.main, "onnxport", None):
        parts.append(f"## `{path}`\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


def _commands(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    if not command.hidden:
        yield context.command_path, command.get_help(context).rstrip()
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from _commands(found, child, context)


def settings_page() -> str:
    """One row for each setting of the table in onnxport.settings."""
    lines = [
        "# Settings",
        "",
        GENERATED,
        "Each setting is taken from the command line, then from the environment, then from its default.",
        "",
        "| setting | option | environment | type | default | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        default = "(empty)" if setting.default in ("", None) else f"`{setting.default}`"
        cells = [
            f"`{setting.name}`",
            f"`{setting.flag}`",
            f"`{setting.env}`",
            setting.type.__name__,
            default,
            setting.help,
        ]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def estimators_page() -> str:
    """One row for each class of the support table."""
    entries = support_table()
    parts = [
        "# Estimators that can be saved",
        "",
        GENERATED,
        f"`exact`: numbers may differ by {EXACT_BAR:g}, relative to max(1, |answer|).",
        f"`tolerant`: by {TOLERANT_BAR:g}, where ONNX Runtime or the library itself computes in float32 or iterates.",
        f"Of XGBoost, which computes in float32, by {ROUGH_BAR:g}.",
        "A label never differs. [Parity](../3-parity.md) tells how this is proven.",
        "",
        "A class that isn't listed is refused, and so is a subclass of a listed one. The third column names the",
        "parameters that are refused, why, and what to do; the last one the version that converted the class first.",
        "`onnxport export --list` prints the same.",
    ]
    for kind in KINDS:
        chosen = [entry for entry in entries if entry.kind == kind]
        if not chosen:
            continue
        head = ["class", "level", "refused", "since"]
        if chosen[0].level == "unsupported":
            head = ["class", "level", "why", "instead"]
        parts += ["", f"## {kind}", "", _row(head), "|---" * len(head) + "|"]
        parts += [_row(_cells(entry)) for entry in chosen]
    return "\n".join(parts) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(entry: Entry) -> list[str]:
    if entry.level == "unsupported":
        return [f"`{entry.name}`", entry.level, entry.reason or "", entry.nearest or ""]
    refused = (f"`{r.parameter}`: {sentence(r)}" for r in entry.refused)
    return [f"`{entry.name}`", entry.level, "<br>".join(refused), entry.since or ""]


def deploy_page() -> str:
    """One row for each option of `onnxport.toml`, and what Elastic Beanstalk is told by default."""
    parts = [
        "# Options of a deployment",
        "",
        GENERATED,
        "Each option stands in `onnxport.toml`, which `onnxport deploy --init` writes, and is a flag of",
        "`onnxport deploy`, which goes before the file. A flag takes a list by commas.",
        "",
        "## At the top of the file",
        "",
        *_deploy_table(""),
    ]
    for table, told in TABLES.items():
        parts += ["", f"## `[{table}]`", "", told, "", *_deploy_table(table)]
    parts += ["", "## `[server]`", "", FREE_TABLES["server"], ""]
    parts += [
        f"Known here: {', '.join(f'`{name}`' for name in NAMES)}; see [settings](settings.md)."
    ]
    parts += ["", "## `[tags]`", "", FREE_TABLES["tags"]]
    parts += ["", "## What Elastic Beanstalk is told by default", ""]
    parts += [_row(["namespace", "option", "value"]), "|---|---|---|"]
    settings = option_settings(
        Intent(app="iris"),
        instance_profile="onnxport-iris-us-east-1-ec2",
        service_role="aws-elasticbeanstalk-service-role",
        key_lines=["deploy:SHA256"],
    )
    parts += [
        _row([each["Namespace"], each["OptionName"], f"`{each['Value']}`"]) for each in settings
    ]
    return "\n".join(parts) + "\n"


def _deploy_table(table: str) -> Iterator[str]:
    yield _row(["option", "flag", "default", "must be", "meaning"])
    yield "|---|---|---|---|---|"
    for option in OPTIONS:
        if option.table == table:
            default = f"`{as_toml(option.default)}`" if option.default not in ("", ()) else ""
            cells = [f"`{option.key}`", f"`{option.flag}`", default, _must_be(option), option.help]
            yield _row(cells)


def _must_be(option: Option) -> str:
    return "`true` or `false`" if option.type is bool else option.form.wanted


# What a check needs last, and the heading above those that do.
_NEEDS = (
    ("nothing", "With onnxport.toml alone"),
    ("model", "With the model file"),
    ("image", "With the image"),
    ("engine", "With the image and a container engine"),
    ("account", "With AWS credentials, read only"),
)


def preflight_page() -> str:
    """One row for each check of the table in onnxport.deploy.preflight."""
    parts = [
        "# Checks before a deployment",
        "",
        GENERATED,
        "`onnxport deploy --preflight` makes them all and changes nothing; the last table alone needs credentials.",
        "Each check is `ok`, a `warning`, `failed`, or `skipped` with the reason: what can't be looked at is never",
        "taken for fine. Beside each it says what was looked at, and the fix.",
    ]
    for needs, title in _NEEDS:
        chosen = [check for check in CHECKS if (check.needs or ("nothing",))[-1] == needs]
        parts += ["", f"## {title}", "", _row(["check", "what", "fires when", "prevents"])]
        parts.append("|---" * 4 + "|")
        parts += [_row([c.id, c.title, c.fails_when, c.prevents]) for c in chosen]
    return "\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    return {
        FOLDER / "cli.md": command_page(),
        FOLDER / "deploy-options.md": deploy_page(),
        FOLDER / "estimators.md": estimators_page(),
        FOLDER / "preflight.md": preflight_page(),
        FOLDER / "settings.md": settings_page(),
    }


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python tools/reference.py [--check]", file=sys.stderr)
        return 2
    stale = {
        path: text
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    if arguments:
        for path in stale:
            print(f"{path.name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote docs/reference/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

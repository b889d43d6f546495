"""Writes docs/reference/ from the code: `cli.md` from the commands, `settings.md` from the table of settings,
`estimators.md` from the registry of the exporter.

`python tools/reference.py` writes; with `--check` it writes nothing and exits with 1 where a page is stale.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin

from onnxport import cli
from onnxport.export.emitters import RULES
from onnxport.export.registry import EXACT_BAR, TOLERANT_BAR, Rule
from onnxport.settings import SETTINGS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
GENERATED = "<!-- Written by tools/reference.py (`make docs`); edits here are lost. -->\n"
WIDTH = 80


def command_page() -> str:
    """Every command with its full --help."""
    parts = [f"# The command line\n\n{GENERATED}"]
    for path, help_text in _commands(_outermost(), "onnxport", None):
        parts.append(f"## `{path}`\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


def _outermost() -> click.Group:
    groups = [value for value in vars(cli).values() if isinstance(value, click.Group)]
    inner = {id(command) for group in groups for command in group.commands.values()}
    return next(group for group in groups if id(group) not in inner)


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
                yield from _commands(command.commands[child], child, context)


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
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def estimators_page() -> str:
    """One row for each class of the exporter's registry, in four tables."""
    parts = [
        "# Estimators that can be saved",
        "",
        GENERATED,
        f"`exact`: numbers may differ by {EXACT_BAR:g}, relative to max(1, |answer|).",
        f"`tolerant`: by {TOLERANT_BAR:g}, for kernels and neural networks.",
        "A label never differs. [Parity](../3-parity.md) tells how this is proven.",
        "",
        "A class that isn't listed is refused, and so is a subclass of a listed one.",
        "The last column names the parameters that are refused, and what to do.",
    ]
    for title in ("Classifiers", "Regressors", "Transformers", "Pipelines and searches"):
        rules = [rule for rule in RULES.values() if _kind(rule.estimator) == title]
        parts += ["", f"## {title}", "", "| class | level | refused |", "|---|---|---|"]
        parts += [
            _estimator_row(rule) for rule in sorted(rules, key=lambda r: r.estimator.__name__)
        ]
    return "\n".join(parts) + "\n"


def _kind(estimator: type) -> str:
    mixins = {
        ClassifierMixin: "Classifiers",
        RegressorMixin: "Regressors",
        TransformerMixin: "Transformers",
    }
    found = (title for mixin, title in mixins.items() if issubclass(estimator, mixin))
    return next(found, "Pipelines and searches")


def _estimator_row(rule: Rule) -> str:
    refused = [f"`{parameter}`: {nearest}" for parameter, nearest in _refusals(rule.check)]
    return f"| `{rule.estimator.__name__}` | {rule.level} | {' '.join(refused)} |"


def _refusals(check: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """The parameters that a check can refuse, and the nearest choice, as its own text has them."""
    if check.__name__ == "<lambda>":  # the default, which refuses nothing
        return
    for node in ast.walk(ast.parse(inspect.getsource(check))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id == "Refusal":
            parameter, _, nearest = node.args
            yield ast.literal_eval(parameter), ast.literal_eval(nearest)
        elif inspect.isfunction(other := vars(sys.modules[check.__module__]).get(node.func.id)):
            yield from _refusals(other)


def pages() -> dict[Path, str]:
    return {
        FOLDER / "cli.md": command_page(),
        FOLDER / "estimators.md": estimators_page(),
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

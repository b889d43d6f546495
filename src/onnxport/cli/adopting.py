"""The command `adopt`, and what `inspect --doctor` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli.commands import FAILED, Command, say
from onnxport.cli.progress import progress
from onnxport.errors import shorten

if TYPE_CHECKING:
    from onnxport.export.adopting import Finding
    from onnxport.export.report import Report

_FILE_SUFFIX = ".json"


@click.command(cls=Command)
@click.argument("model", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The model file to write.",
)
@click.option(
    "--features",
    metavar="A,B|FILE.json",
    help="Names of the columns, in the order of the inputs; or {name: {description, unit}}.",
)
@click.option(
    "--labels",
    metavar="X,Y|FILE.json",
    help="Names of the classes, in the order of the scores; or {class: name}.",
)
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    help="Real rows to compare on: .csv, .json, or .npz by input. Else rows are drawn.",
)
@click.option("--nullable", metavar="A,B|*", help="Features that take null, fed as NaN.")
@click.option(
    "--output",
    "outputs",
    metavar="NAME",
    multiple=True,
    help="An output to answer, else all are; repeat it.",
)
@click.option("--name", help="The model's name; else the output's.")
@click.option("--version", "version", help="The model's version; else the time of adoption.")
@click.option("--description", help="What the model predicts, for those who call it.")
@click.option("--author", help="Who is responsible for the model.")
@click.option("--license", help="The model's licence.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def adopt(
    model: Path,
    out: Path,
    features: str | None,
    labels: str | None,
    sample: Path | None,
    nullable: str | None,
    outputs: tuple[str, ...],
    name: str | None,
    version: str | None,
    description: str | None,
    author: str | None,
    license: str | None,
    as_json: bool,
) -> None:
    """Make a model file of an ONNX file that another tool wrote.

    It is repaired where that is needed, and written only when it was proven to answer like the original file.
    """
    chosen = {"features": _names("--features", features), "labels": _names("--labels", labels)}
    with progress(f"loading {model.name}"):
        from onnxport.export.adopting import adopt as adopt_file
        from onnxport.export.adopting.adopt import STEPS
    with progress(f"adopting {model.name}", steps=STEPS) as tell:
        report = adopt_file(
            model,
            out,
            **chosen,
            sample=sample,
            nullable=_list(nullable),
            outputs=outputs,
            name=name,
            version=version,
            description=description,
            author=author,
            license=license,
            progress=tell,
        )
    _print(report, as_json=as_json)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        document = {
            "path": str(report.path),
            "size": report.size,
            "manifest": dict(report.manifest),
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    click.echo(repr(report))
    for repair in report.manifest["source"].get("repairs", ()):
        click.echo(f"  note  {repair}")


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _names(option: str, text: str | None) -> Any:
    """A list of names, or what a JSON file says: a list or a mapping."""
    if text is None:
        return None
    if not text.lower().endswith(_FILE_SUFFIX):
        return _list(text)
    path = Path(text)
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is not JSON"
        raise click.UsageError(f"{option} {shorten(path.name)}: {why}") from err
    if not isinstance(told, (list, dict)) or not told:
        raise click.UsageError(f"{option} {shorten(path.name)}: it holds no list and no object")
    plain = all(isinstance(each, (str, int, float)) for each in told)
    if not plain:
        raise click.UsageError(f"{option} {shorten(path.name)}: it takes a list of names")
    return told


def print_findings(model: Path, *, as_json: bool) -> int:
    """`inspect --doctor`: what stands between an ONNX file and a model file. 0 where it can be adopted."""
    from onnxport.export.adopting import examine

    findings = examine(model)
    adoptable = all(finding.curable for finding in findings)
    if as_json:
        told = {
            "adoptable": adoptable,
            "findings": [finding.to_json() for finding in findings],
        }
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join([*_lines(findings), _verdict(model, adoptable=adoptable)]))
    if not adoptable:
        first = next(finding for finding in findings if not finding.curable)
        say(f"{shorten(model.name)} can't be adopted: {first.text}")
    return 0 if adoptable else FAILED


def _lines(findings: Sequence[Finding]) -> list[str]:
    return [f"{'mends' if f.curable else 'stops'}  {f.code:<16} {f.text}" for f in findings]


def _verdict(model: Path, *, adoptable: bool) -> str:
    name = shorten(model.name)
    if adoptable:
        return f"{name} can be adopted: onnxport adopt {name} -o MODEL.onnx"
    return f"{name} can't be adopted as it is"

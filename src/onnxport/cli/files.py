"""Commands about one model file: inspect, check, openapi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxport.cli.adopting import print_findings
from onnxport.cli.commands import FAILED, Command, is_url, read_api_key, say, url_options

if TYPE_CHECKING:
    from onnxport.check import CheckReport
    from onnxport.modelfile import ModelFile

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--doctor",
    is_flag=True,
    help="For an ONNX file of another tool: tell whether adopt can take it, and what it would mend.",
)
@JSON_OPTION
def inspect(model: Path, doctor: bool, as_json: bool) -> int | None:
    """Show what a model file says of itself. Verifies the file, runs nothing, unless --doctor is given."""
    from onnxport.display import describe
    from onnxport.modelfile import read_model_file

    if doctor:
        return print_findings(model, as_json=as_json)
    file = read_model_file(model)
    if as_json:
        click.echo(json.dumps(_facts(file), indent=2, ensure_ascii=False))
        return None
    click.echo(describe(file.manifest))
    click.echo(
        f"file {model.name}\n"
        f"  format           {file.manifest['format']}\n"
        f"  size             {len(file.content):,} bytes\n"
        f"  self-test rows   {file.selftest.rows}\n"
        f"  digest           {file.digest}"
    )
    return None


def _facts(file: ModelFile) -> dict[str, Any]:
    return {
        "format": file.manifest["format"],
        "manifest": dict(file.manifest),
        "selftest_rows": file.selftest.rows,
        "baseline": file.baseline,
        "digest": file.digest,
        "size": len(file.content),
    }


@click.command(cls=Command)
@click.argument("target", metavar="MODEL|URL")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="The model file that the URL should serve.",
)
@JSON_OPTION
@url_options
def check(
    target: str, model: Path | None, as_json: bool, api_key_file: Path | None, timeout: float
) -> int:
    """Prove that a file, or a server, answers rightly.

    A file is verified and its self-test rows run here. To a URL the same rows are sent over HTTP, one by one and as a
    list, and the answers compared with the stored ones.
    """
    report = _check(target, model, api_key_file, timeout)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(report.lines()))
    if report.passed:
        return 0
    first = next(f.text for f in report.findings if f.verdict == "failure")
    say(f"the check failed: {first}")
    return FAILED


def _check(target: str, model: Path | None, key: Path | None, timeout: float) -> CheckReport:
    from onnxport.check import check_file, check_url

    if is_url(target):
        if model is None:
            raise click.UsageError("to check a URL, name the model file that it serves: --model")
        try:
            return check_url(target, model, api_key=read_api_key(key), timeout=timeout)
        except ValueError as err:
            raise click.UsageError(str(err)) from err
    if model is not None:
        raise click.UsageError("--model goes with a URL; a model file is checked by itself")
    return check_file(target)


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path))
def openapi(model: Path) -> None:
    """Print the API's OpenAPI description as JSON."""
    from onnxport.server.app import create_app

    click.echo(json.dumps(create_app(model).openapi(), indent=2, ensure_ascii=False))

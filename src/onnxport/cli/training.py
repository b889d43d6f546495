"""Commands that make a model file: export, demo."""

from __future__ import annotations

import errno
import json
import shutil
import sys
import tempfile
from pathlib import Path

import click

from onnxport.cli.commands import Command
from onnxport.cli.progress import progress
from onnxport.ending import leave
from onnxport.errors import SettingsError
from onnxport.settings import Settings, read_settings


class ExportCommand(Command):
    """`--list` asks for the table alone, without what an export needs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        if given.get("listed") and not given.get("help"):
            _list_estimators(as_json=bool(given.get("as_json")))
            ctx.exit()
        return super().parse_args(ctx, args)


def _list_estimators(*, as_json: bool) -> None:
    with progress("loading scikit-learn"):
        from onnxport.export import support

        table = support.support_table()
    if as_json:
        click.echo(json.dumps(support.as_json(table), indent=2, ensure_ascii=False))
    else:
        click.echo(support.as_text(table, min(shutil.get_terminal_size((100, 24)).columns, 120)))


@click.command(cls=ExportCommand)
@click.argument("source", metavar="MODULE:OBJECT|FILE.joblib")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Training data: .csv or .parquet.",
)
@click.option("--target", metavar="COLUMN", help="The column that the model predicts.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The model file to write.",
)
@click.option("--trust", is_flag=True, help="Load a pickle: this runs whatever code it holds.")
@click.option("--name", help="The model's name; else the output's.")
@click.option("--version", "version", help="The model's version; else the time of saving.")
@click.option("--description", help="What the model predicts, for those who call it.")
@click.option("--author", help="Who is responsible for the model.")
@click.option("--license", help="The model's licence.")
@click.option(
    "--label", "labels", multiple=True, help="A class's name, in the order of classes_; repeat it."
)
@click.option(
    "--redact",
    metavar="FEATURE",
    multiple=True,
    help="Keep its categories and ranges out of the file; repeat it.",
)
@click.option(
    "--allow-mismatch",
    is_flag=True,
    help="Write the file although it answers differently. It says so wherever it goes.",
)
@click.option(
    "--list",
    "listed",
    is_flag=True,
    expose_value=False,
    help="Print which classes can be saved, and stop; needs nothing else.",
)
@click.option(
    "--json", "as_json", is_flag=True, expose_value=False, help="With --list: print JSON."
)
def export(
    source: str,
    data: Path,
    target: str | None,
    output: Path,
    trust: bool,
    name: str | None,
    version: str | None,
    description: str | None,
    author: str | None,
    license: str | None,
    labels: tuple[str, ...],
    redact: tuple[str, ...],
    allow_mismatch: bool,
) -> None:
    """Save a fitted estimator as a proven model file.

    What is written answers exactly as the estimator; else nothing is written, and the reason is told.

    The object is a fitted estimator, or a function that returns one; modules are searched for in this directory too.
    """
    if not output.parent.is_dir():
        raise click.UsageError(f"--output {output}: its folder doesn't exist; create it first")
    with progress(f"loading {source} and {data.name}"):
        from onnxport.export.saving import STEPS, save
        from onnxport.export.source import load_object, read_table, split_table

        estimator = load_object(source, trust=trust)
        training = split_table(estimator, read_table(data), target)
    if training.left_out:
        listed = ", ".join(training.left_out)
        click.echo(f"left out, as the estimator was not fitted on them: {listed}", err=True)
    with progress(f"saving {output.name}", steps=STEPS) as tell:
        report = save(
            estimator,
            output,
            training.X,
            training.y,
            name=name,
            version=version,
            description=description,
            author=author,
            license=license,
            labels=list(labels) or None,
            redact=redact,
            allow_mismatch=allow_mismatch,
            progress=tell,
        )
    click.echo(repr(report))


@click.command(cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/demo/iris.onnx"),
    show_default=True,
    help="The model file to write.",
)
@click.option("--serve/--no-serve", "then_serve", default=True, help="Serve it afterwards, or not.")
def demo(port: int, output: Path, then_serve: bool) -> int:
    """Train iris, save it, serve it, and say what to try. Ctrl-C ends it."""
    settings = read_settings({"host": "127.0.0.1", "port": port})
    with progress(f"checking {output.parent}" + (f" and port {port}" if then_serve else "")):
        _check_output(output)
        if then_serve:
            _check_port(settings)
    with progress("loading scikit-learn and training a random forest on iris"):
        from onnxport.export.iris import train_iris
        from onnxport.export.saving import STEPS, save

        iris = train_iris()
    with progress(f"saving {output}", steps=STEPS) as tell:
        report = save(
            iris.estimator,
            output,
            iris.X,
            iris.y,
            name="iris",
            description="The species of an iris by the size of its flower.",
            features={name: {"unit": "cm"} for name in iris.X.columns},
            progress=tell,
        )
    click.echo(repr(report))
    if not then_serve:
        return 0
    from onnxport.server.run import serve

    row = {str(name): float(value) for name, value in iris.X.iloc[0].items()}
    return leave(serve(output, settings, on_ready=lambda url: click.echo(_what_to_try(url, row))))


def _check_output(output: Path) -> None:
    """Before the training: its folder is made, and takes a file."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as err:
        raise click.ClickException(
            f"--output {output}: its folder can't be written ({err.strerror}); name another"
        ) from err
    if output.is_dir():
        raise click.ClickException(f"--output {output} is a folder; name a file")


def _check_port(settings: Settings) -> None:
    """Before the training: nobody else listens there."""
    from onnxport.server.run import bind

    try:
        bind(settings).close()
    except SettingsError as err:
        if isinstance(err.__cause__, OSError) and err.__cause__.errno == errno.EADDRINUSE:
            raise SettingsError(f"{err}; make demo PORT=9000 takes another") from err.__cause__
        raise


def _what_to_try(url: str, row: dict[str, float]) -> str:
    """Three things, to be copied as they stand."""
    body = json.dumps(row)
    return (
        f"\nThe docs, to try it in the browser:\n\n    {url}/docs\n\n"
        f"curl:\n\n    curl -s {url}/predict -H 'Content-Type: application/json' -d '{body}'\n\n"
        f"Python{_how_to_python()}:\n\n    from onnxport import Client\n\n"
        f'    with Client("{url}") as client:\n        print(client.predict({body}))\n\n'
        "Ctrl-C ends the demo."
    )


def _how_to_python() -> str:
    """The clone's own environment has to be named; any other is the one that the reader has chosen."""
    ours = sys.prefix != sys.base_prefix and Path(sys.prefix).resolve() == Path(".venv").resolve()
    return " (with .venv/bin/python, or after `. .venv/bin/activate`)" if ours else ""

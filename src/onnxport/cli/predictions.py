"""The command that answers rows: with a model file here, or by asking a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from onnxport.cli.commands import Command, is_url, read_api_key, url_options
from onnxport.cli.progress import Count
from onnxport.cli.rows import (
    BadRows,
    Chunk,
    Form,
    Source,
    open_source,
    read_json,
    read_json_lines,
)
from onnxport.cli.tables import Column, read_csv
from onnxport.errors import RequestError


@dataclass(frozen=True, slots=True)
class Predictor:
    """What answers a row or a list of rows. columns: its features, asked for only where a table needs them."""

    answer: Callable[[Any], Any]
    columns: Callable[[], Sequence[Column]]


@click.command(cls=Command)
@click.argument("model", metavar="MODEL|URL")
@click.argument("rows", metavar="ROWS", type=click.File("rb"))
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "jsonl", "csv"]),
    help="What ROWS holds; else its suffix or its first lines tell.",
)
@url_options
def predict(
    model: str, rows: BinaryIO, form: Form | None, api_key_file: Path | None, timeout: float
) -> None:
    """Answer the rows of a file, or of standard input (-).

    One JSON object gets one JSON object; a list, JSON lines or CSV get one JSON object a line, in the same order. The
    first line of a CSV file names the features; an empty cell is null where the feature may be null.
    """
    count = Count()
    with _open_predictor(model, api_key_file, timeout) as predictor:
        source = open_source(rows, form)
        for chunk in _chunks(source, predictor):
            answers = _answer(predictor, source, chunk)
            click.echo(b"".join(_line(answer) for answer in answers), nl=False)
            count.add(len(answers))


@contextmanager
def _open_predictor(target: str, key: Path | None, timeout: float) -> Iterator[Predictor]:
    if not is_url(target):
        yield _local(target)
        return
    from onnxport.client import Client

    try:
        client = Client(target, api_key=read_api_key(key), timeout=timeout)
    except ValueError as err:
        raise click.UsageError(str(err)) from err
    with client:
        yield Predictor(client.predict, lambda: _told_columns(client.model()))


def _local(path: str) -> Predictor:
    from onnxport.codec import read_rows
    from onnxport.predictor import load
    from onnxport.schema import json_type

    model = load(path)
    signature = model.signature
    columns = [Column(f.name, json_type(f), f.nullable) for f in signature.features]

    def answer(document: Any) -> Any:
        return json.loads(model.answer_json(read_rows(signature, document)))

    return Predictor(answer, lambda: columns)


def _told_columns(facts: dict[str, Any]) -> Sequence[Column]:
    """The features as GET /model tells them."""
    try:
        return [Column(f["name"], f["type"], f["nullable"]) for f in facts["features"]]
    except (KeyError, TypeError) as err:
        raise click.ClickException(
            "the server's /model lists no features that can be read"
        ) from err


def _chunks(source: Source, predictor: Predictor) -> Iterator[Chunk]:
    if source.form == "csv":
        return read_csv(source, predictor.columns())
    return read_json_lines(source) if source.form == "jsonl" else read_json(source)


def _answer(predictor: Predictor, source: Source, chunk: Chunk) -> list[Any]:
    """All answers of a chunk, or none: a refused row is named by where it stands in its file."""
    try:
        if chunk.single:
            return [predictor.answer(chunk.rows[0])]
        answers: list[Any] = predictor.answer(chunk.rows)
        return answers
    except RequestError as err:
        raise BadRows(f"{source.name}: {_placed(err, chunk)}") from err


def _placed(err: RequestError, chunk: Chunk) -> str:
    first = err.details[0]
    more = f" (and {len(err.details) - 1} more)" if len(err.details) > 1 else ""
    row = first.loc[0] if first.loc and not chunk.single else None
    message = first.message
    if isinstance(row, int) and message.startswith(f"row {row}"):
        message = chunk.places[row] + message.removeprefix(f"row {row}")
    return message + more


def _line(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode() + b"\n"

"""What is asked, and what the right answers are: the self-test rows of a model file, those that it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxport.bench.exchange import Question
from onnxport.bench.judging import Elements, Exactly
from onnxport.client.bodies import encode_row
from onnxport.codec import answer_rows
from onnxport.errors import ModelFileError, RequestError
from onnxport.modelfile import ModelFile
from onnxport.predictor import Model, load
from onnxport.signature import Signature
from onnxport.stored import restore_some

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Questions:
    """Different requests to ask in turn. left_out: self-test rows that the model itself refuses."""

    name: str
    version: str
    digest: str
    tolerance: float
    rows_per_request: int
    asked: tuple[Question, ...]
    left_out: int


def read_questions(
    path: str | Path, rows_per_request: int, *, most_bytes: int = MAX_BYTES
) -> Questions:
    """Requests of so many rows each, out of a model file that has passed its self-test here.

    A single row goes out as an object, several as a list. most_bytes: of all bodies, of which there is one at least.
    Raises ModelFileError where the file can't be used.
    """
    model = load(path)
    rows = [model.file.selftest.row(i) for i in range(model.file.selftest.rows)]
    pairs = [
        (body, expected)
        for body, expected in zip(map(encode_row, rows), _expected(model.file), strict=True)
        if _is_answered(model, body)
    ]
    if not pairs:
        raise ModelFileError("the model refuses all rows of its own self-test; save it again")
    return Questions(
        name=model.manifest.name,
        version=model.manifest.version,
        digest=model.file.digest,
        tolerance=model.file.selftest.tolerance,
        rows_per_request=rows_per_request,
        asked=tuple(_requests(pairs, rows_per_request, most_bytes)),
        left_out=len(rows) - len(pairs),
    )


def _is_answered(model: Model, body: bytes) -> bool:
    try:
        model.predict_json(body)
    except RequestError:
        return False
    return True


def _requests(pairs: list[tuple[bytes, Any]], rows: int, most_bytes: int) -> Iterator[Question]:
    """One request that begins with each row, as far as memory allows."""
    if rows == 1:
        yield from (Question(*pair) for pair in pairs)
        return
    size = 0
    for first in range(len(pairs)):
        chosen = [pairs[(first + i) % len(pairs)] for i in range(rows)]
        body = b"[" + b",".join(text for text, _ in chosen) + b"]"
        size += len(body)
        if first and size > most_bytes:
            return
        yield Question(body, [expected for _, expected in chosen])


def _expected(file: ModelFile) -> list[Any]:
    """The stored answers, one a row."""
    signature, expect = file.manifest.signature, file.selftest.expect
    if signature.task == "tensor":
        names = [output.tensor for output in signature.outputs if output.role == "tensor"]
        columns = zip(*(expect[name] for name in names), strict=True)
        return [dict(zip(names, map(_elements, row), strict=True)) for row in columns]
    outputs = {
        output.tensor: np.array(
            expect[output.tensor], dtype=np.int64 if output.role == "label_code" else np.float64
        )
        for output in signature.outputs
        if output.role != "refused"
    }
    return [_exact_labels(signature, answer) for answer in answer_rows(signature, outputs)]


def _elements(entry: dict[str, Any]) -> Elements:
    shape, every, values = restore_some(entry)
    return Elements(shape, every, tuple(values.tolist()))


def _exact_labels(signature: Signature, answer: dict[str, Any]) -> dict[str, Any]:
    if not signature.class_sets:
        return answer
    label = answer["prediction"]
    exact = [Exactly(each) for each in label] if isinstance(label, list) else Exactly(label)
    return {**answer, "prediction": exact}

"""Decode, run, encode: the one predictor behind `onnxport.load`, HTTP, and every later protocol. No
HTTP in here.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxport.codec import (
    UNLIMITED,
    Answer,
    Batch,
    Limits,
    NotFinite,
    RowEncoder,
    TableReader,
    Unsure,
    answer_rows,
    encode_answers,
    parse_json,
    read_columns,
    read_rows,
    read_tensors,
    refuse_large,
    refuse_non_finite,
    refuse_rows,
    uncollected,
)
from onnxport.display import describe, html_table
from onnxport.errors import Detail, InferenceError, ValidationError, shorten
from onnxport.manifest import Manifest
from onnxport.modelfile import ModelFile, parse_model_file, read_model_file
from onnxport.session import Session, open_session
from onnxport.signature import Signature
from onnxport.tensors import Arrays, groups, pack

log = logging.getLogger(__name__)

_WARM_UP_RUNS = 20
_ROWS = "neither a row {feature: value}, nor a list of rows, nor a DataFrame, nor a 2-D array"


class Model:
    """An open, self-tested model file. Made by `onnxport.load`; answers like the estimator it was
    saved from.

    signature: the named, typed inputs and outputs. manifest: everything the file says, as a
    mapping. threads: how many one run may use.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.threads = session.threads
        self.manifest: Manifest = session.manifest
        self.signature: Signature = session.signature
        self.file: ModelFile = session.file
        self.runtime_version = session.runtime_version
        self._encoder = RowEncoder(self.signature)
        self._may_refuse = self.signature.output("refused") is not None
        self._reader = TableReader(self.signature)

    def predict(self, data: Any) -> Any:
        """Answers one row (an object of features by name) or many.

        data: a mapping `{feature: value}`; a list of these; a DataFrame with the features as
        columns, in any order; or a 2-D array of shape [rows, features] in the order of training.
        A feature that is a whole tensor holds one row's nested lists or array; where it is the only
        one, an array of shape [rows, ...] is taken too.
        Where text is the only feature, a list or Series of strings too. None, NaN and pandas' NA are null.

        Returns one answer for a mapping, else a list in the order of the rows: `{"prediction":
        label, "probabilities": {label: float64}}` for a classifier (lists of both for several
        targets), `{"prediction": float64}` for a regressor, `{"prediction": -1 or 1, "score":
        float64}` for an outlier detector, `{"prediction": cluster}` for a clusterer, `{"output":
        [float64]}` for a transformer, `{output: nested lists}` for a network without labels.

        Raises ValidationError for exactly the rows that the estimator refuses, and for missing or
        unknown features.
        """
        if hasattr(data, "columns") and hasattr(data, "__getitem__"):
            return self._answer(self._read_frame(data))
        if isinstance(data, Mapping):
            return self._answer(read_rows(self.signature, _plain_row(data), wire=False))
        if isinstance(data, (list, tuple)) and all(isinstance(row, Mapping) for row in data):
            rows = [_plain_row(row) for row in data]
            return self._answer(read_rows(self.signature, rows, wire=False))
        return self._answer(self._read_array(data))

    def predict_json(self, body: bytes, *, limits: Limits = UNLIMITED) -> bytes:
        """Answers a JSON body with a JSON body, as POST /predict does. Raises RequestError and
        InferenceError.
        """
        return self.answer_json(self.read_json(body, limits=limits))

    def read_json(self, body: bytes, *, limits: Limits = UNLIMITED) -> Batch:
        """The first half of predict_json: a body as rows that fit the signature."""
        with uncollected(body):
            try:
                return self._read_quickly(body, limits)
            except Unsure:
                refuse_large(self.signature, body, limits)
                return read_rows(self.signature, parse_json(body), limits=limits)

    def answer_json(self, batch: Batch) -> bytes:
        """The second half of predict_json: run, and encode finite answers."""
        if batch.feeds is None:
            answers = self._answers(batch, finite=True)
            return encode_answers(answers[0] if batch.single else answers)
        rows = self._encoded(batch.feeds, single=batch.single)
        return rows[0] if batch.single else b"[" + b",".join(rows) + b"]"

    def answer_bodies(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Answers several bodies of one row object each, in one run.

        Raises Unsure where one of them must be read by itself (`predict_json`); a RequestError or
        InferenceError is the fault of one of them, too.
        """
        return self._encoded(self._reader.read(bodies), single=True)

    def _encoded(self, feeds: Arrays, *, single: bool) -> list[bytes]:
        outputs = self._session.run(feeds)
        if self._may_refuse:
            refuse_rows(self.signature, outputs, single=single)
        try:
            return self._encoder.encode(outputs)
        except NotFinite:
            refuse_non_finite(self.signature, outputs, single=single)
            raise

    def _read_quickly(self, body: bytes, limits: Limits) -> Batch:
        if self.signature.takes_tensors:
            return read_tensors(self.signature, body, limits=limits)
        return self._reader.read_batch(body, limits=limits)

    def example(self, index: int = 0) -> dict[str, Any]:
        """One of the stored self-test rows, its features in the order of training, null as None."""
        row = self.file.selftest.row(index)
        return {name: row[name] for name in self.signature.names}

    def run_time(self) -> float:
        """Seconds for one row from its columns through the graph, the fastest of a few runs: also
        warms the session up.
        """
        batch = read_rows(self.signature, self.example(), wire=False)
        best = math.inf
        for _ in range(_WARM_UP_RUNS):
            start = time.perf_counter()
            self._session.run(self._feeds(batch))
            best = min(best, time.perf_counter() - start)
        return best

    def _answer(self, batch: Batch) -> Answer | list[Answer]:
        answers = self._answers(batch, finite=False)
        return answers[0] if batch.single else answers

    def _answers(self, batch: Batch, *, finite: bool) -> list[Answer]:
        """One answer a row, in order. Rows whose tensors have other sizes are run apart; no rows of
        tensors aren't run at all, as a network needn't take them. finite: others are refused.
        """
        if not self.signature.takes_tensors:
            return self._run(batch, None, finite=finite)
        answers: list[Answer] = [{}] * batch.rows
        for places in groups(self.signature, batch.columns, batch.rows) if batch.rows else ():
            columns = {name: values[places] for name, values in batch.columns.items()}
            part = Batch(columns, len(places), batch.single)
            found = self._run(part, places.tolist(), finite=finite)
            for place, answer in zip(places.tolist(), found, strict=True):
                answers[place] = answer
        return answers

    def _run(self, batch: Batch, places: Sequence[int] | None, *, finite: bool) -> list[Answer]:
        try:
            outputs = self._session.run(self._feeds(batch))
        except InferenceError:
            if not self.signature.takes_tensors:
                raise
            return self._one_by_one(batch, places, finite=finite)
        return self._told(batch, outputs, places, finite=finite)

    def _one_by_one(
        self, batch: Batch, places: Sequence[int] | None, *, finite: bool
    ) -> list[Answer]:
        """Each row alone: the answers of a network may be of several sizes, and a row may hold an index
        or a size that it has no place for, which is refused.
        """
        answers: list[Answer] = []
        failing: list[Detail] = []
        for row in range(batch.rows):
            place = row if places is None else places[row]
            columns = {name: values[row : row + 1] for name, values in batch.columns.items()}
            alone = Batch(columns, 1, batch.single)
            try:
                outputs = self._session.run(self._feeds(alone))
            except InferenceError:
                log.debug("row %d can't be run", place, exc_info=True)
                failing.append(_unanswerable(batch, place))
                continue
            answers += self._told(alone, outputs, [place], finite=finite)
        if failing:
            raise ValidationError(failing)
        return answers

    def _told(
        self, batch: Batch, outputs: Arrays, places: Sequence[int] | None, *, finite: bool
    ) -> list[Answer]:
        refuse_rows(self.signature, outputs, single=batch.single, places=places)
        if finite:
            refuse_non_finite(self.signature, outputs, single=batch.single, places=places)
        return answer_rows(self.signature, outputs)

    def _feeds(self, batch: Batch) -> Arrays:
        return batch.feeds or pack(self.signature, batch.columns, batch.rows)

    def _read_frame(self, frame: Any) -> Batch:
        by_text = {str(name): name for name in frame.columns}
        names = [str(name) for name in frame.columns]
        if len(set(names)) != len(names):
            raise _unfit("two columns of the DataFrame share a name; rename one")
        missing = [name for name in self.signature.names if name not in names]
        known = {*self.signature.names, *self.signature.ignored}
        unknown = [name for name in names if name not in known]
        if missing or unknown:
            raise ValidationError(
                [Detail("missing", (n,), f"the DataFrame lacks the column {n!r}") for n in missing]
                + [
                    Detail(
                        "unknown_feature",
                        (shorten(str(n)),),
                        f"the DataFrame's column {shorten(str(n))!r} is no feature; leave it out",
                    )
                    for n in unknown
                ]
            )
        columns = {name: _plain_column(frame[by_text[name]]) for name in self.signature.names}
        return Batch(read_columns(self.signature, columns), len(frame), single=False)

    def _read_array(self, data: Any) -> Batch:
        names = self.signature.columns or self.signature.names
        if self.signature.takes_tensors:
            return self._read_tensors(data)
        if [feature.kind for feature in self.signature.features] == ["text"] and len(names) == 1:
            data = _as_column(data)
        array = np.asarray(data) if not isinstance(data, (list, tuple)) else _object_matrix(data)
        if array.ndim == 0:
            raise _unfit(f"{type(data).__name__} is {_ROWS}")
        if array.ndim != 2 or array.shape[1] != len(names):
            raise _unfit(
                f"an array of shape {array.shape}, where [rows, {len(names)}] is expected; "
                "a single row goes in as {feature: value}"
            )
        columns = {
            name: _plain_column(array[:, i])
            for i, name in enumerate(names)
            if name in self.signature.by_name
        }
        return Batch(read_columns(self.signature, columns), len(array), single=False)

    def _read_tensors(self, data: Any) -> Batch:
        """Rows of the one tensor that the model takes."""
        if len(self.signature.features) != 1 or not hasattr(data, "__getitem__"):
            raise _unfit(
                f"{type(data).__name__} is neither a row {{input: tensor}} nor a list of rows; the "
                f"inputs are {', '.join(self.signature.names[:10])}"
            )
        rows = [data[i] for i in range(len(data))]
        columns = {self.signature.names[0]: rows}
        return Batch(read_columns(self.signature, columns), len(rows), single=False)

    def __repr__(self) -> str:
        return describe(self.manifest)

    def _repr_html_(self) -> str:
        return html_table(self.manifest)


def load(source: str | Path | bytes, *, threads: int = 1) -> Model:
    """Opens a model file (a path, or its bytes), verifies it, and runs its self-test on this
    runtime.

    threads: how many threads one run may use (ONNX Runtime's intra-op threads). Raises
    ModelFileError where the file is unreadable, damaged, of an unknown format, or answers wrongly
    here.
    """
    file = parse_model_file(source) if isinstance(source, bytes) else read_model_file(source)
    return Model(open_session(file, threads=threads))


def _unanswerable(batch: Batch, row: int) -> Detail:
    where = "the row" if batch.single else f"row {row}"
    message = (
        f"{where}: the model can't answer it; an index or a size in it fits none of its tensors, or not "
        "the sizes beside it"
    )
    return Detail("unanswerable", () if batch.single else (row,), message)


def _unfit(message: str) -> ValidationError:
    return ValidationError([Detail("wrong_type", (), message)])


def _plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain_column(column: Any) -> Any:
    """A numeric array as it is; anything else as a list of plain values."""
    array = np.asarray(column)
    if array.dtype.kind in "fiub":
        return array
    return [_plain(value) for value in array.tolist()]


def _plain(value: Any) -> Any:
    """numpy scalars as Python's, and every spelling of null as None (pandas is met by its types'
    names, not imported).
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _as_column(data: Any) -> Any:
    """A list, Series or 1-D array of texts as [rows, 1]; anything else as it is."""
    if isinstance(data, (list, tuple)):
        return [[value] for value in data] if all(isinstance(v, str) for v in data) else data
    return np.asarray(data, dtype=object)[:, None] if getattr(data, "ndim", 0) == 1 else data


def _object_matrix(rows: Sequence[Any]) -> np.ndarray[Any, Any]:
    try:
        return np.array([list(row) for row in rows], dtype=object)
    except (TypeError, ValueError) as err:
        raise _unfit(f"this {type(rows).__name__} is {_ROWS}") from err

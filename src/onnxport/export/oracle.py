"""The estimator as the oracle: asked on plain tables, answering in the graph's terms."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from onnxport.compare import by_row, relative_difference
from onnxport.export.graph import Array
from onnxport.export.sample import Sample, Table, rows_of, take
from onnxport.signature import Signature
from onnxport.tensors import Arrays


@contextmanager
def quietly() -> Iterator[None]:
    """Without the library's warnings: what it says of odd rows is no news here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


class Oracle:
    """The estimator on plain tables, in the dtypes of its training."""

    def __init__(self, estimator: Any, sample: Sample) -> None:
        self._estimator, self._sample = estimator, sample

    def call(self, method: str, table: Table) -> Any:
        """The estimator's own method on these rows."""
        with quietly():
            return getattr(self._estimator, method)(self._sample.restore(table))

    def subject(self, table: Table) -> tuple[Any, Any]:
        """The estimator, and these rows as it takes them."""
        return self._estimator, self._sample.restore(table)

    def predict(self, table: Table) -> Any:
        return np.asarray(self.call("predict", table))

    def decisions(self, table: Table) -> Array | None:
        """decision_function as [rows, k], or None where it has none."""
        try:
            scores = np.asarray(self.call("decision_function", table), dtype=np.float64)
        except AttributeError:
            return None
        return scores.reshape(len(scores), -1)

    def answers(self, table: Table) -> bool:
        """Whether it answers these rows. An estimator may refuse with any exception."""
        try:
            self.predict(table)
        except Exception:
            return False
        return True

    def answered(self, table: Table) -> Any:
        """Which rows it answers, bool [rows]; a table that is refused is halved until it isn't."""
        rows = rows_of(table)
        if rows == 0 or self.answers(table):
            return np.ones(rows, dtype=bool)
        if rows == 1:
            return np.zeros(1, dtype=bool)
        halves = np.array_split(np.arange(rows), 2)
        return np.concatenate([self.answered(take(table, half)) for half in halves])


def expected_outputs(oracle: Oracle, signature: Signature, classes: Any, table: Table) -> Arrays:
    """The estimator's answers as the graph's tensors."""
    rows = rows_of(table)
    if rows == 0:
        return _nothing(signature)
    outputs: Arrays = {}
    for output in signature.outputs:
        if output.role == "label_code":
            outputs[output.tensor] = _codes(classes, oracle.predict(table))
        elif output.role == "probabilities":
            outputs[output.tensor] = np.asarray(oracle.call("predict_proba", table), np.float64)
        elif output.role == "value":
            values = np.asarray(oracle.predict(table), dtype=np.float64)
            outputs[output.tensor] = values.reshape(rows, -1)
        else:
            outputs[output.tensor] = np.zeros((rows, 1), dtype=bool)
    return outputs


def _nothing(signature: Signature) -> Arrays:
    """Answers to no rows at all, which scikit-learn refuses and the graph must not."""
    return {
        output.tensor: np.zeros((0,) if output.width is None else (0, output.width))
        for output in signature.outputs
    }


def _codes(classes: Any, labels: Array) -> Array:
    order = {label: code for code, label in enumerate(np.asarray(classes).tolist())}
    return np.array([order[label] for label in np.ravel(labels).tolist()], dtype=np.int64)


def apart(signature: Signature, wanted: Arrays, got: Arrays) -> tuple[Array, Array]:
    """Rows whose label differs, and each row's largest difference of a number."""
    rows = len(next(iter(wanted.values())))
    flipped, difference = np.zeros(rows, dtype=bool), np.zeros(rows)
    for output in signature.outputs:
        expected, found = wanted[output.tensor], got[output.tensor]
        if output.role in ("label_code", "refused"):
            flipped |= by_row(expected != found).any(axis=1)
        else:
            apart = by_row(relative_difference(expected, found)).max(axis=1, initial=0.0)
            difference = np.maximum(difference, apart)
    return flipped, difference

"""The estimator as the oracle: asked on plain tables, answering in the graph's terms."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from onnxport.compare import by_row, relative_difference
from onnxport.errors import ExportError
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


_FEW = 8  # of so few rows, each is asked alone: mostly all are refused, or none
_REMEMBERED = 24  # tables, as many as there are sets of rows, and some


class Oracle:
    """The estimator on plain tables, in the dtypes of its training."""

    def __init__(self, estimator: Any, sample: Sample) -> None:
        self._estimator, self._sample = estimator, sample
        self._asked: deque[tuple[Table, Any]] = deque(maxlen=_REMEMBERED)

    def call(self, method: str, table: Table) -> Any:
        """The estimator's own method on these rows."""
        with quietly():
            return getattr(self._estimator, method)(self._sample.restore(table))

    def subject(self, table: Table) -> tuple[Any, Any]:
        """The estimator, and these rows as it takes them."""
        return self._estimator, self._sample.restore(table)

    def predict(self, table: Table) -> Any:
        """Its answers: predict, or transform of an estimator that only transforms."""
        return _dense(self._say(table))

    def _say(self, table: Table) -> Any:
        """Asked of the same table again, it remembers: a large forest takes long over each answer."""
        for asked, remembered in self._asked:
            if asked is table:
                return remembered
        predicts = hasattr(self._estimator, "predict")
        answers = self.call("predict" if predicts else "transform", table)
        self._asked.append((table, answers))
        return answers

    def decisions(self, table: Table) -> Array | None:
        """decision_function as [rows, k], or None where it has none."""
        try:
            scores = np.asarray(self.call("decision_function", table), dtype=np.float64)
        except (AttributeError, ValueError):  # a chain has it, and fails where it can't
            return None
        return scores.reshape(len(scores), -1)

    def answers(self, table: Table) -> bool:
        """Whether it answers these rows. An estimator may refuse with any exception."""
        try:
            self._say(table)
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
        parts = np.array_split(np.arange(rows), rows if rows <= _FEW else 2)
        return np.concatenate([self.answered(take(table, part)) for part in parts])


def expected_outputs(
    oracle: Oracle, signature: Signature, classes: Sequence[Array], table: Table
) -> Arrays:
    """The estimator's answers as the graph's tensors. classes: by target, as the estimator gives
    them.
    """
    rows = rows_of(table)
    if rows == 0:
        return _nothing(signature)
    outputs: Arrays = {}
    for output in signature.outputs:
        if output.role == "label_code":
            codes = _codes(classes, oracle.predict(table))
            outputs[output.tensor] = codes[:, 0] if output.width is None else codes
        elif output.role == "probabilities":
            outputs[output.tensor] = _shares(classes, oracle.call("predict_proba", table))
        elif output.role == "score":
            scores = np.asarray(oracle.call("decision_function", table), np.float64)
            outputs[output.tensor] = scores.reshape(rows, 1)
        elif output.role in ("value", "output"):
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


def _dense(answers: Any) -> Array:
    """Answers as an array: some are sparse, some DataFrames."""
    return np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers)


def _codes(classes: Sequence[Array], labels: Array) -> Array:
    """int64 [rows, targets]."""
    columns = labels.reshape(len(labels), len(classes)).T.tolist()
    codes = []
    for target, column in zip(classes, columns, strict=True):
        order = {label: code for code, label in enumerate(target.tolist())}
        codes.append([order[label] for label in column])
    return np.array(codes, dtype=np.int64).T


def _shares(classes: Sequence[Array], proba: Any) -> Array:
    """Probabilities of all targets side by side, [rows, classes of all targets].

    Several targets give a list of arrays, one a target; or, of two classes each, the probability of
    the second.
    """
    if isinstance(proba, list):
        return np.concatenate([np.asarray(each, np.float64) for each in proba], axis=1)
    shares = np.asarray(proba, np.float64)
    if shares.shape[1] == sum(len(target) for target in classes):
        return shares
    if shares.shape[1] != len(classes) or any(len(target) != 2 for target in classes):
        raise ExportError("predict_proba has another number of columns than there are classes")
    return np.stack([1 - shares, shares], axis=2).reshape(len(shares), -1)


def apart(signature: Signature, wanted: Arrays, got: Arrays) -> tuple[Array, Array]:
    """Rows whose label differs, and each row's largest difference of a number."""
    return by_rows(*apart_by_target(signature, wanted, got))


def by_rows(flipped: Array, difference: Array) -> tuple[Array, Array]:
    """What differs by target, [rows, targets], as what differs in a row."""
    flipped_rows: Array = np.logical_or.reduce(flipped, axis=1)
    return flipped_rows, difference.max(axis=1, initial=0.0)


def apart_by_target(signature: Signature, wanted: Arrays, got: Arrays) -> tuple[Array, Array]:
    """The same for each target of a multi-output classifier, [rows, targets]; else [rows, 1]."""
    rows, targets = len(next(iter(wanted.values()))), max(len(signature.target_classes), 1)
    flipped, difference = np.zeros((rows, targets), dtype=bool), np.zeros((rows, targets))
    for output in signature.outputs:
        expected, found = wanted[output.tensor], got[output.tensor]
        if output.role == "label_code":
            flipped |= by_row(expected != found).reshape(rows, targets)
        elif output.role == "refused":
            flipped |= by_row(expected != found).any(axis=1, keepdims=True)
        else:
            numbers = by_row(relative_difference(expected, found))
            spans = signature.spans if output.role == "probabilities" else (slice(None),)
            for target, span in enumerate(spans):
                largest = numbers[:, span].max(axis=1, initial=0.0)
                difference[:, target] = np.maximum(difference[:, target], largest)
    return flipped, difference


def by_target(signature: Signature, scores: Array) -> tuple[Array, ...]:
    """Scores [rows, k] taken apart: each target of a multi-output classifier has one, or one a
    class.
    """
    targets = len(signature.target_classes)
    if not targets:
        return (scores,)
    if scores.shape[1] == targets:
        return tuple(scores[:, [target]] for target in range(targets))
    return tuple(scores[:, span] for span in signature.spans)

"""The graph's outputs to answers, and answers to JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from onnxport.codec.faults import row_name
from onnxport.compare import by_row
from onnxport.errors import Detail, NonFiniteOutput, ValidationError
from onnxport.signature import Signature
from onnxport.tensors import Array, Arrays

Answer = dict[str, Any]


def answer_rows(signature: Signature, outputs: Arrays) -> list[Answer]:
    """One answer a row, in order, as page "Answers" of the documentation says.

    outputs: by tensor name, codes [N], probabilities [N, classes], values [N, targets].
    """
    if code := signature.output("label_code"):
        labels = [signature.classes[i] for i in outputs[code.tensor].tolist()]
        proba = signature.output("probabilities")
        if proba is None:
            return [{"prediction": label} for label in labels]
        keys, matrix = signature.class_keys, outputs[proba.tensor].tolist()
        return [
            {"prediction": label, "probabilities": dict(zip(keys, row, strict=True))}
            for label, row in zip(labels, matrix, strict=True)
        ]
    value = signature.output("value")
    if value is None:
        raise ValueError("the signature has neither labels nor values")
    matrix = by_row(outputs[value.tensor]).tolist()
    if len(signature.targets) > 1:
        return [{"prediction": row} for row in matrix]
    return [{"prediction": row[0]} for row in matrix]


def refuse_rows(signature: Signature, outputs: Arrays, *, single: bool) -> None:
    """Raises ValidationError for rows that the graph itself marks as refused by the estimator."""
    refused = signature.output("refused")
    if refused is not None and outputs[refused.tensor].any():
        message = (
            "a step of the model refuses this row, mostly because a number is too large for it"
        )
        marked = outputs[refused.tensor].ravel()
        raise ValidationError(_details("non_finite", marked, message, single=single))


def refuse_non_finite(signature: Signature, outputs: Arrays, *, single: bool) -> None:
    """Raises NonFiniteOutput for rows whose answer JSON can't carry."""
    for output in signature.outputs:
        if output.role in ("probabilities", "value"):
            finite: Array = np.isfinite(outputs[output.tensor])
            infinite = np.logical_not(by_row(finite).all(axis=1))
            if infinite.any():
                message = "the model's answer is infinite or not a number"
                raise NonFiniteOutput(
                    _details("non_finite_output", infinite, message, single=single)
                )


def _details(code: str, marked: Array, message: str, *, single: bool) -> list[Detail]:
    """One detail a marked row."""
    places = [() if single else (index,) for index in np.flatnonzero(marked).tolist()]
    return [Detail(code, at, f"{row_name(at)}: {message}") for at in places]


def encode_answers(answers: Answer | list[Answer]) -> bytes:
    """UTF-8 JSON, numbers as shortest repr. The answers must be finite (see refuse_non_finite)."""
    return orjson.dumps(answers)

"""The graph's outputs to answers, and answers to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from onnxport.codec.faults import row_name
from onnxport.compare import by_row
from onnxport.errors import Detail, NonFiniteOutput, ValidationError
from onnxport.signature import Role, Signature, label_key
from onnxport.tensors import Array, Arrays

Answer = dict[str, Any]


def answer_rows(signature: Signature, outputs: Arrays) -> list[Answer]:
    """One answer a row, in order, as page "Answers" of the documentation says.

    outputs: by tensor name, codes [N] or [N, targets], probabilities [N, classes of all targets],
    scores [N, 1], values [N, targets], a transformer's output [N, columns].
    """
    if signature.task == "tensor":
        return _tensors(signature, outputs)
    by_role: dict[Role, Array] = {
        o.role: outputs[o.tensor] for o in signature.outputs if o.role != "refused"
    }
    if "label_code" not in by_role:
        return _numbers(signature, by_role)
    if signature.target_classes:
        return _several(signature, by_role["label_code"], by_role.get("probabilities"))
    labels = [signature.classes[i] for i in by_role["label_code"].tolist()]
    if "score" in by_role:
        scores = by_role["score"][:, 0].tolist()
        return [
            {"prediction": label, "score": score}
            for label, score in zip(labels, scores, strict=True)
        ]
    if "probabilities" not in by_role:
        return [{"prediction": label} for label in labels]
    keys, matrix = signature.class_keys, by_role["probabilities"].tolist()
    return [
        {"prediction": label, "probabilities": dict(zip(keys, row, strict=True))}
        for label, row in zip(labels, matrix, strict=True)
    ]


def _numbers(signature: Signature, by_role: Mapping[Role, Array]) -> list[Answer]:
    """A regressor's values, a transformer's columns."""
    if "output" in by_role:
        return [{"output": row} for row in by_role["output"].tolist()]
    matrix = by_row(by_role["value"]).tolist()
    if len(signature.targets) > 1:
        return [{"prediction": row} for row in matrix]
    return [{"prediction": row[0]} for row in matrix]


def _tensors(signature: Signature, outputs: Arrays) -> list[Answer]:
    """Every output's row as a nested list, under its own name."""
    names = [output.tensor for output in signature.outputs if output.role == "tensor"]
    rows = zip(*(outputs[name].tolist() for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _several(signature: Signature, codes: Array, proba: Array | None) -> list[Answer]:
    """A list of labels, and of probabilities where there are any, in the order of the targets."""
    by_target = [
        [labels[i] for i in column]
        for labels, column in zip(signature.class_sets, codes.T.tolist(), strict=True)
    ]
    predictions = [list(row) for row in zip(*by_target, strict=True)]
    if proba is None:
        return [{"prediction": row} for row in predictions]
    shares = []
    for labels, span in zip(signature.class_sets, signature.spans, strict=True):
        keys = [label_key(label) for label in labels]
        shares.append([dict(zip(keys, row, strict=True)) for row in proba[:, span].tolist()])
    return [
        {"prediction": row, "probabilities": list(given)}
        for row, given in zip(predictions, zip(*shares, strict=True), strict=True)
    ]


def refuse_rows(
    signature: Signature, outputs: Arrays, *, single: bool, places: Sequence[int] | None = None
) -> None:
    """Raises ValidationError for rows that the graph itself marks as refused by the estimator.

    places: where each row stands in the request, if not in this order.
    """
    refused = signature.output("refused")
    if refused is not None and outputs[refused.tensor].any():
        message = (
            "a step of the model refuses this row: a number is too large for it, a category is unknown to "
            "it, or training rows that differ are equally near (KNNImputer)"
        )
        marked = outputs[refused.tensor].ravel()
        raise ValidationError(_details("non_finite", marked, message, single, places))


def refuse_non_finite(
    signature: Signature, outputs: Arrays, *, single: bool, places: Sequence[int] | None = None
) -> None:
    """Raises NonFiniteOutput for rows whose answer JSON can't carry. places: as above."""
    for output in signature.outputs:
        if output.role in ("label_code", "refused") or outputs[output.tensor].dtype.kind != "f":
            continue
        finite: Array = np.isfinite(outputs[output.tensor])
        if not finite.all():
            infinite = np.logical_not(by_row(finite).all(axis=1))
            message = "the model's answer is infinite or not a number"
            raise NonFiniteOutput(_details("non_finite_output", infinite, message, single, places))


def _details(
    code: str, marked: Array, message: str, single: bool, places: Sequence[int] | None
) -> list[Detail]:
    """One detail a marked row."""
    rows = np.flatnonzero(marked).tolist()
    found = rows if places is None else [places[row] for row in rows]
    named: list[tuple[int, ...]] = [() if single else (row,) for row in found]
    return [Detail(code, at, f"{row_name(at)}: {message}") for at in named]


def encode_answers(answers: Answer | list[Answer]) -> bytes:
    """UTF-8 JSON, numbers as shortest repr. The answers must be finite (see refuse_non_finite)."""
    return orjson.dumps(answers)

"""Outputs straight to the JSON of each row: what never changes between answers is rendered once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import orjson

from onnxport.codec.answers import answer_rows
from onnxport.compare import by_row
from onnxport.signature import Signature, label_key
from onnxport.tensors import Array, Arrays

Columns = Iterable[Sequence[bytes]]
_NEVER_IN_JSON = b"\n"  # a line break inside a JSON string is always escaped


class NotFinite(Exception):
    """An output is infinite or not a number; `refuse_non_finite` tells which."""


class RowEncoder:
    """The JSON of each row's answer, byte for byte what `encode_answers` gives for `answer_rows`.

    The outputs must not be refused (see `refuse_rows`).
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._labels = [[orjson.dumps(label) for label in each] for each in signature.class_sets]
        self._template = _template(signature)
        self._columns: Callable[[Arrays], Columns] = self._columns_of()
        self._round: tuple[int, bytes] = (0, b"")

    def encode(self, outputs: Arrays) -> list[bytes]:
        """outputs: tensors [N, ...] by name, as the graph gives them. Answers N documents.

        Raises NotFinite where one of them can't be told in JSON.
        """
        if not self._template:
            found = [orjson.dumps(answer) for answer in answer_rows(self._signature, outputs)]
            if not _are_finite(outputs):
                raise NotFinite
            return found
        rows = len(next(iter(outputs.values())))
        if not rows:
            return []
        values = tuple(chain.from_iterable(zip(*self._columns(outputs), strict=True)))
        known, template = self._round
        if known != rows:
            template = _NEVER_IN_JSON.join([self._template] * rows)
            self._round = (rows, template)  # threads may come between, but not into it
        return (template % values).split(_NEVER_IN_JSON)

    def _columns_of(self) -> Callable[[Arrays], Columns]:
        """What takes the texts of the template's places out of the outputs, column by column."""
        outputs = {o.role: o.tensor for o in self._signature.outputs if o.role != "refused"}
        numbers = next(
            (outputs[r] for r in ("probabilities", "score", "value") if r in outputs), ""
        )
        if "label_code" not in outputs:
            return lambda found: _texts(found[numbers])
        codes, labels = outputs["label_code"], self._labels[0] if self._labels else []
        if not numbers:
            return lambda found: ([labels[code] for code in found[codes].tolist()],)
        return lambda found: (
            [labels[code] for code in found[codes].tolist()],
            *_texts(found[numbers]),
        )


def _texts(matrix: Array) -> Columns:
    """The shortest text of each float64, by column."""
    array = matrix if matrix.ndim == 2 else by_row(matrix)
    if array.dtype != np.float64:
        array = array.astype(np.float64)
    text = orjson.dumps(array.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    if b"n" in text:  # null is how orjson writes infinities and NaN
        raise NotFinite
    flat, width = text[1:-1].split(b","), array.shape[1]
    return [flat[place::width] for place in range(width)]


def _are_finite(outputs: Arrays) -> bool:
    return all(np.isfinite(array).all() for array in outputs.values() if array.dtype.kind == "f")


def _template(signature: Signature) -> bytes:
    """One row's answer with a place for each value, empty where answers have no fixed form."""
    roles = {output.role: output for output in signature.outputs}
    if signature.task == "tensor" or signature.target_classes or "output" in roles:
        return b""
    if "probabilities" in roles:
        keys = [orjson.dumps(label_key(label)).replace(b"%", b"%%") for label in signature.classes]
        shares = b",".join(key + b":%b" for key in keys)
        return b'{"prediction":%%b,"probabilities":{%b}}' % shares
    if "score" in roles:
        return b'{"prediction":%b,"score":%b}'
    if len(signature.targets) > 1 and "label_code" not in roles:
        return b'{"prediction":[%b]}' % b",".join([b"%b"] * len(signature.targets))
    return b'{"prediction":%b}'

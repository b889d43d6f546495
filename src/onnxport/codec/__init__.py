"""JSON bytes to typed columns, and outputs to answers: pure functions of the signature.

A request is judged in three steps: `parse_json` (is it one JSON document?), `read_rows` (does it fit the signature?),
`answer_rows` after the run. Whole columns are checked at once; only a column that fails is looked at value by value.
"""

from onnxport.codec.answers import (
    Answer,
    answer_rows,
    encode_answers,
    refuse_non_finite,
    refuse_rows,
)
from onnxport.codec.documents import parse_json
from onnxport.codec.rows import Batch, read_columns, read_rows

__all__ = [
    "Answer",
    "Batch",
    "answer_rows",
    "encode_answers",
    "parse_json",
    "read_columns",
    "read_rows",
    "refuse_non_finite",
    "refuse_rows",
]

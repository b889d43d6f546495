"""JSON bytes to typed columns, and outputs to answers: pure functions of the signature.

A request is judged in three steps: `parse_json` (is it one JSON document?), `read_rows` (does it fit the signature?),
`answer_rows` after the run. Whole columns are checked at once; only a column that fails is looked at value by value.
Ahead of the first two goes a quick reader (`tables`), which leaves to them whatever it isn't sure of; `RowEncoder`
renders what `answer_rows` says.
"""

from onnxport.codec.answers import (
    Answer,
    answer_rows,
    encode_answers,
    refuse_non_finite,
    refuse_rows,
)
from onnxport.codec.documents import parse_json, uncollected
from onnxport.codec.encoding import NotFinite, RowEncoder
from onnxport.codec.rows import UNLIMITED, Batch, Limits, read_columns, read_rows
from onnxport.codec.tables import TableReader, Unsure, read_tensors, refuse_large

__all__ = [
    "UNLIMITED",
    "Answer",
    "Batch",
    "Limits",
    "NotFinite",
    "RowEncoder",
    "TableReader",
    "Unsure",
    "answer_rows",
    "encode_answers",
    "parse_json",
    "read_columns",
    "read_rows",
    "read_tensors",
    "refuse_large",
    "refuse_non_finite",
    "refuse_rows",
    "uncollected",
]

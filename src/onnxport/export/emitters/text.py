"""Vectorizers of text: the n-grams come in, counting and weighting happens in the graph.

Source: `sklearn/feature_extraction/text.py`, `sklearn/utils/sparsefuncs_fast.pyx` (norms).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.feature_extraction.text import (
    CountVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)

from onnxport.analysis import MAX_NGRAM, MAX_PATTERN, check_analysis
from onnxport.export.graph import ML, Columns, number_columns
from onnxport.export.registry import Emission, Refusal, emits, finite_only, numbers_only, refuse
from onnxport.signature import NGRAM_SEPARATOR, Analysis

_DTYPES = (np.float64, np.float32, np.int64, np.int32)
_KNOWN_LOGS = 1024  # counts whose logarithm is numpy's own, to the last bit


def _check(estimator: Any) -> Refusal | None:
    return _callable_check(estimator) or _range_check(estimator) or _vocabulary_check(estimator)


def _callable_check(estimator: Any) -> Refusal | None:
    if callable(estimator.analyzer):
        return Refusal(
            "analyzer", "a function doesn't convert", "Use analyzer='word', 'char' or 'char_wb'."
        )
    if estimator.tokenizer is not None and estimator.analyzer == "word":
        return Refusal(
            "tokenizer", "a function doesn't convert", "Use token_pattern, a regular expression."
        )
    if estimator.preprocessor is not None:
        return Refusal(
            "preprocessor", "a function doesn't convert", "Use lowercase and strip_accents."
        )
    if callable(estimator.strip_accents):
        return Refusal(
            "strip_accents", "a function doesn't convert", "Use 'ascii', 'unicode' or None."
        )
    if estimator.input != "content":
        return Refusal(
            "input", "files can't be read by a served model", "Read them, and use input='content'."
        )
    return None


def _range_check(estimator: Any) -> Refusal | None:
    low, high = estimator.ngram_range
    if not 1 <= low <= high <= MAX_NGRAM:
        reason = f"n-grams of {low} to {high} don't convert"
        return Refusal("ngram_range", reason, "Use a range within 1 to 32.")
    if estimator.analyzer == "word" and len(estimator.token_pattern) > MAX_PATTERN:
        reason = f"a pattern of over {MAX_PATTERN} characters doesn't convert"
        return Refusal("token_pattern", reason, "Use a shorter regular expression.")
    if not any(np.dtype(estimator.dtype) == dtype for dtype in _DTYPES):
        reason = f"counts of datatype {np.dtype(estimator.dtype)} don't convert"
        return Refusal("dtype", reason, "Use float64, float32, int64 or int32.")
    return None


def _vocabulary_check(estimator: Any) -> Refusal | None:
    for term in estimator.vocabulary_:
        if term == "" or not _is_unicode(term) or NGRAM_SEPARATOR in str(term):
            return Refusal(
                "vocabulary_",
                f"it holds the n-gram {term!r}, which no text tensor can carry",
                "Leave it out: fit with stop_words=, or with a token_pattern that doesn't match it.",
            )
    return None


def _weights_check(weighting: Any) -> Refusal | None:
    """Without smoothing, a term that no training text holds weighs log(n / 0)."""
    if np.isfinite(getattr(weighting, "idf_", 0.0)).all():
        return None
    reason = "a term of the vocabulary that no training text held has an infinite weight"
    return Refusal("smooth_idf", reason, "Set smooth_idf=True.")


def _tfidf_check(estimator: Any) -> Refusal | None:
    return _check(estimator) or _weights_check(estimator._tfidf)


def _is_unicode(term: Any) -> bool:
    try:
        str(term).encode()
    except UnicodeEncodeError:
        return False
    return True


def _declaration(estimator: Any) -> Analysis:
    is_word = estimator.analyzer == "word"
    stops = estimator.get_stop_words() if is_word else None
    low, high = estimator.ngram_range
    analysis = Analysis(
        analyzer=estimator.analyzer,
        ngram_range=(int(low), int(high)),
        lowercase=bool(estimator.lowercase),
        strip_accents=estimator.strip_accents or None,
        token_pattern=str(estimator.token_pattern) if is_word else None,
        stop_words=None if stops is None else tuple(sorted(s for s in stops if isinstance(s, str))),
    )
    check_analysis(analysis)
    return analysis


def _term_ids(emission: Emission, estimator: Any, columns: Columns) -> str:
    """The place in the vocabulary of each n-gram of a row, -1 where it has none or there are no
    more: int64 [N, most n-grams].
    """
    tensors = [column.tensor for column in columns.items if column.kind == "string"]
    tensor = None
    if len(tensors) == len(columns) == 1:
        tensor = emission.text_input(tensors[0], _declaration(estimator))
    if tensor is None:
        reason = "it converts only where it reads one string column as it came in"
        nearest = "Put it first, and name one column: ('text', TfidfVectorizer(), 'review')."
        raise refuse(emission, estimator, Refusal("", reason, nearest))
    terms = {t: int(i) for t, i in estimator.vocabulary_.items() if isinstance(t, str)}
    graph = emission.graph
    ngrams, _ = graph.several("StringSplit", 2, tensor, delimiter=NGRAM_SEPARATOR)
    ids = graph.node(
        "LabelEncoder",
        ngrams,
        domain=ML,
        keys_strings=list(terms),
        values_int64s=list(terms.values()),
        default_int64=-1,
    )
    return graph.node("Squeeze", ids, graph.integers([1]))


def _scattered(emission: Emission, ids: str, values: str, size: int, reduction: str = "add") -> str:
    """A value for each n-gram brought to its term's column; 0 for terms that a row lacks, and for
    n-grams without a term, which must have the value 0. Double [N, size].
    """
    graph = emission.graph
    emission.widen(size)
    rows = graph.node("Shape", ids, start=0, end=1)
    shape = graph.node("Concat", rows, graph.integers([size]), axis=0)
    zeros = graph.node("Expand", graph.constant(0.0), shape)
    places = graph.node("Max", ids, graph.integers([0]))
    return graph.node("ScatterElements", zeros, places, values, axis=1, reduction=reduction)


def _frequencies(
    emission: Emission, estimator: Any, columns: Columns, *, sublinear: bool = False
) -> str:
    """How often a row holds each term; with `binary`, whether; `sublinear`, 1 + log of it."""
    graph, size = emission.graph, len(estimator.vocabulary_)
    ids = _term_ids(emission, estimator, columns)
    known = graph.to_double(graph.node("GreaterOrEqual", ids, graph.integers([0])))
    if estimator.binary:  # sublinear or not: 1 + log 1 is 1
        return _scattered(emission, ids, known, size, "max")
    counts = _scattered(emission, ids, known, size)
    if not sublinear:
        return counts
    single = np.dtype(estimator.dtype) == np.float32
    places = graph.node("Max", ids, graph.integers([0]))
    own = graph.node("GatherElements", counts, places, axis=1)
    table = 1 + np.log(np.maximum(np.arange(_KNOWN_LOGS), 1).astype("f4" if single else "f8"))
    few = graph.node("Less", own, graph.constant(float(_KNOWN_LOGS)))
    index = graph.cast(graph.node("Where", few, own, graph.constant(0.0)), TensorProto.INT64)
    many = graph.node("Add", graph.node("Log", own), graph.constant(1.0))
    looked_up = graph.node("Gather", graph.constant(table), index)
    weight = graph.node("Where", few, looked_up, many)
    weight = graph.rounded(weight) if single else weight
    return _scattered(emission, ids, graph.node("Mul", weight, known), size, "max")


@emits(CountVectorizer, check=_check)
def emit_counts(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    counts = _frequencies(emission, estimator, columns)
    dtype = str(np.dtype(estimator.dtype))
    return number_columns(counts, len(estimator.vocabulary_), dtype=dtype, finite=True)


@emits(TfidfVectorizer, check=_tfidf_check)
def emit_tfidf(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Term frequency · inverse document frequency, over the row's norm."""
    weighting = estimator._tfidf
    sublinear = bool(weighting.sublinear_tf)
    x = _frequencies(emission, estimator, columns, sublinear=sublinear)
    single = np.dtype(estimator.dtype) == np.float32
    x = _weighted(emission, weighting, x, len(estimator.vocabulary_), single=single)
    dtype = "float32" if single else "float64"
    return number_columns(x, len(estimator.vocabulary_), dtype=dtype, finite=True)


@emits(TfidfTransformer, check=_weights_check)
def emit_tfidf_transformer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The same on counts; zeros stay zeros whatever is done to the others."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph, x = emission.graph, emission.graph.matrix(columns)
    single, exact = columns.single, columns.exact
    if estimator.sublinear_tf:
        exact = False
        weight = graph.node("Add", graph.node("Log", x), graph.constant(1.0))
        weight = graph.rounded(weight) if single else weight
        zero = graph.constant(0.0)
        x = graph.node("Where", graph.node("Equal", x, zero), zero, weight)
    x = _weighted(emission, estimator, x, len(columns), single=single)
    dtype = "float32" if single else "float64"
    return number_columns(x, len(columns), dtype=dtype, finite=False, exact=exact)


def _weighted(emission: Emission, weighting: Any, x: str, size: int, *, single: bool) -> str:
    """x · idf over its norm, added up from left to right as scikit-learn does; a row of zeros stays."""
    graph = emission.graph

    def rounded(tensor: str) -> str:
        return graph.rounded(tensor) if single else tensor

    if hasattr(weighting, "idf_"):
        x = rounded(graph.node("Mul", x, graph.constant(np.ravel(weighting.idf_))))
    if weighting.norm is None:
        return x
    emission.widen(2 * size)
    squared = weighting.norm == "l2"
    sizes = rounded(graph.node("Mul", x, x)) if squared else graph.node("Abs", x)
    sums = graph.node("CumSum", sizes, graph.constant(1, np.int64))
    total = graph.node("Gather", sums, graph.integers([size - 1]), axis=1)
    nothing = graph.node("Equal", total, graph.constant(0.0))
    norm = graph.node("Sqrt", total) if squared else total
    return rounded(graph.node("Div", x, graph.node("Where", nothing, graph.constant(1.0), norm)))

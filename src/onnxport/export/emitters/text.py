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
from onnxport.export.graph import ML, Columns, Graph, Sparse, number_columns
from onnxport.export.registry import (
    TOLERANT_BAR,
    Emission,
    Refusal,
    emits,
    finite_only,
    numbers_only,
    refuse,
)
from onnxport.export.sparse import entries_of, scattered
from onnxport.signature import NGRAM_SEPARATOR, Analysis

_DTYPES = (np.float64, np.float32, np.int64, np.int32)
_STOPS = 64 * 1024  # bytes of stop words in the manifest
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
    stops = estimator.get_stop_words() if estimator.analyzer == "word" else None
    if sum(len(str(word).encode("utf-8", "replace")) + 3 for word in stops or ()) > _STOPS:
        reason = f"the words take more than the {_STOPS // 1024} KiB that the manifest has for them"
        return Refusal("stop_words", reason, "Leave common words out by max_df=, or list fewer.")
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


def _counts(emission: Emission, estimator: Any, columns: Columns) -> Sparse:
    """How often a row holds each term; with `binary`, whether.

    Equal ids stand together once they are sorted: each run of them is an entry. Entry 0 is empty.
    """
    graph = emission.graph
    ids = _term_ids(emission, estimator, columns)
    length = graph.node("Shape", ids, start=1, end=2)
    ordered, _ = graph.several("TopK", 2, ids, length, axis=1, largest=0, sorted=1)
    one = graph.integers([1])
    column = graph.node("Concat", graph.node("Shape", ids, start=0, end=1), one, axis=0)
    before = graph.node("Expand", graph.integers([-2]), column)
    shifted = graph.node("Concat", before, ordered, axis=1)
    previous = graph.node("Slice", shifted, graph.integers([0]), graph.integers([-1]), one)
    starts = graph.node("Not", graph.node("Equal", ordered, previous))
    runs = graph.node("CumSum", graph.cast(starts, TensorProto.INT64), graph.constant(1, np.int64))
    known = graph.to_double(graph.node("GreaterOrEqual", ordered, graph.integers([0])))
    shape = graph.node("Shape", shifted)
    places = graph.node(
        "ScatterElements",
        graph.node("Expand", graph.integers([0]), shape),
        runs,
        graph.node("Max", ordered, graph.integers([0])),
        axis=1,
        reduction="max",
    )
    zeros = graph.node("Expand", graph.constant(0.0), shape)
    how = "max" if estimator.binary else "add"
    counts = graph.node("ScatterElements", zeros, runs, known, axis=1, reduction=how)
    return Sparse(places, counts, len(estimator.vocabulary_), counts=True)


@emits(CountVectorizer, check=_check)
def emit_counts(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    counts = _counts(emission, estimator, columns)
    dtype = str(np.dtype(estimator.dtype))
    return number_columns(scattered(emission.graph, counts), counts.size, dtype=dtype, finite=True)


@emits(TfidfVectorizer, check=_tfidf_check)
def emit_tfidf(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Term frequency · inverse document frequency, over the row's norm."""
    counts = _counts(emission, estimator, columns)
    single = np.dtype(estimator.dtype) == np.float32
    weighted = _weighted(emission.graph, estimator._tfidf, counts, single=single)
    dtype = "float32" if single else "float64"
    dense = scattered(emission.graph, weighted)
    return number_columns(dense, counts.size, dtype=dtype, finite=True)


@emits(TfidfTransformer, check=_weights_check)
def emit_tfidf_transformer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """The same on counts; zeros stay zeros whatever is done to the others."""
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    graph, single, exact = emission.graph, columns.single, columns.exact
    entries = entries_of(graph, columns)
    dtype = "float32" if single else "float64"
    if entries is not None and entries.counts:
        x = scattered(graph, _weighted(graph, estimator, entries, single=single))
        return number_columns(x, len(columns), dtype=dtype, finite=True, exact=exact)
    emission.widen(4 * len(columns))
    dense = Sparse("", graph.matrix(columns), len(columns))
    x = _weighted(graph, estimator, dense, single=single).values
    exact = exact and not estimator.sublinear_tf
    if single and estimator.sublinear_tf:
        emission.relax(TOLERANT_BAR)  # numpy's float32 logarithm rounds in a way of its own
    return number_columns(x, len(columns), dtype=dtype, exact=exact)


def _weighted(graph: Graph, weighting: Any, counts: Sparse, *, single: bool) -> Sparse:
    """Sublinear frequency · idf over the norm, added up from left to right as scikit-learn does; a
    row of zeros stays. Dense counts have no places.
    """

    def rounded(tensor: str) -> str:
        return graph.rounded(tensor) if single else tensor

    x = counts.values
    if weighting.sublinear_tf:
        x = _sublinear(graph, x, single=single, whole=counts.counts)
    if hasattr(weighting, "idf_"):
        idf = graph.constant(np.ravel(weighting.idf_))
        idf = graph.node("Gather", idf, counts.places) if counts.places else idf
        x = rounded(graph.node("Mul", x, idf))
    if weighting.norm is not None:
        squared = weighting.norm == "l2"
        sizes = rounded(graph.node("Mul", x, x)) if squared else graph.node("Abs", x)
        sums = graph.node("CumSum", sizes, graph.constant(1, np.int64))
        total = graph.node("Gather", sums, graph.integers([-1]), axis=1)
        nothing = graph.node("Equal", total, graph.constant(0.0))
        norm = graph.node("Sqrt", total) if squared else total
        norm = graph.node("Where", nothing, graph.constant(1.0), norm)
        x = rounded(graph.node("Div", x, norm))
    return Sparse(counts.places, x, counts.size)


def _sublinear(graph: Graph, x: str, *, single: bool, whole: bool) -> str:
    """1 + log of all but zeros; of small whole numbers numpy's own, to the last bit."""
    zero, one = graph.constant(0.0), graph.constant(1.0)
    logs = graph.node("Add", graph.node("Log", x), one)
    logs = graph.rounded(logs) if single else logs
    if whole:
        known = np.arange(1, _KNOWN_LOGS, dtype=np.float32 if single else np.float64)
        table = graph.constant(np.concatenate([[0.0], np.log(known) + 1]))
        few = graph.node("Less", x, graph.constant(float(_KNOWN_LOGS)))
        index = graph.cast(graph.node("Where", few, x, zero), TensorProto.INT64)
        return graph.node("Where", few, graph.node("Gather", table, index), logs)
    return graph.node("Where", graph.node("Equal", x, zero), zero, logs)

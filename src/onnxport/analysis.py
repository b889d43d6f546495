"""Text into n-grams, as scikit-learn's vectorizers do it: the part of a model that no ONNX operator
can repeat, because Python alone lower-cases and matches like Python.

Source of the rules: `sklearn/feature_extraction/text.py` (`_VectorizerMixin`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, get_args

from onnxport.signature import NGRAM_SEPARATOR, Accents, Analysis, Analyzer, Text

MAX_PATTERN = 512  # characters: a longer regular expression is rather an attack than a token
MAX_NGRAM = 32  # a text of L characters makes up to L · n² / 2 characters of n-grams

_SPACES = re.compile(r"\s\s+")


def write_text(text: Text) -> dict[str, Any]:
    """A text tensor as the manifest declares it."""
    declared = {f.name: getattr(text.analysis, f.name) for f in fields(Analysis)}
    return {"tensor": text.tensor, "feature": text.feature} | {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in declared.items()
        if value is not None
    }


def read_text(entry: Mapping[str, Any]) -> Text:
    """The same read; every part must be of its own type. Raises ValueError, KeyError, TypeError."""
    low, high = entry["ngram_range"]
    pattern, stops = entry.get("token_pattern"), entry.get("stop_words")
    strings = [entry["tensor"], entry["feature"], entry["analyzer"], *(stops or ())]
    if not all(isinstance(value, str) for value in strings) or not type(low) is type(high) is int:
        raise ValueError("a text is declared with values of wrong types")
    if not isinstance(entry["lowercase"], bool) or not isinstance(pattern, str | None):
        raise ValueError("a text is declared with values of wrong types")
    analysis = Analysis(
        analyzer=entry["analyzer"],
        ngram_range=(low, high),
        lowercase=entry["lowercase"],
        strip_accents=entry.get("strip_accents"),
        token_pattern=pattern,
        stop_words=None if stops is None else tuple(stops),
    )
    check_analysis(analysis)
    return Text(entry["tensor"], entry["feature"], analysis)


def check_analysis(analysis: Analysis) -> None:
    """Refuses a declaration that scikit-learn couldn't have written. Raises ValueError."""
    low, high = analysis.ngram_range
    if analysis.analyzer not in get_args(Analyzer):
        raise ValueError(f"unknown analyzer {analysis.analyzer!r}")
    if analysis.strip_accents not in (None, *get_args(Accents)):
        raise ValueError(f"unknown strip_accents {analysis.strip_accents!r}")
    if not 1 <= low <= high <= MAX_NGRAM:
        raise ValueError(f"the ngram_range {low} to {high} doesn't lie within 1 to {MAX_NGRAM}")
    if (analysis.token_pattern is None) == (analysis.analyzer == "word"):
        raise ValueError("a token_pattern belongs to the analyzer 'word', and to it alone")
    if analysis.token_pattern is not None:
        _compile(analysis.token_pattern)


def _compile(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the token_pattern has over {MAX_PATTERN} characters")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as err:
        raise ValueError(f"the token_pattern is no regular expression: {err}") from err
    if compiled.groups > 1:
        raise ValueError("the token_pattern has more than one group")
    return compiled


@lru_cache(maxsize=64)
def analyzer(analysis: Analysis) -> Callable[[str], list[str]]:
    """The function from a text to its n-grams, in no particular order."""
    prepare, (low, high) = _preparation(analysis), analysis.ngram_range
    if analysis.token_pattern is not None:
        find, stops = _compile(analysis.token_pattern).findall, frozenset(analysis.stop_words or ())

        def words(text: str) -> list[str]:
            tokens = [token for token in find(prepare(text)) if token not in stops]
            return tokens if high == 1 else list(_word_ngrams(tokens, low, high))

        return words
    split = _char_wb_ngrams if analysis.analyzer == "char_wb" else _char_ngrams
    return lambda text: list(split(_SPACES.sub(" ", prepare(text)), low, high))


def joined_ngrams(analysis: Analysis, text: str) -> str:
    """A text tensor's content for one text. n-grams that hold the separator are left out: no
    vocabulary knows one. Raises ValueError for what is no string.
    """
    if not isinstance(text, str):
        raise ValueError(f"a text is a string, and this is {type(text).__name__}")
    ngrams = analyzer(analysis)(text)
    if NGRAM_SEPARATOR in text:
        ngrams = [ngram for ngram in ngrams if NGRAM_SEPARATOR not in ngram]
    return NGRAM_SEPARATOR.join(ngrams)


def _preparation(analysis: Analysis) -> Callable[[str], str]:
    """Lower-casing first, then accents."""
    accents = {"ascii": _to_ascii, "unicode": _without_accents}.get(analysis.strip_accents or "")
    if accents is None:
        return str.lower if analysis.lowercase else str
    return (lambda text: accents(text.lower())) if analysis.lowercase else accents


def _to_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join([char for char in decomposed if not unicodedata.combining(char)])


def _word_ngrams(tokens: list[str], low: int, high: int) -> Iterator[str]:
    for n in range(low, min(high, len(tokens)) + 1):
        for i in range(len(tokens) - n + 1):
            yield " ".join(tokens[i : i + n])


def _char_ngrams(text: str, low: int, high: int) -> Iterator[str]:
    for n in range(low, min(high, len(text)) + 1):
        for i in range(len(text) - n + 1):
            yield text[i : i + n]


def _char_wb_ngrams(text: str, low: int, high: int) -> Iterator[str]:
    """Inside words with a space on either side; a word shorter than n counts once, as a whole."""
    for word in text.split():
        padded = f" {word} "
        for n in range(low, high + 1):
            for i in range(max(len(padded) - n, 0) + 1):
                yield padded[i : i + n]
            if n >= len(padded):
                break

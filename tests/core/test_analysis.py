"""Texts into n-grams: scikit-learn's own analyzers are the oracle."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from onnxport.analysis import MAX_PATTERN, analyzer, check_analysis, joined_ngrams
from onnxport.signature import NGRAM_SEPARATOR, Analysis

# Any character, and those that lower-casing, decomposition and word boundaries care for.
TRAPS = "aA bB_'-.\t\n\x0b\x1c\x85\xa0\u2028éÉßẞİ\u0131Σ\u03c3ςǅﬁ🎉\u200d\u0301東京ไ\u0661²½\ue001\ufeff"
TEXTS = st.text(st.one_of(st.sampled_from(TRAPS), st.characters(exclude_categories=["Cs"])))
RANGES = st.tuples(st.integers(1, 3), st.integers(0, 3)).map(lambda r: (r[0], r[0] + r[1]))
PATTERNS = st.sampled_from([r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\S+", r"(\w)\w*", r"(?i)a|\d"])


def _both(text: str, **options: Any) -> tuple[Counter[str], Counter[str]]:
    """The n-grams that scikit-learn finds, and ours."""
    own = CountVectorizer(**options).build_analyzer()(text)
    options.setdefault("token_pattern", None)
    stops = options.pop("stop_words", None)
    declared = Analysis(**options, stop_words=None if stops is None else tuple(stops))
    return Counter(own), Counter(analyzer(declared)(text))


OPTIONS = {
    "ngram_range": RANGES,
    "lowercase": st.booleans(),
    "strip_accents": st.sampled_from([None, "ascii", "unicode"]),
}


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, pattern=PATTERNS, options=st.fixed_dictionaries(OPTIONS))
def test_words_are_scikit_learns(text: str, pattern: str, options: dict[str, Any]) -> None:
    stops = ["a", "the", "ß"]
    own, ours = _both(text, analyzer="word", token_pattern=pattern, stop_words=stops, **options)
    assert ours == own


@settings(max_examples=300, deadline=None)
@given(
    text=TEXTS, kind=st.sampled_from(["char", "char_wb"]), options=st.fixed_dictionaries(OPTIONS)
)
def test_characters_are_scikit_learns(text: str, kind: str, options: dict[str, Any]) -> None:
    own, ours = _both(text, analyzer=kind, **options)
    assert ours == own


def test_a_long_english_text_loses_its_stop_words() -> None:
    text = "The final Σ of ΟΔΥΣΣΕΥΣ is not the Σ that lower() makes of it elsewhere. " * 50
    options = {"token_pattern": r"(?u)\b\w\w+\b", "ngram_range": (1, 2), "analyzer": "word"}
    own, ours = _both(text, stop_words=sorted(ENGLISH_STOP_WORDS), **options)
    assert ours == own
    assert ours["οδυσσευς"] == 50


def test_ngrams_are_joined_and_those_with_the_separator_left_out() -> None:
    chars = Analysis("char", (1, 2))
    assert joined_ngrams(chars, "ab").split(NGRAM_SEPARATOR) == ["a", "b", "ab"]
    assert joined_ngrams(chars, f"a{NGRAM_SEPARATOR}b").split(NGRAM_SEPARATOR) == ["a", "b"]
    assert joined_ngrams(chars, "") == ""
    with pytest.raises(ValueError, match="a text is a string, and this is NoneType"):
        joined_ngrams(chars, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        (Analysis("line", (1, 1)), "unknown analyzer"),  # type: ignore[arg-type]
        (Analysis("char", (1, 1), strip_accents="all"), "strip_accents"),  # type: ignore[arg-type]
        (Analysis("char", (0, 1)), "ngram_range"),
        (Analysis("char", (2, 1)), "ngram_range"),
        (Analysis("char", (1, 1000)), "ngram_range"),
        (Analysis("char", (1, 1), token_pattern="x"), "belongs to the analyzer 'word'"),
        (Analysis("word", (1, 1)), "belongs to the analyzer 'word'"),
        (Analysis("word", (1, 1), token_pattern="("), "no regular expression"),
        (Analysis("word", (1, 1), token_pattern="(a)(b)"), "more than one group"),
        (Analysis("word", (1, 1), token_pattern="(" * 200 + ")" * 200), "group|expression"),
        (Analysis("word", (1, 1), token_pattern="a{99999999999999999999}"), "no regular"),
        (Analysis("word", (1, 1), token_pattern="a" * (MAX_PATTERN + 1)), "over 512 characters"),
    ],
)
def test_a_declaration_that_scikit_learn_could_not_write_is_refused(
    declared: Analysis, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_analysis(declared)

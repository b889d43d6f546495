"""Texts that nobody wrote: words of the sample in another order, and texts that are hard to read."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from onnxport.export.graph import Array
from onnxport.signature import NGRAM_SEPARATOR, NULL_TOKEN

_MAX_WORDS = 5000
_MAX_TEXTS = 2000
_MOST = 12  # words in a text
_RARE = 5  # a word in fewer texts could name a person
_LONG = 2000

# Words that lower-case, decompose or end in a way of their own; and what is no word.
HARD_WORDS = (
    "ΟΔΥΣΣΕΥΣ",
    "σας ΣΑΣ ς Σ",
    "İSTANBUL \u0131l\u0131k I i",
    "STRASSE Straße ẞ",
    "ﬁn ﬀ Ⅷ",
    "ǅ ŉ ΐ",
    "cafe\u0301 café naïve Ångström \u212bngström",
    "東京都 東 京 한국어 ภาษาไทย हिन्दी",
    "عربي עברית",
    "👩\u200d👩\u200d👧 🎉🎉 🇦🇹",
    "\u0661\u0662\u0663 ४५६ ²³ ½ 12 3.14",
    "word_word don't it's re-use a.b@c.de",
    "\uff21\uff42\uff43 \U0001d518\U0001d52b\U0001d526 ①",
    "\ufdfa",
    "\u00adsoft\u200bwidth\u2060join\ufeff",
)
_SPACES = ("", " ", "   ", "\t\n", "\r\n\x0b\x0c\x1c\x1f\x85", "\u00a0\u2003\u3000\u2028", "\u200b")
_ODD = (NGRAM_SEPARATOR, NULL_TOKEN + "!", "\x7f", "a\x00b", ".", "_", "\u0301", "\ud7ff\ue000")


def words_of(values: Array) -> list[str]:
    """Words of the sample between spaces, each once; a few of the hard ones where it has none."""
    return list(_counted(values)) or list(HARD_WORDS)


def common_words(values: Array) -> list[str]:
    """Words that several rows hold: what may travel with the file. Hard ones where there are none."""
    return [word for word, texts in _counted(values).items() if texts >= _RARE] or list(HARD_WORDS)


def _counted(values: Array) -> Counter[str]:
    """In how many texts each word stands, the most common words."""
    counts: Counter[str] = Counter()
    for text in values.tolist()[:_MAX_TEXTS]:
        counts.update(set((text or "").split()))
    return Counter(dict(counts.most_common(_MAX_WORDS)))


def recombined(
    words: Sequence[str], count: int, rng: np.random.Generator, between: str = " "
) -> Array:
    """Texts of a few random words each, object [count]."""
    texts = np.empty(count, dtype=object)
    for i, length in enumerate(rng.integers(1, _MOST + 1, size=count)):
        texts[i] = between.join(words[j] for j in rng.integers(len(words), size=length))
    return texts


def hard_texts(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Texts that lower-casing, accents, word boundaries or counting could break, around words that
    the model knows.
    """
    usual = recombined(words, 16, rng).tolist()
    variants = (str.upper, str.lower, str.title, str.swapcase, str.casefold)
    texts = [change(text) for change in variants for text in usual]
    texts += [
        unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKD") for text in usual
    ]
    for odd in (*HARD_WORDS, *_SPACES, *_ODD):
        left, right = words[int(rng.integers(len(words)))], words[int(rng.integers(len(words)))]
        texts += [odd, f"{left} {odd} {right}", f"{left}{odd}{right}", odd + left, odd.upper()]
    texts += [left * 2, " ".join([left] * 300), " ".join([*usual[0].split(), *["of the in"] * 30])]
    texts += ["".join(usual), "unknownunknown", "x", " ".join(recombined(words, _LONG // 6, rng))]
    return texts

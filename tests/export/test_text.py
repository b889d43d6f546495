"""Text: vectorizers of every kind, in front of what people put behind them, on texts of many scripts."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import MaxAbsScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import onnxport
from onnxport.errors import ExportError, ParityError, UnsupportedModel, ValidationError
from onnxport.export.texts import HARD_WORDS
from tests.export import data

_GOOD = "good great love day film Straße ΟΔΥΣΣΕΥΣ 東京 naïve café 🎉 very 12 the in of"
_BAD = "bad poor hate night film İSTANBUL ΣΑΣ 한국어 naive cafe\u0301 😞 very ١٢ the not of"


@cache
def reviews() -> tuple[list[str], Any]:
    """240 made-up reviews in several scripts, some of them empty."""
    rng = np.random.default_rng(5)
    y = rng.random(240) < 0.5
    pools = [(_GOOD.split() * 2 + _BAD.split()) if up else (_BAD.split() * 2) for up in y]
    lengths = rng.integers(0, 15, 240)
    texts = [" ".join(rng.choice(p, n)) for p, n in zip(pools, lengths, strict=True)]
    return [str(text) for text in texts], np.where(y, "up", "down").astype(object)


def table() -> tuple[pd.DataFrame, Any]:
    """The same beside a number with holes and a city."""
    texts, y = reviews()
    rng = np.random.default_rng(6)
    price = np.where(rng.random(len(texts)) < 0.1, np.nan, rng.normal(30, 9, len(texts)).round(1))
    city = rng.choice(["Graz", "東京"], len(texts))
    return pd.DataFrame({"review": texts, "price": price, "city": city}), y


def _told(estimator: Any) -> str:
    """An estimator in one line, without the addresses of functions, which differ by process."""
    return re.sub(r" at 0x\w+", "", str(estimator).replace("\n", " "))


def _unseen() -> list[str]:
    words = f"{_GOOD} {_BAD}".split()
    rng = np.random.default_rng(9)
    mixed = [" ".join(rng.choice(words, n)) for n in rng.integers(0, 40, 60)]
    often = (
        "bad " * 7 + "good " * 28 + "film night love"
    )  # logarithms of float32 that numpy rounds up
    hard = [*HARD_WORDS, "", " \t\n", "good\ue001bad", often]
    return [*mixed, *(text.upper() for text in mixed), *hard]


def _check(model: Any, path: Path, X: Any, rows: Any, **options: Any) -> onnxport.Model:
    """Saves, loads, and asks both about rows that the fit never saw."""
    report = onnxport.save(model, path, X=X, **options)
    assert report.parity.label_flips == 0
    loaded = onnxport.load(path)
    answers = loaded.predict(rows)
    assert [a["prediction"] for a in answers] == pytest.approx(model.predict(rows).tolist())
    if hasattr(model, "predict_proba"):
        got = [list(answer["probabilities"].values()) for answer in answers]
        np.testing.assert_allclose(
            got, model.predict_proba(rows), rtol=0, atol=report.parity.tolerance
        )
    return loaded


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(),
        CountVectorizer(binary=True, ngram_range=(1, 3), min_df=2),
        CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False),
        CountVectorizer(
            vocabulary=["good", "bad", "οδυσσευς", "istanbul"], strip_accents="unicode"
        ),
        CountVectorizer(dtype=np.float32, stop_words=["film", "very"]),
        TfidfVectorizer(),
        TfidfVectorizer(sublinear_tf=True, norm="l1", ngram_range=(1, 2), stop_words="english"),
        TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=150
        ),
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", strip_accents="ascii", use_idf=False),
        TfidfVectorizer(token_pattern=r"(\w)\w*", norm=None, smooth_idf=False, binary=True),
        TfidfVectorizer(dtype=np.float32, sublinear_tf=True),
        make_pipeline(CountVectorizer(), TfidfTransformer(sublinear_tf=True)),
        make_pipeline(CountVectorizer(dtype=np.float32), TfidfTransformer(norm="l1")),
        make_union(CountVectorizer(), TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 2))),
    ],
    ids=_told,
)
def test_a_vectorizer_reads_every_script(vectorizer: Any, tmp_path: Path) -> None:
    texts, y = reviews()
    model = make_pipeline(vectorizer, LogisticRegression()).fit(texts, y)
    _check(model, tmp_path / "m.onnx", texts, _unseen())


@pytest.mark.parametrize(
    "behind",
    [
        MultinomialNB(),
        ComplementNB(),
        BernoulliNB(),
        LinearSVC(random_state=0),
        SGDClassifier(loss="log_loss", random_state=0),
        RandomForestClassifier(20, random_state=0),
        DecisionTreeClassifier(random_state=0),
        SVC(),
        SVC(kernel="linear", decision_function_shape="ovo"),
        make_pipeline(SelectKBest(chi2, k=9), LogisticRegression()),
        make_pipeline(TruncatedSVD(5, random_state=0), StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(with_mean=False), LogisticRegression()),
        make_pipeline(MaxAbsScaler(), Normalizer(), RandomForestClassifier(9, random_state=0)),
    ],
    ids=_told,
)
def test_what_stands_behind_a_vectorizer(behind: Any, tmp_path: Path) -> None:
    texts, y = reviews()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), behind).fit(texts, y)
    _check(model, tmp_path / "m.onnx", texts, _unseen())


def _columns(**options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("words", TfidfVectorizer(), "review"),
            ("letters", CountVectorizer(analyzer="char_wb", ngram_range=(1, 2)), "review"),
            ("price", make_pipeline(SimpleImputer(), StandardScaler()), ["price"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ],
        **options,
    )


def _rows() -> pd.DataFrame:
    texts = _unseen()
    price = np.where(np.arange(len(texts)) % 5, np.linspace(0, 60, len(texts)), np.nan)
    return pd.DataFrame({"city": "Graz", "price": price, "review": texts})


@pytest.mark.parametrize(
    ("threshold", "last"),
    [(0, RandomForestClassifier(15, random_state=0)), (1.0, LogisticRegression())],
)
def test_text_next_to_numbers_and_categories(threshold: float, last: Any, tmp_path: Path) -> None:
    X, y = table()
    model = make_pipeline(_columns(sparse_threshold=threshold), last).fit(X, y)
    loaded = _check(model, tmp_path / "m.onnx", X, _rows())
    assert [tensor.name for tensor in loaded.signature.tensors] == ["num", "s1", "t0", "t1"]


def test_one_column_as_text_and_as_a_category(tmp_path: Path) -> None:
    X, y = table()
    both = ColumnTransformer(
        [
            ("words", CountVectorizer(), "city"),
            ("city", OneHotEncoder(), ["city"]),
            ("union", FeatureUnion([("w", TfidfVectorizer()), ("c", CountVectorizer())]), 0),
        ]
    )
    model = Pipeline([("both", both), ("last", LogisticRegression())]).fit(X, y)
    loaded = _check(model, tmp_path / "m.onnx", X, X.iloc[:40])
    assert loaded.signature.by_name["city"].categories == ("Graz", "東京")
    with pytest.raises(ValidationError, match="allowed are 'Graz', '東京'"):
        loaded.predict({"review": "good", "price": 1.0, "city": "Paris"})


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_logarithms_of_counts_to_the_last_bit(dtype: Any, tmp_path: Path) -> None:
    """numpy's float32 logarithm of 7, 28, 35 or 37 isn't the rounded double one."""
    model = make_pipeline(CountVectorizer(dtype=dtype), TfidfTransformer(sublinear_tf=True))
    model.fit(reviews()[0])
    onnxport.save(model, tmp_path / "m.onnx", X=reviews()[0][:20])
    rows = ["bad " * bad + "good " * good + "film" for bad in (7, 37) for good in (28, 35)]
    got = [answer["output"] for answer in onnxport.load(tmp_path / "m.onnx").predict(rows)]
    assert got == model.transform(rows).toarray().tolist()


def test_real_texts(tmp_path: Path) -> None:
    X, longitude = data.airports()
    text = make_pipeline(TfidfVectorizer(min_df=2), TruncatedSVD(20, random_state=0))
    columns = ColumnTransformer([("name", text, "name"), ("rest", "passthrough", ["latitude"])])
    model = make_pipeline(columns, RandomForestRegressor(10, random_state=0)).fit(X, longitude)
    loaded = _check(model, tmp_path / "m.onnx", X, X.iloc[:50])
    assert loaded.signature.by_name["name"].kind == "text"
    assert set(loaded.signature.ignored) == {"state", "country"}


def test_searches_votes_and_calibration_over_texts(tmp_path: Path) -> None:
    texts, y = reviews()
    line = make_pipeline(TfidfVectorizer(), LogisticRegression())
    search = GridSearchCV(line, {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)]}, cv=2)
    vote = VotingClassifier([("a", line), ("b", make_pipeline(CountVectorizer(), MultinomialNB()))])
    vote.set_params(voting="soft")
    calibrated = CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), LinearSVC()), cv=2)
    for model in (search, vote, calibrated):
        _check(model.fit(texts, y), tmp_path / "m.onnx", texts, _unseen())


def test_a_calibration_that_shows_the_rounding_of_its_scores(tmp_path: Path) -> None:
    """Between 0 and 5e-14 of a naive Bayes probability its steps rise as steeply as 1e10."""
    texts, y = reviews()
    steep = CalibratedClassifierCV(MultinomialNB(), method="isotonic", cv=2)
    model = make_pipeline(CountVectorizer(analyzer="char", ngram_range=(1, 4)), steep)
    with pytest.raises(ParityError, match="method='sigmoid'"):
        onnxport.save(model.fit(texts, y), tmp_path / "m.onnx", X=texts)


def test_a_list_a_series_and_an_array_of_texts(tmp_path: Path) -> None:
    texts, y = reviews()
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model.fit(texts, y)
    path = tmp_path / "m.onnx"
    for X, name in (
        (pd.Series(texts, name="comment"), "comment"),
        (np.array(texts), "text"),
        (tuple(texts), "text"),
        (pd.DataFrame({"only": texts}), "only"),
    ):
        onnxport.save(model, path, X=X, y=y)
        assert onnxport.load(path).signature.names == (name,)
    onnxport.save(model, path, X=texts, features=["review"], sample_rows=["good day", "bad"])
    loaded = onnxport.load(path)
    assert loaded.file.selftest.inputs == {"review": ["good day", "bad"]}
    expected = loaded.predict(["good day", ""])
    assert loaded.predict([{"review": "good day"}, {"review": ""}]) == expected
    assert loaded.predict(pd.Series(["good day", ""])) == expected
    assert loaded.predict(np.array(["good day", ""])) == expected
    assert loaded.predict(pd.DataFrame({"review": ["good day", ""]})) == expected
    assert loaded.predict({"review": "good day"}) == expected[0]
    assert json.loads(loaded.predict_json(b'{"review": "good day"}')) == expected[0]
    assert loaded.predict([]) == []


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> onnxport.Model:
    """A model of texts alone."""
    return onnxport.load(_saved(tmp_path_factory.mktemp("reader")))


@pytest.mark.parametrize("value", [None, float("nan"), 5, True, ["good"], {"a": 1}, "nul \0"])
def test_what_is_no_text_is_refused(value: Any, reader: onnxport.Model) -> None:
    with pytest.raises(ValidationError, match="'text'"):
        reader.predict({"text": value})
    with pytest.raises(ValidationError):
        reader.predict(["good", value])


def _saved(folder: Path, **options: Any) -> Path:
    texts, y = reviews()
    model = make_pipeline(TfidfVectorizer(**options), LogisticRegression()).fit(texts, y)
    onnxport.save(model, folder / "m.onnx", X=texts)
    return folder / "m.onnx"


def test_without_a_sample_the_vocabulary_makes_one(tmp_path: Path) -> None:
    texts, y = reviews()
    path = tmp_path / "m.onnx"
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, y)
    onnxport.save(model, path)
    answers = onnxport.load(path).predict(texts)
    assert [answer["prediction"] for answer in answers] == model.predict(texts).tolist()
    X, y = table()
    text = ColumnTransformer([("t", _columns().transformers[1][1], "review")])
    model = make_pipeline(text, LogisticRegression()).fit(X, y)
    onnxport.save(model, path)
    assert onnxport.load(path).signature.by_name["review"].kind == "text"


def test_no_text_of_training_is_in_the_file(tmp_path: Path) -> None:
    texts, y = reviews()
    secret = [f"{text} ask nobody{i}@example.org" for i, text in enumerate(texts)]
    model = make_pipeline(TfidfVectorizer(min_df=5), LogisticRegression()).fit(secret, y)
    report = onnxport.save(model, tmp_path / "m.onnx", X=secret, y=y)
    content = (tmp_path / "m.onnx").read_bytes()
    assert b"nobody" not in content
    assert not any(text.encode() in content for text in secret)
    feature = report.manifest.signature.by_name["text"]
    assert (feature.kind, feature.categories) == ("text", None)
    length = onnxport.load(tmp_path / "m.onnx").file.baseline["columns"]["text"]["length"]
    assert length["mean"] == pytest.approx(np.mean([len(text) for text in secret]))


def test_long_texts_among_short_ones(tmp_path: Path) -> None:
    path = _saved(tmp_path, analyzer="char_wb", ngram_range=(1, 4))
    loaded = onnxport.load(path)
    texts, y = reviews()
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)), LogisticRegression()
    )
    model.fit(texts, y)
    rows = ["good"] * 300 + ["bad day " * 40_000] + ["film"] * 300
    got = [list(answer["probabilities"].values()) for answer in loaded.predict(rows)]
    np.testing.assert_allclose(got, model.predict_proba(rows), atol=1e-12)


@pytest.mark.parametrize(
    ("vectorizer", "parameter", "nearest"),
    [
        (TfidfVectorizer(analyzer=str.split), "analyzer", "char_wb"),
        (TfidfVectorizer(tokenizer=str.split, token_pattern=None), "tokenizer", "token_pattern"),
        (TfidfVectorizer(preprocessor=str.lower), "preprocessor", "lowercase"),
        (TfidfVectorizer(strip_accents=str.lower), "strip_accents", "unicode"),
        (TfidfVectorizer(analyzer="char", ngram_range=(1, 40)), "ngram_range", "within 1 to 32"),
        (TfidfVectorizer(token_pattern=r"\w" * 300), "token_pattern", "shorter"),
        (CountVectorizer(token_pattern=r"\b\w?"), "vocabulary_", "token_pattern"),
        (CountVectorizer(dtype=np.int8), "dtype", "int64"),
        (CountVectorizer(stop_words=[f"w{i:09}" for i in range(9999)]), "stop_words", "max_df"),
        (
            TfidfVectorizer(vocabulary=["b", "zz"], smooth_idf=False),
            "smooth_idf",
            "smooth_idf=True",
        ),
        (HashingVectorizer(n_features=64), "", "CountVectorizer for text"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_is_refused(vectorizer: Any, parameter: str, nearest: str, tmp_path: Path) -> None:
    texts, y = ["a" * 700, "the b c", "d"] * 4, [0, 1, 0] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn has an opinion on some of these
        model = make_pipeline(vectorizer, LogisticRegression()).fit(texts, y)
    with pytest.raises(UnsupportedModel) as caught:
        onnxport.save(model, tmp_path / "m.onnx", X=texts)
    assert (caught.value.parameter or "") == parameter
    assert nearest in str(caught.value)


@pytest.mark.parametrize(
    ("X", "complaint"),
    [
        ("one text", "pass a list or Series of strings"),
        (7, "pass a list or Series of strings"),
        ([], "no rows"),
        ([["a"], ["b"]], "holds list among its texts"),
        (["a", None], "holds NoneType among its texts"),
        ([b"bytes"], "holds bytes among its texts"),
        (np.array([["a"], ["b"]]), "pass a list or Series of strings"),
    ],
)
def test_a_sample_that_is_no_list_of_texts(X: Any, complaint: str, tmp_path: Path) -> None:
    texts, y = reviews()
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, y)
    with pytest.raises(ExportError, match=complaint):
        onnxport.save(model, tmp_path / "m.onnx", X=X)
    assert not (tmp_path / "m.onnx").exists()

"""An X that doesn't fit is refused with where, what, and what to do; an odd one that fits converts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.random import default_rng
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import onnxport
from onnxport.errors import ExportError
from onnxport.signature import NULL_TOKEN

RNG = default_rng(23)
ROWS = 120
X = pd.DataFrame(
    {
        "a": RNG.normal(size=ROWS),
        "b": RNG.normal(size=ROWS),
        "c": pd.Series(RNG.choice(["x", "y"], ROWS), dtype=object),
    }
)
Y = X["a"] + (X["c"] == "x")
NUMBERS = X[["a", "b"]].to_numpy()


def _each(value: Any) -> Any:
    """The same object in every row."""
    return pd.Series([value] * ROWS, dtype=object)


def _encoded(**options: Any) -> Any:
    encoder = ColumnTransformer([("o", OneHotEncoder(**options), ["c"])], remainder="passthrough")
    return make_pipeline(encoder, Ridge())


def _refused(estimator: Any, sample: Any, folder: Path) -> str:
    with pytest.raises(ExportError) as caught:
        onnxport.save(estimator, folder / "m.onnx", sample)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def _agrees(estimator: Any, sample: Any, rows: Any, folder: Path) -> None:
    onnxport.save(estimator, folder / "m.onnx", sample)
    found = onnxport.load(folder / "m.onnx").predict(rows)
    expected = estimator.predict(rows).tolist()
    assert [answer["prediction"] for answer in found] == pytest.approx(expected, rel=1e-9)


FRAMES: dict[str, tuple[Any, str]] = {
    "one more": (X.assign(z=1), "X has the column 'z' that the estimator was not fitted on"),
    "one less": (X[["a", "b"]], "X lacks the column 'c' that the estimator was fitted on"),
    "renamed": (X.rename(columns={"a": "A"}), "X lacks the column 'a'"),
    "twice": (pd.concat([X, X[["a"]]], axis=1), "two columns of X share a name"),
    "numbers for names": (X.set_axis([0, 1, 2], axis=1), "X lacks the column 'a'"),
    "a Series": (X["a"], r"pass a DataFrame or an array \[rows, features\]"),
    "no rows": (X.head(0), "X has no rows; pass a representative sample"),
    "dates": (
        X.assign(a=pd.Timestamp("2020-01-01")),
        "'a' has the datatype datetime64.*before fitting",
    ),
    "durations": (X.assign(a=pd.Timedelta(1, "D")), "'a' has the datatype timedelta64"),
    "periods": (
        X.assign(a=pd.period_range("2020", periods=ROWS, freq="D")),
        "'a' holds Period; turn it into numbers or strings",
    ),
    "complex": (X.assign(a=1j), "'a' has the datatype complex128"),
    "halves": (X.astype({"a": np.float16}), "'a' has the datatype float16"),
    "sparse": (
        X.assign(a=pd.arrays.SparseArray(NUMBERS[:, 0])),
        r"'a' is sparse; pass X.sparse.to_dense\(\)",
    ),
    "bytes": (X.assign(c=_each(b"x")), "'c' holds bytes; turn it into numbers or strings"),
    "lists": (X.assign(c=_each([1])), "'c' holds list; turn it into numbers or strings"),
    "decimals": (X.assign(a=_each(Decimal(1))), "'a' holds Decimal; turn it into numbers"),
    "types": (X.assign(c=["x", 1] * (ROWS // 2)), "'c' holds int, str; keep one type in each"),
    "surrogate": (X.assign(c=_each("\ud800")), "'c' holds .*no valid Unicode; clean it"),
    "unknown": (X.assign(c="z"), "refuses the sample X: Found unknown categories"),
    "infinite": (X.assign(a=np.inf), "refuses the sample X: Input X contains infinity"),
    "null": (
        X.assign(a=np.nan),
        "refuses the sample X .nulls are in 'a'.: Input X contains NaN; pass",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_does_not_fit(name: str, tmp_path: Path) -> None:
    sample, said = FRAMES[name]
    with pytest.raises(ExportError, match=said):
        onnxport.save(_encoded().fit(X, Y), tmp_path / "m.onnx", sample)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (sparse.csr_array(NUMBERS), "X is a sparse matrix; pass X.toarray()"),
        (np.zeros((3, 2, 2)), "X has shape (3, 2, 2); pass"),
        ([[1], [1, 2]], "X is no table"),
        (np.zeros((3, 2), dtype="M8[s]"), "X has the datatype datetime64[s]; pass numbers"),
        (np.array([[1, "a"]], dtype=object), "could not convert string to float"),
        (np.array([["1", "2"]]), "it gets string columns, and converts only with numbers"),
        (X.set_axis(["a", "a", "c"], axis=1)[["a"]], "two columns of X share a name"),
    ],
    ids=["sparse", "cube", "ragged", "dates", "mixed", "texts", "twice"],
)
def test_an_array_that_does_not_fit(sample: Any, said: str, tmp_path: Path) -> None:
    assert said in _refused(Ridge().fit(sparse.csr_array(NUMBERS), Y), sample, tmp_path)


def test_one_row_and_another_order(tmp_path: Path) -> None:
    _agrees(_encoded().fit(X, Y), X[["c", "b", "a"]].head(1), X, tmp_path)


def test_one_row_of_nulls(tmp_path: Path) -> None:
    holes = X[["a", "b"]].mask(RNG.random((ROWS, 2)) < 0.2)
    estimator = make_pipeline(SimpleImputer(), Ridge()).fit(holes, Y)
    _agrees(estimator, holes.head(1) * np.nan, holes, tmp_path)


def test_columns_that_never_vary(tmp_path: Path) -> None:
    sample = X.assign(one=1.0, zero=0, never=False, same=_each("s"))
    encoder = ColumnTransformer(
        [("o", OneHotEncoder(), ["c", "same", "never"])], remainder=StandardScaler()
    )
    _agrees(make_pipeline(encoder, Ridge()).fit(sample, Y), sample, sample, tmp_path)


def test_columns_that_nobody_reads_may_hold_anything(tmp_path: Path) -> None:
    sample = X.assign(when=pd.Timestamp(0, tz="UTC"), what=_each([1]), how=[b"x", 1] * (ROWS // 2))
    kept = ColumnTransformer([("k", "passthrough", ["a"]), ("d", "drop", ["what"])])
    _agrees(make_pipeline(kept, Ridge()).fit(sample, Y), sample, sample, tmp_path)


@pytest.mark.parametrize(
    "estimator",
    [
        Pipeline([("none", None), ("same", "passthrough"), ("r", Ridge())]),
        Pipeline(
            [("u", FeatureUnion([("gone", "drop"), ("s", StandardScaler())])), ("r", Ridge())]
        ),
        make_pipeline(
            ColumnTransformer(
                [("n", StandardScaler(), []), ("m", "drop", [0]), ("s", "passthrough", slice(1, 2))]
            ),
            Ridge(),
        ),
    ],
    ids=["none", "union", "columns"],
)
def test_steps_that_do_nothing(estimator: Any, tmp_path: Path) -> None:
    sample = X[["a", "b"]]
    _agrees(estimator.fit(sample, Y), sample, sample, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("\ud800", "lone surrogate"), (NULL_TOKEN, "string that stands for null")],
    ids=["surrogate", "token"],
)
def test_categories_that_no_file_can_hold(text: str, said: str, tmp_path: Path) -> None:
    odd = X.assign(c=_each(text))
    assert said in _refused(_encoded(handle_unknown="ignore").fit(odd, Y), X, tmp_path)


def test_two_nulls_that_the_estimator_tells_apart(tmp_path: Path) -> None:
    holes = X.assign(c=X["c"].mask(RNG.random(ROWS) < 0.2, None))
    both = holes.assign(c=holes["c"].mask(RNG.random(ROWS) < 0.2, np.nan))
    estimator = _encoded(handle_unknown="ignore").fit(holes, Y)
    said = _refused(estimator, both, tmp_path)
    assert "the column 'c' holds None and nan, which the estimator tells apart" in said
    assert "the API knows only one null; use one of them" in said
    alike = _encoded(handle_unknown="ignore").fit(X, Y)
    _agrees(alike, both, both, tmp_path)


def test_no_sample_of_strings_with_nulls(tmp_path: Path) -> None:
    holes = X[["c"]].mask(RNG.random((ROWS, 1)) < 0.2, None)
    imputer = SimpleImputer(missing_values=None, strategy="most_frequent")
    estimator = make_pipeline(imputer, OneHotEncoder(), LogisticRegression())
    estimator.fit(holes, (Y > 0.5).astype(int))
    _agrees(estimator, None, holes, tmp_path)

"""Kinds 31-38: columns of all types, and text."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from tests.export import data
from tests.export.matrix import frames
from tests.export.matrix.case import cases

LINE = LogisticRegression(max_iter=2000)
FOREST = RandomForestClassifier(10, max_depth=5, random_state=0)


def _all_types(strings: list[str], numbers: list[str], model: Any) -> Any:
    """Strings imputed by the most frequent one and one-hot, numbers imputed and scaled, the rest as
    it is.
    """
    words = make_pipeline(
        SimpleImputer(missing_values=None, strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    parts = [
        ("words", words, strings),
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    ]
    return make_pipeline(ColumnTransformer(parts, remainder="passthrough"), model)


def _encoded(encoder: Any, columns: list[str], model: Any) -> Any:
    parts = [("encoded", encoder, columns)]
    return make_pipeline(ColumnTransformer(parts, remainder="passthrough"), model)


def _text(vectorizer: Any, column: str, model: Any) -> Any:
    parts = [("text", vectorizer, column)]
    return make_pipeline(ColumnTransformer(parts, remainder=StandardScaler()), model)


UNKNOWN = OrdinalEncoder(
    handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
)
BIGRAMS = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
LETTERS = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), sublinear_tf=True)

COLUMNS = [
    *cases(
        31,
        (_all_types(["island"], frames.NUMBERS[:4], LINE), frames.mixed_penguins),
        (_all_types(["state", "country"], ["latitude"], Ridge()), frames.mixed_airports),
        (_all_types(["city", "class"], ["age", "income (k€)"], FOREST), frames.mixed_people),
    ),
    *cases(
        32,
        (_encoded(OneHotEncoder(), ["island"], LINE), frames.penguin_islands),
        (
            _encoded(
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=8),
                ["state", "country"],
                Ridge(),
            ),
            frames.airport_strings,
        ),
        (_encoded(OneHotEncoder(drop="first"), ["city", "class"], FOREST), data.mixed),
    ),
    *cases(
        33,
        (_encoded(UNKNOWN, ["island"], FOREST), frames.mixed_penguins),
        (
            _encoded(
                UNKNOWN, ["state", "country"], RandomForestRegressor(8, max_depth=5, random_state=0)
            ),
            frames.mixed_airports,
        ),
    ),
    *cases(
        34,
        (_encoded(TargetEncoder(random_state=0), ["island"], LINE), frames.penguin_islands),
        (_encoded(TargetEncoder(random_state=0), ["Cylinders"], FOREST), frames.car_regions),
        (
            _encoded(TargetEncoder(random_state=0), ["state", "country"], Ridge()),
            frames.airport_strings,
        ),
    ),
    *cases(
        35,
        (
            make_pipeline(KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), LINE),
            data.wine,
        ),
        (make_pipeline(QuantileTransformer(n_quantiles=50, random_state=0), LINE), data.iris),
        (make_pipeline(PowerTransformer(), Ridge()), frames.heavy_cars),
        (make_pipeline(SplineTransformer(4), Ridge()), frames.heavy_cars),
        (make_pipeline(StandardScaler(), PolynomialFeatures(2), LINE), frames.measured_penguins),
    ),
    *cases(
        36,
        (make_pipeline(SimpleImputer(add_indicator=True), FOREST), data.holes),
        (make_pipeline(KNNImputer(n_neighbors=3), StandardScaler(), LINE), frames.numeric_cars),
        (
            make_pipeline(IterativeImputer(max_iter=4, random_state=0), StandardScaler(), LINE),
            frames.numeric_penguins,
        ),
    ),
    *cases(
        37,
        (_text(TfidfVectorizer(), "Name", LINE), frames.makes),
        (_text(BIGRAMS, "text", LINE), frames.scripts),
        (_text(CountVectorizer(ngram_range=(1, 2), min_df=2), "name", LINE), frames.airport_names),
    ),
    *cases(
        38,
        (_text(LETTERS, "Name", LINE), frames.described_cars),
        (_text(LETTERS, "text", LINE), frames.described_scripts),
        (
            _text(
                CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), max_features=300),
                "name",
                LINE,
            ),
            frames.described_airports,
        ),
    ),
]

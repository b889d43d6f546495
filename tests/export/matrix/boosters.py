"""Kinds 39-43: boosted trees of XGBoost, LightGBM and CatBoost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import catboost
import lightgbm
import xgboost

from tests.export import data
from tests.export.matrix import frames
from tests.export.matrix.case import cases


def _xgb(**options: Any) -> Any:
    return xgboost.XGBClassifier(n_estimators=12, max_depth=4, n_jobs=1, **options)


def _xgb_values(**options: Any) -> Any:
    return xgboost.XGBRegressor(n_estimators=12, max_depth=4, n_jobs=1, **options)


_LIGHT = {"n_estimators": 12, "min_child_samples": 5, "n_jobs": 1, "verbose": -1}
_CAT = {"iterations": 12, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
_FOREST = {"boosting_type": "rf", "subsample": 0.7, "subsample_freq": 1}

_EARLY = [
    replace(case, name=f"{case.name}, stopped early", watched=True)
    for case in cases(39, (_xgb(early_stopping_rounds=2, verbosity=0), data.digits))
]

BOOSTERS = [
    *cases(
        39,
        (_xgb(), frames.odd_penguins),
        (_xgb(missing=-999.0), frames.marked_penguins),
        (_xgb_values(objective="reg:squarederror"), frames.dated_cars),
    ),
    *_EARLY,
    *cases(
        40,
        (_xgb(enable_categorical=True, tree_method="hist"), frames.coded_category_penguins),
        (_xgb_values(), frames.measured_two),
        (_xgb(num_parallel_tree=3, subsample=0.6), frames.coded_seattle),
        (_xgb(booster="dart", rate_drop=0.3), data.cancer),
        (_xgb_values(objective="reg:logistic", base_score=0.3), frames.airport_west),
    ),
    *cases(
        41,
        (lightgbm.LGBMClassifier(**_LIGHT), data.ids),
        (lightgbm.LGBMClassifier(**_LIGHT), frames.numeric_penguins),
        (lightgbm.LGBMClassifier(zero_as_missing=True, **_LIGHT), data.digits),
        (lightgbm.LGBMRegressor(objective="poisson", **_LIGHT), frames.times),
    ),
    *cases(
        42,
        (lightgbm.LGBMClassifier(**_LIGHT), frames.category_penguins),
        (lightgbm.LGBMClassifier(**_FOREST, **_LIGHT), data.cancer),
        (lightgbm.LGBMClassifier(objective="multiclassova", **_LIGHT), frames.seattle),
        (lightgbm.LGBMRegressor(linear_tree=True, **_LIGHT), frames.heavy_cars),
    ),
    *cases(
        43,
        (
            catboost.CatBoostClassifier(cat_features=["island"], one_hot_max_size=9, **_CAT),
            frames.string_penguins,
        ),
        (catboost.CatBoostRegressor(loss_function="Poisson", **_CAT), frames.heavy_cars),
        (catboost.CatBoostClassifier(grow_policy="Depthwise", **_CAT), data.wine),
        (catboost.CatBoostRegressor(loss_function="MultiRMSE", **_CAT), frames.measured_two),
    ),
]

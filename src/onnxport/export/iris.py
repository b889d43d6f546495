"""The classic to begin with: a random forest on the iris data, its columns and labels named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


@dataclass(frozen=True)
class Iris:
    """A fitted random forest with the table and the labels that it was fitted on. 150 rows, lengths
    in cm.
    """

    estimator: RandomForestClassifier
    X: pd.DataFrame
    y: Any


def train_iris() -> Iris:
    """Fits it, the same each time."""
    data = load_iris()
    X = pd.DataFrame(data.data, columns=list(FEATURES))
    y = data.target_names[data.target]
    return Iris(RandomForestClassifier(n_estimators=100, random_state=0).fit(X, y), X, y)

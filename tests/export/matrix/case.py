"""A case of the matrix: one kind of estimator, one estimator of it, one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from tests.export.data import Data

Load: TypeAlias = "Callable[[], Data]"

KINDS = {
    1: "logistic regression, two classes",
    2: "logistic regression, several classes of strings",
    3: "linear machine without probabilities, boolean labels",
    4: "stochastic gradient descent, saturated probabilities",
    5: "support vector machine with probabilities",
    6: "ridge and generalized linear models, large numbers",
    7: "Gaussian naive Bayes",
    8: "nearest neighbours, uniform weights",
    9: "nearest neighbours, weighted by distance",
    10: "multi-layer perceptron",
    11: "linear and quadratic discriminant analysis",
    12: "principal components of columns with large means",
    13: "decision tree, missing values",
    14: "random forest, missing values",
    15: "extra trees, ties",
    16: "gradient boosting, exponential loss and init estimator",
    17: "histogram gradient boosting, missing values",
    18: "histogram gradient boosting, categories",
    19: "histogram gradient boosting, ids and times, log links",
    20: "AdaBoost",
    21: "bagging of subsets",
    22: "voting, soft and hard",
    23: "stacking with passthrough",
    24: "calibrated by a sigmoid",
    25: "calibrated by isotonic regression",
    26: "one against one, one against the rest, string labels",
    27: "several outputs and chains",
    28: "fixed and tuned thresholds",
    29: "grid and randomized search",
    30: "transformed target",
    31: "columns of all types, strings imputed",
    32: "one-hot encoding: error, infrequent, drop",
    33: "ordinal encoding of unknown and missing values, trees",
    34: "target encoding, several classes",
    35: "binned, quantile, power, spline, polynomial columns",
    36: "indicators, imputing by neighbours and by iteration",
    37: "words and word n-grams, any script",
    38: "character n-grams beside numeric columns",
    39: "XGBoost: odd names, missing values, -999, early stopping",
    40: "XGBoost: categories, several targets, forests, dart",
    41: "LightGBM: ids, missing values, zero as missing",
    42: "LightGBM: categories, forests, one against all, linear leaves",
    43: "CatBoost: categories, log links, trees that aren't symmetric",
    44: "PyTorch: embeddings, convolutions, sequences of any length",
}
# The hardest, which have three cases or more.
HARDEST = frozenset({4, 14, 18, 19, 25, 31, 37, 38, 40, 42, 43, 44})


@dataclass(frozen=True)
class Case:
    """estimator: unfitted. load: its data set, X and y. watched: fitted with an eval_set, to stop
    early.
    """

    kind: int
    name: str
    estimator: Any
    load: Load
    watched: bool = False

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.name}"


def cases(kind: int, *pairs: tuple[Any, Load]) -> Iterator[Case]:
    """The cases of one kind, named by estimator and data set."""
    names: Sequence[str] = [f"{_called(model)} on {_spoken(load)}" for model, load in pairs]
    for index, (name, (model, load)) in enumerate(zip(names, pairs, strict=True)):
        repeated = names[:index].count(name)
        yield Case(kind, f"{name} ({repeated + 1})" if repeated else name, model, load)


def _called(model: Any) -> str:
    """The class of the estimator; of a pipeline its steps', of columns their first transformer's."""
    if hasattr(model, "steps"):
        return " + ".join(_called(step) for _, step in model.steps)
    if hasattr(model, "transformers"):
        return _called(model.transformers[0][1])
    return type(model).__name__


def _spoken(load: Load) -> str:
    return load.__name__.replace("_", " ")

"""Which estimator, with which parameters, converts how well: the frame that every emitter hangs in.

A rule belongs to one class exactly; a subclass may override anything, so it is unknown. Unknown is
unsupported.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from onnx import TensorProto
from sklearn.base import is_clusterer, is_outlier_detector

from onnxport.errors import UnsupportedModel
from onnxport.export.graph import Columns, Graph
from onnxport.export.libraries import LIBRARIES, library_of, load_library
from onnxport.export.origin import Origin
from onnxport.export.storage import stored_like
from onnxport.export.unsupported import UNSUPPORTED
from onnxport.signature import Analysis, Text

Level = Literal["exact", "tolerant", "unsupported"]

SINCE = "0.1.0"
# The largest |difference| / max(1, |answer|) that each level allows.
EXACT_BAR = 1e-9
ROUGH_BAR = 1e-6  # doubles throughout, but sums so large that their rounding shows in a probability
TOLERANT_BAR = 1e-5


@dataclass(frozen=True, slots=True)
class Refusal:
    """A parameter that doesn't convert exactly, why, and the nearest choice that does."""

    parameter: str
    reason: str
    nearest: str


@dataclass(frozen=True, slots=True)
class Classified:
    """A classifier's outputs in the graph, the latter two where the estimator gives them.

    code: int64 [N]. proba: double [N, classes]. decision: decision_function, double [N, 1] or [N,
    classes].
    """

    code: str
    proba: str | None
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Valued:
    """A regressor's output in the graph: double [N, targets]."""

    value: str


@dataclass(frozen=True, slots=True)
class Several:
    """A classifier of several targets at once, one part for each."""

    parts: tuple[Classified, ...]


@dataclass(frozen=True, slots=True)
class Flagged:
    """An outlier detector's outputs. code: int64 [N], 0 for an outlier (-1), 1 for an inlier.
    score: decision_function, double [N, 1].
    """

    code: str
    score: str


@dataclass(frozen=True, slots=True)
class Grouped:
    """A clusterer's or a mixture's outputs. code: int64 [N], the place in the sorted cluster
    labels. proba: a mixture's, double [N, clusters].
    """

    code: str
    proba: str | None = None


@dataclass(frozen=True, slots=True)
class Tap:
    """What a step gives in the graph, where it can be compared with the estimator's own step."""

    step: str
    estimator: str
    result: Any


@dataclass
class Emission:
    """One conversion under way: the graph so far, and what the parity gate must know of it.

    bar: the largest difference allowed, of the least exact part. splits: split points by feature,
    for the threshold rows. categories: by feature, what encoders were fitted with. refused: bool
    [N, 1] tensors that mark rows which the estimator refuses. undecided: the same for rows that it
    answers differently on other processors. row_bytes: the widest tensor, a row.
    has_trees: the graph jumps at split points; shaky_trees: and the columns before them differ from
    the library's in the last bits. jumpy: neighbours or votes hang on sums that round otherwise
    than the library's. taps: every step's result, inner steps first. exact_output: a
    transformer's output equals the library's to the last bit. strings: the feature in each string
    tensor. texts: the text tensors that the graph reads. sample: X by feature, empty columns where
    there is none.
    """

    graph: Graph
    step: str = ""
    bar: float = EXACT_BAR
    splits: dict[str, set[float]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    categories: dict[str, set[Any]] = field(default_factory=dict)
    row_bytes: int = 0
    has_trees: bool = False
    shaky_trees: bool = False
    jumpy: bool = False
    taps: list[Tap] = field(default_factory=list)
    exact_output: bool = False
    strings: dict[str, str] = field(default_factory=dict)
    texts: list[Text] = field(default_factory=list)
    sample: Mapping[str, Any] = field(default_factory=dict)

    @property
    def strict(self) -> bool:
        """Split points are held to the last bit."""
        return self.exact_output or (self.has_trees and not self.shaky_trees)

    def widen(self, numbers: int) -> None:
        """Notes a tensor of so many doubles a row."""
        self.row_bytes = max(self.row_bytes, 8 * numbers)

    def relax(self, bar: float) -> None:
        self.bar = max(self.bar, bar)

    def text_input(self, tensor: str, analysis: Analysis) -> str | None:
        """The text tensor with these n-grams of the feature in a string tensor, or None where that
        tensor holds no feature as it came in.
        """
        feature = self.strings.get(tensor)
        if feature is None:
            return None
        for text in self.texts:
            if (text.feature, text.analysis) == (feature, analysis):
                return text.tensor
        self.texts.append(Text(f"t{len(self.texts)}", feature, analysis))
        return self.texts[-1].tensor

    def split_at(self, origin: Origin | None, value: float) -> None:
        if origin is not None:
            self.splits.setdefault(origin.feature, set()).add(origin.invert(value))

    def inside(self, name: str) -> _Step:
        """A `with` block inside a named step, for the path in messages."""
        return _Step(self, name)


@dataclass
class _Step:
    emission: Emission
    name: str

    def __enter__(self) -> None:
        self.before = self.emission.step
        self.emission.step = f"{self.before}.{self.name}" if self.before else self.name

    def __exit__(self, *_: object) -> None:
        self.emission.step = self.before


Emitted = Columns | Classified | Valued | Several | Flagged | Grouped
Emit = Callable[[Emission, Any, Columns], Any]
Check = Callable[[Any], Refusal | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one class converts. `check` finds the parameter that is refused, or None."""

    estimator: type
    level: Level
    emit: Emit
    check: Check
    since: str = SINCE


# What an estimator is as the last step; and what a predictor is as a step before others, where it
# transforms. A transformer stands in the first alone.
RULES: dict[type, Rule] = {}
TRANSFORMS: dict[type, Rule] = {}


def emits(
    *estimators: type,
    level: Level = "exact",
    check: Check = lambda _: None,
    since: str = SINCE,
) -> Callable[[Emit], Emit]:
    """Registers an emitter for these classes."""
    return _register(RULES, estimators, level, check, since)


def transforms(
    *estimators: type,
    level: Level = "exact",
    check: Check = lambda _: None,
    since: str = SINCE,
) -> Callable[[Emit], Emit]:
    """Registers an emitter of `transform` for classes that are predictors when they come last."""
    return _register(TRANSFORMS, estimators, level, check, since)


def _register(
    rules: dict[type, Rule], estimators: Sequence[type], level: Level, check: Check, since: str
) -> Callable[[Emit], Emit]:
    def register(emit: Emit) -> Emit:
        for estimator in estimators:
            rules[estimator] = Rule(estimator, level, emit, check, since)
        return emit

    return register


# How an object that is no scikit-learn estimator is asked like one, by its class.
ADAPTERS: dict[type, Callable[[Any], Any]] = {}


def adapts(*kinds: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Registers a function that makes an estimator (fitted, with `predict`, `n_features_in_` and, for
    a classifier, `classes_`) of these classes' objects. Its class needs a rule.
    """

    def register(adapt: Callable[[Any], Any]) -> Callable[[Any], Any]:
        for kind in kinds:
            ADAPTERS[kind] = adapt
        return adapt

    return register


def adapted(model: Any) -> Any:
    """The model itself, or as the estimator that stands for it."""
    load_library(library_of(type(model)))
    adapt = ADAPTERS.get(type(model))
    return model if adapt is None else adapt(model)


def rule_of(kind: type) -> Rule | None:
    """The rule of a class as the last step, or None. Loads its library's emitters."""
    load_library(library_of(kind))
    return RULES.get(kind)


def emit(emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    """Emits an estimator by its rule. Raises UnsupportedModel for what isn't known to be right."""
    rule = rule_of(type(estimator))
    if rule is None:
        raise unknown(emission.step, estimator)
    return _emit_by(rule, emission, estimator, columns)


def _emit_by(rule: Rule, emission: Emission, estimator: Any, columns: Columns) -> Emitted:
    refusal = rule.check(estimator)
    if refusal:
        raise refuse(emission, estimator, refusal)
    if rule.level == "tolerant":
        emission.relax(TOLERANT_BAR)
    result: Emitted = rule.emit(emission, estimator, columns)
    if isinstance(result, Columns):
        result = stored_like(estimator, columns, result)
    emission.taps.append(Tap(emission.step, type(estimator).__name__, result))
    return result


def emit_transformer(emission: Emission, estimator: Any, columns: Columns) -> Columns:
    """Emits a step that must give columns."""
    rule = TRANSFORMS.get(type(estimator)) or rule_of(type(estimator))
    if rule is None:
        raise unknown(emission.step, estimator)
    result = _emit_by(rule, emission, estimator, columns)
    if not isinstance(result, Columns):
        reason = "a predictor stands where a transformer is expected"
        raise refuse(
            emission, estimator, Refusal("", reason, "Move it to the end of the pipeline.")
        )
    return result


def refuse(emission: Emission, estimator: Any, refusal: Refusal) -> UnsupportedModel:
    """The error for a refusal at the current step."""
    return UnsupportedModel(
        step=emission.step,
        estimator=type(estimator).__name__,
        parameter=refusal.parameter or None,
        reason=refusal.reason,
        nearest=refusal.nearest,
    )


def numbers_only(emission: Emission, estimator: Any, columns: Columns) -> None:
    """Refuses string columns where a step computes with numbers."""
    if columns.strings:
        reason = "it gets string columns, and converts only with numbers"
        nearest = "Put a OneHotEncoder or OrdinalEncoder for these columns in front."
        raise refuse(emission, estimator, Refusal("", reason, nearest))


def finite_only(emission: Emission, columns: Columns) -> None:
    """Marks rows as refused in which an earlier step overflowed, where the library refuses them."""
    if not columns.finite:
        graph = emission.graph
        zero = graph.node("Mul", graph.matrix(columns), graph.constant(0.0))  # NaN unless finite
        total = graph.node("ReduceSum", zero, graph.integers([1]), keepdims=1)
        emission.refused.append(graph.node("IsNaN", total))


def factors_only(emission: Emission, estimator: Any, columns: Columns) -> None:
    """The numbers of a product: no strings, finite, and held to less where the library multiplies
    in float32.
    """
    numbers_only(emission, estimator, columns)
    finite_only(emission, columns)
    if columns.single:
        emission.relax(TOLERANT_BAR)


def not_infinite(emission: Emission, columns: Columns) -> None:
    """Marks rows as refused in which an earlier step overflowed; NaN may pass."""
    if not columns.finite:
        refuse_rows(emission, emission.graph.node("IsInf", emission.graph.matrix(columns)))


def refuse_rows(emission: Emission, marks: str) -> None:
    """Marks rows as refused in which any of these is true. marks: bool [N, columns]."""
    graph = emission.graph
    numbers = graph.cast(marks, TensorProto.INT64)
    found = graph.node("ReduceMax", numbers, graph.integers([1]), keepdims=1)
    emission.refused.append(graph.cast(found, TensorProto.BOOL))


def known(estimator: Any) -> bool:
    """Whether there is a rule for its class."""
    return rule_of(type(estimator)) is not None or type(estimator) in TRANSFORMS


def unknown(step: str, estimator: Any) -> UnsupportedModel:
    """The error for an estimator whose class has no rule."""
    kind = type(estimator)
    base = next((cls for cls in kind.__mro__[1:] if rule_of(cls)), None)
    library, name = library_of(kind), kind.__name__
    reason = "this class isn't known to convert exactly"
    nearest = f"{_like(estimator)} convert; `onnxport export --list` shows all that do."
    if base is not None:
        nearest = f"Use {base.__name__} itself: a subclass may compute something else."
    elif library == "sklearn":
        reason, nearest = UNSUPPORTED.get(name, (reason, nearest))
    elif library in LIBRARIES:
        name = f"{library}'s {name}"
    else:
        reason = (
            "only classes of scikit-learn, XGBoost, LightGBM and CatBoost convert, as Python code doesn't "
            "fit into a graph"
        )
        if _only_transforms(estimator):
            nearest = f"Compute its columns before calling the model; {nearest}"
    return UnsupportedModel(step=step, estimator=name, reason=reason, nearest=nearest)


# What most people would take instead, by what an estimator is for.
_USUAL = {
    "predict_proba": "LogisticRegression, RandomForestClassifier and HistGradientBoostingClassifier",
    "predict": "Ridge, RandomForestRegressor and HistGradientBoostingRegressor",
    "transform": "StandardScaler, SimpleImputer, OneHotEncoder, OrdinalEncoder and PCA",
    "outliers": "OneClassSVM, EllipticEnvelope and LocalOutlierFactor(novelty=True)",
    "clusters": "KMeans, MiniBatchKMeans and GaussianMixture",
}


def _like(estimator: Any) -> str:
    """Classes that do convert and do the same work: of the estimator's own module, else usual ones."""
    if is_outlier_detector(estimator):
        return _USUAL["outliers"]
    if is_clusterer(estimator):
        return _USUAL["clusters"]
    if _only_transforms(estimator):
        return _USUAL["transform"]
    name, package = type(estimator).__name__, type(estimator).__module__.rpartition(".")[0]
    ending = "Classifier" if hasattr(estimator, "classes_") else "Regressor"
    same = [cls.__name__ for cls in RULES if cls.__module__.rpartition(".")[0] == package]
    nearest = difflib.get_close_matches(name, [n for n in same if n.endswith(ending)], 3, 0.0)
    if nearest:
        return ", ".join(nearest)
    return _USUAL["predict_proba" if ending == "Classifier" else "predict"]


def _only_transforms(estimator: Any) -> bool:
    return hasattr(estimator, "transform") and not hasattr(estimator, "predict")

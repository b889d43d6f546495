"""What an estimator says of itself: task, classes, feature names, and which columns any step reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from onnxport.errors import ExportError, UnsupportedModel, shorten
from onnxport.export.graph import Array
from onnxport.export.readers import readers
from onnxport.export.registry import adapted, known, rule_of, unknown
from onnxport.export.tasks import gives_probabilities, read_task
from onnxport.signature import Label, Task, label_key


@dataclass(frozen=True)
class Subject:
    """An estimator that can be asked to convert.

    classes: by target, in the order of the codes; empty for numbers. labels: what the API calls
    them. names: `feature_names_in_`, or None.
    used: bool [width], False for columns that a ColumnTransformer drops. flat: X is a list of texts
    instead of a table; it has one feature.
    """

    estimator: Any
    task: Task
    classes: tuple[Array, ...]
    labels: tuple[tuple[Label, ...], ...]
    names: tuple[str, ...] | None
    width: int
    used: Array
    flat: bool = False

    @property
    def gives_decisions(self) -> bool:
        return hasattr(self.estimator, "decision_function")

    @property
    def gives_probabilities(self) -> bool:
        return gives_probabilities(self.estimator)


def read_subject(estimator: Any, labels: Sequence[Any] | Mapping[Any, Label] | None) -> Subject:
    """Looks at a fitted estimator. Raises ExportError for what is not fitted, or answers no rows."""
    estimator = adapted(estimator)
    if not (isinstance(estimator, BaseEstimator) or known(estimator)):
        raise _foreign(estimator)
    _check_parts(estimator, "")
    flat = reads_texts(estimator)
    width = 1 if flat else _width(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    task, classes = read_task(estimator)
    if labels is not None and not classes:
        kind = "regressor" if task == "regression" else "transformer"
        raise ExportError(f"labels= names the classes of a classifier, and this is a {kind}")
    return Subject(
        estimator=estimator,
        task=task,
        classes=classes,
        labels=_labels_by_target(classes, labels),
        names=None if names is None else tuple(str(name) for name in names),
        width=width,
        used=used_columns(estimator, width),
        flat=flat,
    )


# Fitted parts of an estimator that get its own X.
_INNER = ("best_estimator_", "estimator_", "estimator", "estimators_", "calibrated_classifiers_")


def reads_texts(estimator: Any) -> bool:
    """Whether X is a list of texts: a vectorizer is the first thing that it meets."""
    if isinstance(estimator, (CountVectorizer, HashingVectorizer)):
        return True
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return bool(steps) and reads_texts(steps[0])
    if isinstance(estimator, FeatureUnion):
        return any(reads_texts(part) for _, part in estimator.transformer_list)
    if not hasattr(estimator, "__dict__") or isinstance(estimator, ColumnTransformer):
        return False
    inner = [vars(estimator)[name] for name in _INNER if name in vars(estimator)]
    members = [m for part in inner for m in (part if isinstance(part, list) else [part])]
    return any(reads_texts(member) for member in members if not isinstance(member, str))


def _foreign(estimator: Any) -> ExportError:
    """The error for what is no scikit-learn estimator at all."""
    kind = type(estimator)
    if isinstance(estimator, type):
        return ExportError(f"{estimator.__name__} is a class; pass a fitted object of it")
    if isinstance(estimator, (str, os.PathLike)) and str(estimator).endswith(".onnx"):
        return ExportError("model= is an ONNX file; onnxport.adopt makes a model file of it")
    if isinstance(estimator, (str, os.PathLike)):
        return ExportError("model= is a path; load the estimator first, and pass the object")
    if any(rule_of(base) for base in kind.__mro__[1:]):
        return unknown("", estimator)
    if isinstance(estimator, Mapping) and any(hasattr(v, "detach") for v in estimator.values()):
        return ExportError(
            f"{kind.__name__} holds weights without their module; build the module, call "
            "load_state_dict, and save that"
        )
    if kind.__name__ == "CVBooster":
        return ExportError(
            "CVBooster holds one Booster a fold; save one of its boosters, or one trained on all rows"
        )
    library, dot, _ = kind.__module__.partition(".")
    return UnsupportedModel(
        step="",
        estimator=f"{library}'s {kind.__name__}" if dot else kind.__name__,
        reason="it is no estimator that can be saved",
        nearest="Pass the fitted classifier, regressor, transformer or Pipeline itself.",
    )


def _check_parts(estimator: Any, step: str) -> None:
    """Refuses what has no rule or isn't fitted, here or in a pipeline's steps."""
    if not known(estimator):
        raise unknown(step, estimator)
    name = type(estimator).__name__
    where = f"step '{step}' ({name})" if step else name
    try:
        check_is_fitted(estimator)
    except NotFittedError as err:
        raise ExportError(f"{where} is not fitted; call fit before saving") from err
    if isinstance(estimator, BaseSearchCV) and not hasattr(estimator, "best_estimator_"):
        raise ExportError(
            f"{where} was fitted with refit=False and keeps no fitted estimator; "
            "set refit=True, or fit the pipeline with best_params_ and save that"
        )
    for inner, part in estimator.steps if isinstance(estimator, Pipeline) else ():
        if part is not None and not isinstance(part, str):
            _check_parts(part, f"{step}.{inner}" if step else inner)


def _width(estimator: Any) -> int:
    """How many columns it was fitted on; a pipeline may begin with steps that don't know."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else []
    if steps and isinstance(steps[0], FeatureUnion):  # it asks its first part, which may be 'drop'
        steps = [part for _, part in steps[0].transformer_list if part != "drop"]
    for each in (estimator, *steps):
        width = getattr(each, "n_features_in_", None)
        if width is not None:
            return int(width)
        if callable(getattr(each, "kernel", None)) and hasattr(each, "shape_fit_"):
            return int(each.shape_fit_[1])  # a support vector machine with a kernel of its own
        if hasattr(each, "X_thresholds_"):  # IsotonicRegression keeps no count of its one feature
            return 1
        if each is not estimator and each not in (None, "passthrough"):
            break
    name = type(estimator).__name__
    if isinstance(estimator, Pipeline) and all(step in (None, "passthrough") for step in steps):
        raise ExportError(f"{name} has no step that computes anything; save a fitted estimator")
    raise ExportError(
        f"{name} doesn't say how many features it was fitted on (n_features_in_); "
        "fit it again, on a table of columns"
    )


def as_predicted(subject: Subject, answers: Array, labels: Any) -> Subject:
    """The subject with its classes in the type that predict gives: a chain's are floats."""
    classes = tuple(
        each.astype(answers.dtype)
        if answers.dtype.kind in "biuf" and each.dtype.kind in "biuf"
        else each
        for each in subject.classes
    )
    return replace(subject, classes=classes, labels=_labels_by_target(classes, labels))


def _labels_by_target(classes: tuple[Array, ...], given: Any) -> tuple[tuple[Label, ...], ...]:
    if len(classes) < 2 or given is None:
        return tuple(_labels(each, given) for each in classes)
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise ExportError(
            f"labels= takes a list with one entry for each of the {len(classes)} targets: a list "
            "in the order of classes_, or {class: label}, or None"
        )
    entries = list(given)
    if len(entries) != len(classes):
        raise ExportError(f"labels= must have {len(classes)} entries, one for each target")
    return tuple(_labels(each, entry) for each, entry in zip(classes, entries, strict=True))


def _labels(
    classes: Array, given: Sequence[Label] | Mapping[Any, Label] | None
) -> tuple[Label, ...]:
    """The API's labels in the order of the codes, in the type that `predict` returns."""
    own = [_plain(value) for value in classes.tolist()]
    if given is None:
        chosen = own
    elif isinstance(given, Mapping):
        unknown = [key for key in given if _plain(key) not in own]
        if unknown:
            raise ExportError(
                f"labels= names the class {shorten(repr(unknown[0]))}, which the classifier doesn't "
                f"have; its classes are {own}"
            )
        by_class = {_plain(key): value for key, value in given.items()}
        chosen = [_plain(by_class.get(value, value)) for value in own]
    else:
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ExportError("labels= takes a list in the order of classes_, or {class: label}")
        given = list(given)
        if len(given) != len(own):
            raise ExportError(f"labels= must have {len(own)} entries, one for each of {own}")
        chosen = [_plain(value) for value in given]
    keys = [label_key(label) for label in chosen]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ExportError(f"two classes would have the label {twice!r}; give each its own")
    return tuple(chosen)


def _plain(value: Any) -> Label:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (str, int, float, bool)):
        raise ExportError(
            f"the class {shorten(repr(value))} is {type(value).__name__}; "
            "labels are strings, numbers or booleans"
        )
    if isinstance(value, float) and not np.isfinite(value):
        raise ExportError(f"the class {value!r} is no finite number; encode the labels as strings")
    return value


def used_columns(estimator: Any, width: int) -> Array:
    """Which columns of X any step reads: all, unless leading ColumnTransformers drop some."""
    used = np.zeros(width, dtype=bool)
    for reader in readers(estimator):
        if not isinstance(reader, ColumnTransformer):
            used[:] = True
            break
        for name, transformer, _ in reader.transformers_:
            if not (isinstance(transformer, str) and transformer == "drop"):
                used[list(reader._transformer_to_input_indices[name])] = True
    return used

"""The support table: every class that has a rule, and every public class of scikit-learn that has
none. Of other libraries, those that are installed.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sklearn.base import (
    ClassifierMixin,
    ClusterMixin,
    DensityMixin,
    OutlierMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.feature_extraction.text import CountVectorizer

from onnxport.export.adapted import Adapted
from onnxport.export.emitters import RULES
from onnxport.export.libraries import LIBRARIES, library_of, load_installed
from onnxport.export.registry import (
    ADAPTERS,
    EXACT_BAR,
    ROUGH_BAR,
    SINCE,
    TOLERANT_BAR,
    TRANSFORMS,
    Level,
    Refusal,
    Rule,
)
from onnxport.export.unsupported import UNSUPPORTED

# What a class is called by, in this order: a clusterer may transform too.
_KINDS = {
    ClassifierMixin: "Classifiers",
    RegressorMixin: "Regressors",
    OutlierMixin: "Outlier detectors",
    ClusterMixin: "Clusterers and mixtures",
    DensityMixin: "Clusterers and mixtures",
    TransformerMixin: "Transformers",
}
_OTHERS, _STEPS, _BOOSTERS, _NONE = (
    "Pipelines and searches",
    "Predictors as a step before others",
    "Boosters of other libraries",
    "Unsupported",
)
KINDS = (*dict.fromkeys(_KINDS.values()), _OTHERS, _STEPS, _BOOSTERS, _NONE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One class. refused: the parameters that are refused, in a class that converts. reason,
    nearest: of a class that doesn't. since: the version that converted it first.
    """

    name: str
    kind: str
    level: Level
    since: str | None = None
    refused: tuple[Refusal, ...] = ()
    reason: str | None = None
    nearest: str | None = None


def support_table() -> tuple[Entry, ...]:
    """All classes, by kind and name."""
    load_installed()
    own = [rule for rule in RULES.values() if not issubclass(rule.estimator, Adapted)]
    entries = [_entry(rule, _kind(rule.estimator)) for rule in own]
    named = {library_of(kind): kind for kind in ADAPTERS if kind.__name__ == "Booster"}
    entries += [Entry(f"{library}.Booster", _BOOSTERS, "exact", SINCE) for library in sorted(named)]
    entries += [_entry(rule, _STEPS) for rule in TRANSFORMS.values()]
    known = {entry.name for entry in entries}
    entries += [
        Entry(name, _NONE, "unsupported", reason=reason, nearest=nearest)
        for name, (reason, nearest) in UNSUPPORTED.items()
        if name not in known
    ]
    return tuple(sorted(entries, key=lambda entry: (KINDS.index(entry.kind), entry.name)))


def as_text(entries: tuple[Entry, ...], width: int = 100) -> str:
    """The table for a terminal: a line a class, and one below it for each refused parameter."""
    intro = (
        f"exact: numbers may differ by {EXACT_BAR:g}; tolerant: by {TOLERANT_BAR:g}; of XGBoost, "
        f"which computes in float32, by {ROUGH_BAR:g}; a label never differs. Then the version that "
        "converted the class first, and below it the parameters that are refused, why, and what to do."
    )
    lines = textwrap.wrap(intro, width)
    for kind in KINDS:
        chosen = [entry for entry in entries if entry.kind == kind]
        if chosen:
            lines += ["", kind.lower()]
        for entry in chosen:
            lines.append(f"  {entry.name:<32}{entry.level:<13}{entry.since or ''}".rstrip())
            told = [f"{r.parameter}: {sentence(r)}" for r in entry.refused]
            told += [f"{entry.reason}. {entry.nearest}"] if entry.reason else []
            for text in told:
                lines += textwrap.wrap(
                    text, width, initial_indent=" " * 6, subsequent_indent=" " * 8
                )
    return "\n".join(lines)


def as_json(entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
    """The table as JSON objects; what a class doesn't have is left out."""
    return [
        {key: value for key, value in asdict(entry).items() if value not in (None, ())}
        for entry in entries
    ]


def sentence(refusal: Refusal) -> str:
    """Why and what to do, as far as the source tells it."""
    known = refusal.reason.strip("…")
    return f"{refusal.reason}. {refusal.nearest}" if known else refusal.nearest


def _kind(estimator: type) -> str:
    if library_of(estimator) in LIBRARIES:
        return _BOOSTERS
    if issubclass(estimator, CountVectorizer):  # which is no TransformerMixin
        return _KINDS[TransformerMixin]
    return next((title for mixin, title in _KINDS.items() if issubclass(estimator, mixin)), _OTHERS)


def _entry(rule: Rule, kind: str) -> Entry:
    found = dict.fromkeys([*_refusals(rule.check), *_refusals(rule.emit)])
    refused = tuple(refusal for refusal in found if refusal.parameter)
    return Entry(rule.estimator.__name__, kind, rule.level, rule.since, refused)


def _refusals(
    function: Callable[..., Any], seen: frozenset[str] = frozenset()
) -> Iterator[Refusal]:
    """The refusals that a check or an emitter can make, as its own text has them, and those of the
    functions of its module that it calls.
    """
    if function.__name__ == "<lambda>":  # the default, which refuses nothing
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = _assigned(tree)
    module = vars(sys.modules[function.__module__])
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        called = node.func.id
        other = module.get(called)
        if called == "Refusal":
            yield Refusal(*(_text(part, names, node.lineno) for part in node.args))
        elif called not in seen and inspect.isfunction(other) and _is_local(other, function):
            yield from _refusals(other, seen | {called})


def _is_local(other: Callable[..., Any], function: Callable[..., Any]) -> bool:
    return other.__module__ == function.__module__


def _assigned(tree: ast.AST) -> list[tuple[int, str, ast.expr]]:
    """What names stand for from which line on, such as `reason = "..."`."""
    found = [
        (node.lineno, target.id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return sorted(found, key=lambda each: each[0])


def _text(node: ast.expr, names: list[tuple[int, str, ast.expr]], line: int) -> str:
    """A string as the source has it, with … for what is filled in when it is told."""
    if isinstance(node, ast.Name):
        values = [value for at, name, value in names if name == node.id and at <= line]
        return _text(values[-1], [], line) if values else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, names, line) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"

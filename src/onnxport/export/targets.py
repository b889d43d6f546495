"""The names of what an estimator answers: a transformer's columns, and several targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxport.export.sample import Sample
from onnxport.export.subject import Subject

_LONGEST = 64 * 1024  # of all names together, so that the manifest stays under its cap


def name_targets(
    subject: Subject, sample: Sample, width: int, y: Any, redact: Sequence[str]
) -> tuple[str, ...]:
    """One name for each of `width` numbers or labels (0: there is only one label): from a
    transformer's get_feature_names_out, from the columns of y; else y0, y1, ... Empty where a
    transformer's would be too long for the manifest.

    A redacted feature's categories could stand in a transformer's names, which then are plain too.
    """
    if not width:
        return ()
    names: Sequence[str] | None = None
    if subject.task == "transformation":
        names = None if redact else _columns_out(subject.estimator, sample)
    elif width > 1:
        names = [str(name) for name in getattr(y, "columns", ())]
    if names is None or len(set(names)) != width:
        names = [f"y{i}" for i in range(width)] if width > 1 else ["y"]
    if subject.task == "transformation" and sum(len(n.encode()) for n in names) > _LONGEST:
        return ()
    return tuple(names)


def _columns_out(estimator: Any, sample: Sample) -> list[str] | None:
    """get_feature_names_out, where it works: many transformers don't have it, or fail in it."""
    own = hasattr(estimator, "feature_names_in_")
    names_in = None if own else [column.name for column in sample.columns]
    try:
        names = [str(name) for name in estimator.get_feature_names_out(names_in)]
        "".join(names).encode()  # lone surrogates have no place in JSON
    except Exception:  # it is the library's own or the user's code, and may raise anything
        return None
    return names

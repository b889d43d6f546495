"""What callers of a model must change to call another one: both as GET /model tells of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]

_SHOWN = 4


def breaks(old: Facts, new: Facts) -> tuple[str, ...]:
    """A phrase for each difference by which requests that were taken are refused, or answers mean something else."""
    return (*_of_features(old, new), *_of_answers(old, new))


def _of_features(old: Facts, new: Facts) -> Iterator[str]:
    before, after = (_by_name(facts) for facts in (old, new))
    taken = {*after, *new.get("ignored", ())}
    if gone := [name for name in before if name not in taken]:
        yield f"no longer taken: {_listed(gone)}"
    if added := [name for name in after if name not in before]:
        yield f"wanted now: {_listed(added)}"
    for name in before.keys() & after.keys():
        for what in _of_feature(before[name], after[name]):
            yield f"{name!r} {what}"


def _of_feature(old: Facts, new: Facts) -> Iterator[str]:
    kinds = old.get("datatype") or old.get("type"), new.get("datatype") or new.get("type")
    if kinds[0] != kinds[1] and kinds != ("integer", "number"):
        yield f"is {kinds[1]} instead of {kinds[0]}"
    if old.get("nullable") and not new.get("nullable"):
        yield "can no longer be null"
    if old.get("shape") != new.get("shape"):
        yield f"has shape {new.get('shape')} instead of {old.get('shape')}"
    refused = new.get("refuses_unknown") and {*(old.get("categories") or ())} - {
        *(new.get("categories") or ())
    }
    if refused:
        yield f"no longer takes {_listed(sorted(map(str, refused)))}"


def _of_answers(old: Facts, new: Facts) -> Iterator[str]:
    tasks = [str(facts.get("task")).replace("_", " ") for facts in (new, old)]
    if tasks[0] != tasks[1]:
        yield "its task is {} instead of {}".format(*tasks)
        if not new.get("classes"):
            return
    if old.get("classes") != new.get("classes"):
        yield f"classes are {_listed(new.get('classes') or ())} instead of {_listed(old.get('classes') or ())}"
    if old.get("targets") != new.get("targets"):
        yield f"targets are {_listed(new.get('targets') or ())} instead of {_listed(old.get('targets') or ())}"
    if old.get("outputs") != new.get("outputs"):
        names = (_listed([one["name"] for one in facts.get("outputs", ())]) for facts in (new, old))
        yield "outputs are {} instead of {}".format(*names)


def _by_name(facts: Facts) -> dict[str, Facts]:
    return {feature["name"]: feature for feature in facts.get("features", ())}


def _listed(values: Any) -> str:
    shown = [repr(value) for value in list(values)[:_SHOWN]]
    more = len(values) - len(shown)
    return (", ".join(shown) or "none") + (f" and {more} more" if more > 0 else "")

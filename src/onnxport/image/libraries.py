"""The libraries with which a model's self-test passes: without the second copy of ONNX Runtime where that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxport.errors import BuildError, ModelFileError
from onnxport.image.contents import Tree, library_tree
from onnxport.image.replay import can_replay, replay
from onnxport.image.store import Store
from onnxport.image.wheels import Target, serving_set
from onnxport.modelfile import ModelFile

_KEPT = "libonnxruntime.so, which Python doesn't use, is kept"


@dataclass(frozen=True, slots=True)
class Libraries:
    """runtime: the onnxruntime on which the self-test passed. notes: what was kept, and why."""

    tree: Tree
    runtime: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to prove libraries with. path: its file. package: our own, which runs the test."""

    path: Path
    model: ModelFile
    package: Tree


def proven_libraries(
    subject: Subject, target: Target, wheels: Sequence[Path], store: Store
) -> Libraries:
    """Raises ModelFileError for a model that fails its self-test with what the image holds, and BuildError where that
    doesn't even start.
    """
    if not can_replay(target):
        return _unproven(subject, target, wheels, store)
    slim = library_tree(store, target, wheels, with_spare_engine=False)
    if replay(subject.path, (subject.package, slim)).outcome == "passed":
        return Libraries(slim, _pinned_runtime(target))
    full = library_tree(store, target, wheels, with_spare_engine=True)
    replayed = replay(subject.path, (subject.package, full))
    if replayed.outcome == "failed":
        raise ModelFileError(f"in the image {replayed.said}")
    if replayed.outcome == "broken":
        raise BuildError(
            f"what the image is to hold doesn't start ({replayed.said}); install onnxport again"
        )
    if replayed.outcome == "unable":
        return _unproven(subject, target, wheels, store)
    note = f"{target.platform}: {_KEPT}: the self-test fails without it"
    return Libraries(full, _pinned_runtime(target), (note,))


def _unproven(subject: Subject, target: Target, wheels: Sequence[Path], store: Store) -> Libraries:
    """All of them, where the image's can't run here; the model itself is tried on the runtime that does."""
    from onnxport.session import open_session  # brings onnxruntime

    session = open_session(subject.model)
    full = library_tree(store, target, wheels, with_spare_engine=True)
    note = f"{target.platform}: {_KEPT}: {target} can't be tried here"
    return Libraries(full, session.runtime_version, (note,))


def _pinned_runtime(target: Target) -> str:
    pins = (pin.text.partition("==") for pin in serving_set(target.minor))
    return next(version for name, _, version in pins if name == "onnxruntime")

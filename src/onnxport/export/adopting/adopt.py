"""`adopt`: from an ONNX file of any tool to a model file that is proven to answer like it, or to a
refusal. `examine` goes as far as it can and only tells.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxport.errors import ExportError, ParityError, shorten
from onnxport.export import document
from onnxport.export.adopting.describing import tensor_model, with_metadata
from onnxport.export.adopting.doctor import diagnose
from onnxport.export.adopting.findings import Finding, NotAdoptable, bar
from onnxport.export.adopting.preparing import Labels, Names, Prepared, Progress, Wishes, prepare
from onnxport.export.adopting.reading import Original, read_original
from onnxport.export.adopting.rewritten import recertify, write
from onnxport.export.describe import read_feature_options
from onnxport.export.report import Report
from onnxport.export.tensor_saving import Coupled, check_company, save_tensors
from onnxport.export.written import check_path
from onnxport.signature import label_key

log = logging.getLogger(__name__)

STEPS = 7  # how often `adopt` says what it does


def adopt(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    features: Names | None = None,
    labels: Labels | None = None,
    sample: str | os.PathLike[str] | None = None,
    nullable: Sequence[str] = (),
    outputs: Sequence[str] = (),
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    author: str | None = None,
    license: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Makes a model file of an ONNX file that another tool wrote, after proving that it answers the
    same in ONNX Runtime.

    path: the ONNX file. out: the model file to write; written only when everything was proven.
    features: names for the columns of its inputs, in their order, or `{name: {description, unit}}`.
    labels: what the API calls the classes: a list in the order of the scores, or `{class: label}`.
    sample: a file of real rows: .csv by feature, .json as a list of rows, .npz by input. Without it
    rows are drawn.
    nullable: features that take null, fed as NaN; `["*"]` for all that can. By default those of trees
    that learned where missing values go.
    outputs: the outputs that are answered, all by default.
    name, version, description, author, license: for people; name is the stem of `out` by default.
    progress: called with a line before each step that may take a while.

    Returns a Report. Raises NotAdoptable, an ExportError, with a finding that says where, what, and
    what to do, and ParityError where the graph answers differently. Then nothing is written.
    """
    tell = log.info if progress is None else progress
    target = check_path(out)
    if target.exists() and Path(path).exists() and target.samefile(path):
        raise ExportError(
            f"{shorten(target.name)} is the original itself, which would be overwritten; write to "
            "another file"
        )
    facts = document.read_facts(
        target,
        name=name,
        version=version,
        description=description,
        author=author,
        license=license,
    )
    wishes = Wishes(features, labels, None if sample is None else Path(sample), nullable, outputs)
    _check_wishes(wishes)
    tell(f"reading {shorten(Path(path).name)}")
    original = read_original(path)
    if original.manifest is not None:
        known = {"name": name, "version": version, "description": description}
        known |= {"author": author, "license": license}
        given = {key: value for key, value in known.items() if value is not None}
        return write(recertify(original, given, progress=tell), target)
    prepared = prepare(original, wishes, tell)
    try:
        return _save(prepared, target, facts, tell)
    except (Coupled, ParityError):
        if not prepared.batching.freed:
            raise
        return _save(prepare(original, wishes, tell, alone=True), target, facts, tell)


def _save(prepared: Prepared, target: Path, facts: document.Facts, tell: Progress) -> Report:
    made, told = tensor_model(prepared), with_metadata(facts, prepared)
    return save_tensors(made, target, told, allow_mismatch=False, progress=tell)


def examine(path: str | os.PathLike[str], wishes: Wishes | None = None) -> list[Finding]:
    """What stands between a file and a model file: all that the file itself tells, and, where nothing
    incurable is among it, what trying it brings up. It can be adopted if all findings are curable.
    """
    try:
        original = read_original(path)
        findings = [*original.findings, *diagnose(original.model)]
    except NotAdoptable as err:
        return [err.finding]
    if any(not finding.curable for finding in findings):
        return findings
    try:
        if original.manifest is not None:
            recertify(original, {}, progress=log.info)
            return findings
        return list(_apart(original, wishes or Wishes()).findings)
    except NotAdoptable as err:
        return [*findings, err.finding]
    except Coupled as err:
        remedy = "export the model with independent rows in the first dimension of every input"
        return [*findings, bar("no_batch", "", str(err), remedy)]


def _apart(original: Original, wishes: Wishes) -> Prepared:
    """As `adopt` takes it: a batch that was fixed to one row stays so where rows would change each
    other's answers.
    """
    prepared = prepare(original, wishes, log.info)
    try:
        check_company(tensor_model(prepared))
    except Coupled:
        if not prepared.batching.freed:
            raise
        prepared = prepare(original, wishes, log.info, alone=True)
    return prepared


def _check_wishes(wishes: Wishes) -> None:
    for what in ("features", "labels", "nullable", "outputs"):
        value = getattr(wishes, what)
        if isinstance(value, (str, bytes)) or not isinstance(
            value, (Sequence, Mapping, type(None))
        ):
            raise ExportError(f"{what}= takes a list; pass [{shorten(repr(value))}]")
        if what != "labels" and not all(isinstance(name, str) for name in value or ()):
            raise ExportError(f"{what}= takes names, which are strings")
    if isinstance(wishes.features, Mapping):
        read_feature_options(wishes.features)
    labels = wishes.labels.values() if isinstance(wishes.labels, Mapping) else wishes.labels or ()
    if not all(isinstance(label, (str, int, float, bool)) for label in labels):
        raise ExportError("labels= takes strings, numbers or booleans")
    if len({label_key(label) for label in labels}) < len(labels):
        raise ExportError("labels= names two classes alike; give each a name of its own")

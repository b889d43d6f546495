"""Model files that another tool rewrote (renamed, slimmed, quantized): certified anew by their own
self-test.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner

from onnxport import runtime
from onnxport.datatypes import BY_NAME
from onnxport.errors import ModelFileError, shorten
from onnxport.export import document
from onnxport.export.adopting import versions
from onnxport.export.adopting.doctor import diagnose
from onnxport.export.adopting.findings import NotAdoptable, listed, refusal
from onnxport.export.adopting.reading import Original
from onnxport.export.adopting.repairs import copy, repair_locales
from onnxport.export.parity import Parity
from onnxport.export.report import Report
from onnxport.export.written import write_file
from onnxport.manifest import BASELINE_KEY, FORMAT, SELFTEST_KEY, Manifest, SelfTest, parse_object
from onnxport.predictor import load

log = logging.getLogger(__name__)
_AGAIN = "save the estimator again, or adopt the file of the tool that came before"


@dataclass(frozen=True)
class Certified:
    """A sealed file that has passed its self-test, not written yet."""

    content: bytes
    manifest: Manifest
    parity: Parity


def recertify(
    original: Original, given: Mapping[str, str], *, progress: Callable[[str], None]
) -> Certified:
    """Keeps the manifest where the graph still has its inputs and outputs and passes its self-test.

    given: facts that the caller names anew. Raises NotAdoptable with the reason where it doesn't.
    """
    manifest = original.manifest
    assert manifest is not None
    for finding in diagnose(original.model):
        if not finding.curable:
            raise NotAdoptable(finding)
    model = _plain(original.model)
    _check_tensors(model, manifest)
    entries = {entry.key: entry.value for entry in original.model.metadata_props}
    selftest = _selftest(entries, manifest)
    progress(f"running its {selftest.rows} self-test rows")
    parity = _parity(selftest, accepted_mismatch=manifest.accepted_mismatch)
    told = _document(model, manifest, original.model, parity, given)
    sealed = document.write(model, told, selftest, _baseline(entries), infers=False)
    try:
        loaded = load(sealed)
    except ModelFileError as err:
        log.debug("the self-test failed", exc_info=err)
        raise refusal(
            "rewritten", "", f"{_who(original.model)} changed its answers: {err}", _AGAIN
        ) from err
    return Certified(sealed, loaded.manifest, parity)


def write(certified: Certified, target: Path) -> Report:
    write_file(target, certified.content)
    return Report(target, len(certified.content), certified.parity, certified.manifest)


def _parity(selftest: SelfTest, *, accepted_mismatch: bool) -> Parity:
    return Parity(
        rows=selftest.rows,
        row_sets=("selftest",),
        label_flips=0,
        max_abs=0.0,
        tolerance=selftest.tolerance,
        onnxruntime=runtime.VERSION,
        accepted_mismatch=accepted_mismatch,
        rows_by_set={"selftest": selftest.rows},
    )


def _plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without metadata and functions, with what any runtime needs."""
    made = copy(model)
    if made.functions:
        made = onnx.inliner.inline_local_functions(made)
    versions.tidy(made)
    if made.ir_version > versions.TARGET_IR:
        versions.lower_ir(made)
    repair_locales(made)
    del made.metadata_props[:]
    return made


def _who(model: onnx.ModelProto) -> str:
    tool = model.producer_name
    return shorten(tool) if tool and tool != "onnxport" else "another tool"


def _check_tensors(model: onnx.ModelProto, manifest: Manifest) -> None:
    """The graph still takes and gives what the manifest says."""
    try:
        graph = runtime.Graph(model.SerializeToString())
    except runtime.RuntimeRefusal as err:
        what = f"ONNX Runtime {runtime.VERSION} can't open what {_who(model)} made of it"
        raise refusal("rewritten", "", what, _AGAIN) from err
    said = {t.name: BY_NAME[t.datatype].runtime for t in manifest.signature.tensors}
    if said != graph.inputs:
        changed = sorted(said.keys() ^ graph.inputs.keys()) or sorted(said)
        what = f"its inputs are not those of its manifest any more ({listed(changed)})"
        raise refusal("rewritten", "", what, _AGAIN)
    missing = {output.tensor for output in manifest.signature.outputs} - set(graph.outputs)
    if missing:
        what = f"it lost the outputs {listed(sorted(missing))} that its manifest names"
        raise refusal("rewritten", "", what, _AGAIN)


def _selftest(entries: Mapping[str, str], manifest: Manifest) -> SelfTest:
    try:
        selftest = SelfTest.from_json(entries.get(SELFTEST_KEY, ""))
        selftest.check(manifest.signature)
    except ModelFileError as err:
        what = f"its self-test can't be read any more: {err}"
        raise refusal("rewritten", "", what, _AGAIN) from err
    return selftest


def _baseline(entries: Mapping[str, str]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"columns": {}, "output": {}}
    try:
        return parse_object(entries[BASELINE_KEY], BASELINE_KEY)
    except (KeyError, ModelFileError):
        return nothing


def _document(
    model: onnx.ModelProto,
    manifest: Manifest,
    found: onnx.ModelProto,
    parity: Parity,
    given: Mapping[str, str],
) -> dict[str, Any]:
    """The old manifest, with what is true of the new graph."""
    told = dict(manifest)
    names = {"author": "owner"}
    told["format"] = FORMAT
    told["model"] = {**manifest["model"], **{names.get(k, k): v for k, v in given.items()}}
    told["runtime"] = {
        **manifest.get("runtime", {}),
        "ir": model.ir_version,
        "opset": {entry.domain: entry.version for entry in model.opset_import},
        "onnxruntime": versions.runtimes(model),
    }
    told["source"] = {
        **manifest.get("source", {}),
        "rewritten_by": f"{_who(found)} {shorten(found.producer_version)}".strip(),
        "certified_by": document.exporter(),
    }
    told["parity"] = asdict(parity)
    return told

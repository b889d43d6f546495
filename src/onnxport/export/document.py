"""The manifest and everything else that is written into the file beside the graph."""

from __future__ import annotations

import hashlib
import platform
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import sklearn

from onnxport.errors import ExportError, shorten
from onnxport.export.adapted import Adapted
from onnxport.export.baseline import answer_statistics, column_statistics
from onnxport.export.graph import IR_VERSION, OPSET, RUNTIMES
from onnxport.export.learned import is_missing
from onnxport.export.libraries import version_of_library
from onnxport.export.metrics import measure
from onnxport.export.oracle import Oracle
from onnxport.export.parity import Parity
from onnxport.export.sample import Sample
from onnxport.export.sample_errors import library_says
from onnxport.export.subject import Subject
from onnxport.manifest import (
    BASELINE_KEY,
    CAPS,
    DIGEST_KEY,
    FORMAT,
    FORMAT_KEY,
    MANIFEST_KEY,
    MAX_CATEGORIES,
    SELFTEST_KEY,
    SelfTest,
    canonical,
    write_signature,
)
from onnxport.modelfile import BLANK_DIGEST, MAX_BYTES, seal
from onnxport.signature import Signature

_RUN_BYTES = 64 * 1024**2
_OTHER_FACTS = 16 * 1024  # bytes of the manifest beside the signature


@dataclass(frozen=True, slots=True)
class Facts:
    """What the caller says about the model."""

    name: str
    version: str | None
    description: str | None
    author: str | None
    license: str | None
    metadata: Mapping[str, Any]


def describe_model(
    subject: Subject,
    sample: Sample,
    signature: Signature,
    parity: Parity,
    *,
    facts: Facts,
    target: Any,
    row_bytes: int,
) -> dict[str, Any]:
    """The manifest as a JSON object. row_bytes: the widest tensor inside the graph, a row."""
    needs = Needs(IR_VERSION, OPSET, RUNTIMES, _rows_per_run(row_bytes))
    training = _training(subject, sample, target)
    return describe(facts, signature, parity, _source(subject), needs, training)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a graph needs of ONNX Runtime. opset: by domain. onnxruntime: the releases that run it.
    rows_per_run: how many rows may go through it at once.
    """

    ir: int
    opset: Mapping[str, int]
    onnxruntime: str
    rows_per_run: int


def describe(
    facts: Facts,
    signature: Signature,
    parity: Parity,
    source: Mapping[str, Any],
    needs: Needs,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of any model. source: its library, class, versions and exporter."""
    now = datetime.now(UTC)
    model = {
        "name": facts.name,
        "version": facts.version or now.strftime("%Y.%m.%d-%H%M%S"),
        "task": signature.task,
        "created": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": facts.description,
        "owner": facts.author,
        "license": facts.license,
    }
    document = {
        "format": FORMAT,
        "model": {key: value for key, value in model.items() if value is not None},
        **write_signature(signature),
        "runtime": {
            "ir": needs.ir,
            "opset": dict(needs.opset),
            "onnxruntime": needs.onnxruntime,
            "min_onnxruntime": needs.onnxruntime.partition(",")[0].removeprefix(">="),
            "deny_onnxruntime": ["1.26.*", "1.27.*"],
            "locale": "C.UTF-8",
            "custom_ops": [],
            "external_data": False,
            "rows_per_run": needs.rows_per_run,
            **({"unicode": unicodedata.unidata_version} if signature.texts else {}),
        },
        "source": dict(source),
        "training": dict(training),
        "parity": asdict(parity),
    }
    if facts.metadata:
        document["metadata"] = dict(facts.metadata)
    return _under_cap(document, signature)


def _rows_per_run(row_bytes: int) -> int:
    """How many rows may go through the graph at once, so that its widest tensor stays small."""
    return max(16, min(4096, _RUN_BYTES // max(row_bytes, 1)))


def read_facts(
    target: Path,
    *,
    name: str | None,
    version: str | None,
    description: str | None,
    author: str | None,
    license: str | None,
    metadata: Mapping[str, Any] | None = None,
) -> Facts:
    """The facts, named after the file where they have no name. Raises ExportError for what can't stand
    in a manifest.
    """
    facts = Facts(
        name=target.stem if name is None else name,
        version=version,
        description=description,
        author=author,
        license=license,
        metadata={} if metadata is None else metadata,
    )
    check_facts(facts)
    return facts


def check_facts(facts: Facts) -> None:
    """Refuses what can't stand in a manifest."""
    for name in ("name", "version", "description", "author", "license"):
        value = getattr(facts, name)
        if value is not None and not _is_text(value):
            raise ExportError(f"{name}= must be a string, and is {shorten(repr(value))}")
    if not isinstance(facts.metadata, Mapping):
        raise ExportError(f"metadata= must be a mapping, and is {shorten(repr(facts.metadata))}")
    try:
        canonical(dict(facts.metadata)).encode()
    except (TypeError, ValueError) as err:
        raise ExportError(f"metadata= must be JSON: {err}") from err


def _is_text(value: Any) -> bool:
    """A string that UTF-8 can carry."""
    try:
        value.encode("utf-8")
    except (AttributeError, UnicodeEncodeError):
        return False
    return isinstance(value, str)


def check_width(signature: Signature) -> None:
    """Refuses a signature that no manifest can hold, before anything takes long."""
    size = len(canonical(write_signature(signature, max_categories=MAX_CATEGORIES)).encode())
    if size > CAPS[MANIFEST_KEY] - _OTHER_FACTS:
        raise ExportError(
            f"the {len(signature.features):,} features take {size:,} bytes to describe, and the manifest "
            f"holds {CAPS[MANIFEST_KEY]:,}; use fewer features, shorter names, or redact= some"
        )


def _under_cap(document: dict[str, Any], signature: Signature) -> dict[str, Any]:
    """The manifest, with fewer categories told where it would be too large."""
    if len(canonical(document).encode()) <= CAPS[MANIFEST_KEY]:
        return document
    if signature.task == "tensor":
        raise ExportError(
            f"the manifest would be larger than {CAPS[MANIFEST_KEY]:,} bytes, as the model has "
            f"{len(signature.features):,} inputs and {len(signature.outputs):,} outputs; keep fewer outputs"
        )
    if any(
        f.refuses_unknown and len(f.categories or ()) > MAX_CATEGORIES for f in signature.features
    ):
        raise ExportError(
            f"an encoder refuses unknown values and knows over {MAX_CATEGORIES} categories, too many for the manifest; "
            "set handle_unknown='ignore'"
        )
    shorter = document | write_signature(signature, max_categories=MAX_CATEGORIES)
    if len(canonical(shorter).encode()) > CAPS[MANIFEST_KEY]:
        raise ExportError(
            f"the manifest would be larger than {CAPS[MANIFEST_KEY]} bytes; use fewer features, redact= some, "
            "or shorten metadata="
        )
    return shorter


def exporter() -> str:
    """This program and its version."""
    return f"onnxport {version_of('onnxport')}"


def _source(subject: Subject) -> dict[str, Any]:
    estimator = subject.estimator
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    last = last.native if isinstance(last, Adapted) else last
    parameters = sorted((key, repr(value)) for key, value in estimator.get_params().items())
    return {
        "library": type(last).__module__.partition(".")[0],
        "class": type(last).__name__,
        "versions": {
            **version_of_library(type(last)),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "onnx": onnx.__version__,
            "python": platform.python_version(),
        },
        "exporter": exporter(),
        "params_sha256": hashlib.sha256(repr(parameters).encode()).hexdigest(),
    }


def _training(subject: Subject, sample: Sample, target: Any) -> dict[str, Any]:
    if not sample.real:
        return {}
    digest = hashlib.sha256()
    for column in sample.used:
        digest.update(column.name.encode())
        values = column.values
        digest.update(repr(values.tolist()).encode() if column.is_string else values.tobytes())
    training: dict[str, Any] = {"rows": sample.rows, "data_sha256": digest.hexdigest()}
    if target is not None:
        training |= _metrics(subject, sample, target)
    return training


def check_target(subject: Subject, sample: Sample, target: Any) -> None:
    """Refuses a y that isn't as long as the sample, or holds none of a classifier's classes, before
    anything takes long.
    """
    if target is None or not sample.real:
        return
    shape = getattr(target, "shape", ())
    if isinstance(target, Sequence) and not isinstance(target, str):
        shape = (len(target),)
    if not shape:
        raise ExportError(
            f"y is of type {type(target).__name__}; pass the targets, one for each of X's "
            f"{sample.rows} rows"
        )
    if shape[0] != sample.rows:
        raise ExportError(
            f"y has {shape[0]} entries, and X has {sample.rows} rows; pass both whole"
        )
    if subject.task in ("binary_classification", "multiclass_classification"):
        values = np.asarray(target, dtype=object).ravel().tolist()
        own = subject.classes[0].tolist()
        if not any(value in own for value in values if not is_missing(value)):
            listed = shorten(", ".join(map(repr, np.asarray(own).tolist())))
            raise ExportError(
                f"y holds {shorten(repr(values[0]))} and none of the classes {listed}; pass the "
                "targets of X as the estimator was fitted on them, or no y"
            )


def _metrics(subject: Subject, sample: Sample, target: Any) -> dict[str, Any]:
    """What y says of the estimator's answers to X."""
    X = sample.restore(sample.table())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a score of one row, for example, is undefined
            metrics = measure(subject, X, target)
    except (TypeError, ValueError) as err:
        raise ExportError(
            f"y doesn't fit the estimator: {library_says(err)}; pass the targets of X, or no y"
        ) from err
    name = getattr(target, "name", None)
    return {"metrics": metrics} | ({"target": str(name)} if name is not None else {})


def baseline(
    sample: Sample, oracle: Oracle, signature: Signature, redact: Sequence[str]
) -> dict[str, Any]:
    """Training statistics of every column and of the answers; empty without X."""
    if not sample.real:
        return {"columns": {}, "output": {}}
    transforms = signature.task == "transformation"  # too much to tell, and no answer to drift
    output = {} if transforms else answer_statistics(signature, oracle.predict(sample.table()))
    columns = {
        column.name: column_statistics(column, redacted=column.name in redact)
        for column in sample.used
    }
    return {"columns": columns, "output": output}


def write(
    model: onnx.ModelProto,
    manifest: Mapping[str, Any],
    selftest: SelfTest,
    statistics: Mapping[str, Any],
    *,
    infers: bool = True,
) -> bytes:
    """The model's bytes with the metadata inside and the digest over all of it. infers: its inner
    shapes are checked too, which not every graph of other tools stands.
    """
    facts = manifest["model"]
    model.producer_name, model.producer_version = "onnxport", version_of("onnxport")
    model.doc_string = _summary(manifest)
    statistics_text = canonical(statistics)
    if len(statistics_text.encode()) > CAPS[BASELINE_KEY]:
        statistics_text = canonical({"columns": {}, "output": statistics["output"]})
    entries = {
        FORMAT_KEY: FORMAT,
        MANIFEST_KEY: canonical(manifest),
        BASELINE_KEY: statistics_text,
        SELFTEST_KEY: selftest.to_json(),
        DIGEST_KEY: BLANK_DIGEST,
        "model_author": facts.get("owner", ""),
        "model_license": facts.get("license", ""),
    }
    for key, value in entries.items():
        if value:
            model.metadata_props.add(key=key, value=value)
    if model.ByteSize() > MAX_BYTES:
        raise ExportError("the model is larger than 2 GB, protobuf's limit; use a smaller one")
    onnx.checker.check_model(model, full_check=infers)
    return seal(model.SerializeToString())


def _summary(manifest: Mapping[str, Any]) -> str:
    """One paragraph for people who open the file in a viewer."""
    facts, source = manifest["model"], manifest["source"]
    parity = manifest["parity"]
    proven = (
        "It answers DIFFERENTLY from its estimator (an accepted mismatch)."
        if parity["accepted_mismatch"]
        else f"It was proven to answer like its estimator on {parity['rows']} rows."
    )
    told = f" {facts['description']}" if "description" in facts else ""
    return (
        f"{facts['name']} {facts['version']}: {facts['task'].replace('_', ' ')} by a {source['class']} "
        f"with {len(manifest['inputs'])} features.{told} {proven} Made by {source['exporter']}."
    )

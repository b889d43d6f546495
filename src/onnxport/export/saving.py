"""`onnxport.save`: from a fitted estimator to a model file that is proven to answer like it, or to
a refusal.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxport.errors import (
    ExportError,
    ModelFileError,
    ParityError,
    RequestError,
)
from onnxport.export import document
from onnxport.export.convert import Conversion, convert
from onnxport.export.describe import describe_features, read_feature_options
from onnxport.export.explain import explain
from onnxport.export.graph import Array
from onnxport.export.imagine import imagine_columns, imagine_sample
from onnxport.export.learned import is_missing, learned
from onnxport.export.libraries import is_torch_module
from onnxport.export.oracle import Oracle
from onnxport.export.parity import Judge, Parity, prove
from onnxport.export.probes import check_nulls, probe
from onnxport.export.report import Report
from onnxport.export.rows import row_sets
from onnxport.export.sample import Sample, Table, read_sample, read_texts, take, with_texts
from onnxport.export.sample_errors import library_says
from onnxport.export.selftest import make_selftest
from onnxport.export.subject import Subject, as_predicted, read_subject
from onnxport.export.targets import name_targets
from onnxport.export.written import check_path, write_file
from onnxport.predictor import Model, load
from onnxport.signature import Label, Signature

Progress = Callable[[str], None]
log = logging.getLogger(__name__)
_ASKED_AGAIN = 500
STEPS = 5  # how often `save` says what it does


def save(
    model: Any,
    path: str | os.PathLike[str],
    X: Any = None,
    y: Any = None,
    *,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    author: str | None = None,
    license: str | None = None,
    labels: Sequence[Any] | Mapping[Any, Label] | None = None,
    features: Sequence[str] | Mapping[str, Mapping[str, str]] | None = None,
    metadata: Mapping[str, Any] | None = None,
    sample_rows: Any = None,
    redact: Sequence[str] = (),
    allow_mismatch: bool = False,
    progress: Progress | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    preprocessing: Mapping[str, Mapping[str, Any]] | None = None,
    outputs: str | None = None,
) -> Report:
    """Saves a fitted estimator or a PyTorch module as one self-describing ONNX file, after proving
    that it answers the same.

    model: a fitted scikit-learn classifier, regressor, outlier detector, clusterer or transformer,
    a model of XGBoost, LightGBM or CatBoost (a bare Booster too), a Pipeline that ends in one, or a
    torch.nn.Module.
    path: the file to write; written only when everything was proven, and then at once.
    X: a representative sample, DataFrame or array [rows, features]: names, types, categories,
    ranges and the rows of the parity gate come from it. Without it the estimator's own record is
    used. Of a module, example inputs: a tensor, a tuple of them, or {input: tensor}, the rows in
    dimension 0; a list of several such examples, which may differ in dynamic dimensions.
    y: the targets of X, for metrics and the names of several targets.
    name, version, description, author, license: for people; name is the file's stem by default.
    labels: what the API calls the classes: a list in the order of `classes_`, or `{class: label}`;
    for several targets a list with one of these (or None) for each.
    features: names for an array's columns, or `{name: {"description": ..., "unit": ...}}`.
    metadata: further JSON facts to keep in the manifest.
    sample_rows: real rows to store for the self-test instead of synthetic ones. They travel with
    the file.
    redact: features whose categories, ranges and statistics stay out of the metadata. What the
    estimator itself learned of them (split points, an encoder's categories) is in the graph.
    allow_mismatch: write the file although it answers differently. It says so wherever it goes.
    progress: called with a line before each step that may take a while.
    dynamic_axes, preprocessing, outputs: of modules only. `{input: {dimension: name}}` or `{input:
    [dimension]}`, beside the batch; `{input: {"scale": number, "mean": [...], "std": [...]}}`,
    computed in the graph first; what the scores behind `labels` are: "logits", "probabilities" or
    "log_probabilities".

    Returns a Report. Raises UnsupportedModel for a part that isn't known to convert exactly,
    ParityError (with the worst row) where the graph answers differently, and ExportError for
    anything else that is wrong. Then nothing is written.
    """
    of_modules = {
        "dynamic_axes": dynamic_axes,
        "preprocessing": preprocessing,
        "outputs": outputs,
    }
    if is_torch_module(model):
        return _save_module(
            model,
            path,
            X,
            y,
            name=name,
            version=version,
            description=description,
            author=author,
            license=license,
            labels=labels,
            features=features,
            metadata=metadata,
            sample_rows=sample_rows,
            redact=redact,
            allow_mismatch=allow_mismatch,
            progress=progress,
            **of_modules,
        )
    for option, value in of_modules.items():
        if value is not None:
            raise ExportError(f"{option}= is for PyTorch modules; leave it out")
    tell = log.info if progress is None else progress
    if not callable(tell):
        raise ExportError("progress= takes a function of one line, such as print")
    if isinstance(redact, str):
        raise ExportError(f"redact= takes a list of features; pass [{redact!r}]")
    target = check_path(path)
    facts = document.read_facts(
        target,
        name=name,
        version=version,
        description=description,
        author=author,
        license=license,
        metadata=metadata,
    )
    subject = read_subject(model, labels)
    options = read_feature_options(features)
    tell(f"converting {type(model).__name__}")
    sample, conversion = _convert(subject, X, options.names)
    document.check_target(subject, sample, y)
    oracle = Oracle(subject.estimator, sample)
    subject = as_predicted(subject, _check_answers(oracle, sample, subject), labels)
    check_nulls(subject.estimator, sample)
    targets = name_targets(subject, sample, _width(conversion), y, redact)
    signature = _signature(subject, sample, conversion, oracle, redact, options.notes, targets)
    document.check_width(signature)
    judge = _judge(subject, signature, conversion, oracle)
    tell("asking the estimator about the hardest rows")
    sets = list(row_sets(sample, signature, conversion.emission.splits, oracle))
    tell(f"comparing {sum(s.rows for s in sets):,} rows in {len(sets)} sets with the graph")
    parity, worst = prove(judge, sets)
    if worst is not None:
        error = explain(judge, conversion, worst, parity)
        parity = _accept(parity, error, allow_mismatch=allow_mismatch)
    tell("choosing self-test rows and describing the model")
    selftest = make_selftest(judge, sample, parity, sample_rows, redact)
    manifest = document.describe_model(
        subject,
        sample,
        signature,
        parity,
        facts=facts,
        target=y,
        row_bytes=conversion.emission.row_bytes,
    )
    statistics = document.baseline(sample, oracle, signature, redact)
    sealed = document.write(conversion.model, manifest, selftest, statistics)
    tell(f"opening the file of {len(sealed):,} bytes as a server would")
    loaded = _reopen(sealed, oracle, sample, declines=judge.declines)
    write_file(target, sealed)
    return Report(path=target, size=len(sealed), parity=parity, manifest=loaded.manifest)


def _save_module(*examples: Any, **options: Any) -> Report:
    """The same for a PyTorch module; torch is imported here, by whoever holds one."""
    from onnxport.export.pytorch.saving import save_module

    return save_module(*examples, **options)


def _judge(subject: Subject, signature: Signature, conversion: Conversion, oracle: Oracle) -> Judge:
    judged = conversion.judged
    return Judge(
        oracle=oracle,
        signature=signature,
        classes=subject.classes,
        content=conversion.model.SerializeToString(),
        judged=None if judged is None else judged.SerializeToString(),
        bar=conversion.emission.bar,
        strict=conversion.emission.strict,
        declines=bool(conversion.emission.undecided),
        jumpy=conversion.emission.jumpy,
    )


def _convert(subject: Subject, X: Any, names: Sequence[str] | None) -> tuple[Sample, Conversion]:
    """The sample and the graph. Without X, the sample is imagined from what the graph knows."""
    own = subject.names
    if names is not None and own is not None and list(names) != list(own):
        raise ExportError(
            "features= names an array's columns, and the estimator has names of its own"
        )
    chosen = own or names
    if chosen is not None and len(chosen) != subject.width:
        raise ExportError(
            f"features= has {len(chosen)} names, and the estimator was fitted on {subject.width} columns"
        )
    if X is not None:
        known = learned(subject.estimator, subject.width)
        sample = (
            read_texts(X, chosen)
            if subject.flat
            else read_sample(X, chosen, as_frame=own is not None, used=subject.used, known=known)
        )
        conversion = convert(subject, sample.columns, _targets(subject, sample))
        return with_texts(sample, conversion.texts), conversion
    columns = imagine_columns(subject, chosen)
    targets = _targets(subject, imagine_sample(subject, columns, {}))
    conversion = convert(subject, columns, targets)
    imagined = imagine_sample(subject, columns, conversion.emission.splits)
    return with_texts(imagined, conversion.texts), conversion


def _targets(subject: Subject, sample: Sample) -> int:
    """How many numbers a regressor answers a row."""
    if subject.task != "regression":
        return 0
    table = take(sample.table(), [0])
    answers = _asked(Oracle(subject.estimator, sample), table)
    return int(answers.size)


def _asked(oracle: Oracle, table: Table) -> Array:
    try:
        return np.asarray(oracle.predict(table))
    except Exception as err:  # an estimator may refuse with any exception
        gone = [name for name, values in table.items() if any(map(is_missing, values.tolist()))]
        holds = f" (nulls are in {', '.join(map(repr, gone[:3]))})" if gone else ""
        raise ExportError(
            f"the estimator refuses the sample X{holds}: {library_says(err)}; "
            "pass rows like those it was fitted on"
        ) from err


def _check_answers(oracle: Oracle, sample: Sample, subject: Subject) -> Array:
    """What the estimator answers to the sample: one label a row and target."""
    table = sample.table()
    if subject.task == "transformation":  # whose answers may be too wide for all rows at once
        table = take(table, np.arange(min(sample.rows, _ASKED_AGAIN)))
    answers = _asked(oracle, table)
    if subject.classes and answers.size != sample.rows * len(subject.classes):
        raise ExportError(
            f"{type(subject.estimator).__name__} predicts {answers.size} labels for {sample.rows} "
            f"rows, and says that it has {len(subject.classes)} targets"
        )
    return answers


def _width(conversion: Conversion) -> int:
    """How many numbers, or labels of several targets, are answered a row; 0 for one label."""
    wide = {o.role: o.width or 0 for o in conversion.outputs}
    return next((wide[role] for role in ("value", "output", "label_code") if role in wide), 0)


def _signature(
    subject: Subject,
    sample: Sample,
    conversion: Conversion,
    oracle: Oracle,
    redact: Sequence[str],
    notes: Mapping[str, Mapping[str, str]],
    targets: tuple[str, ...],
) -> Signature:
    features = describe_features(sample, conversion.places, redact, notes)
    probed = probe(oracle, sample.table(), features, conversion.emission.categories)
    for feature in probed:
        if feature.refuses_unknown and feature.name in redact:
            raise ExportError(
                f"the feature {feature.name!r} can't be redacted, because unknown values are refused and "
                "callers must be told which are allowed; set handle_unknown='ignore' of its encoder, or "
                "put a OneHotEncoder with it in front of a booster"
            )
    several = subject.task == "multioutput_classification"
    return Signature(
        task=subject.task,
        features=tuple(probed),
        tensors=conversion.tensors,
        outputs=conversion.outputs,
        classes=subject.labels[0] if subject.labels and not several else (),
        target_classes=subject.labels if several else (),
        targets=targets,
        texts=tuple(conversion.emission.texts),
        columns=() if subject.used.all() else tuple(c.name for c in sample.columns),
    )


def _accept(parity: Parity, error: ParityError, *, allow_mismatch: bool) -> Parity:
    """The certificate of a mismatch, loudly; or the error, where it wasn't allowed."""
    if not allow_mismatch:
        raise error
    warnings.warn(
        f"SAVED WITH A MISMATCH: {parity.label_flips} label flips, worst difference "
        f"{parity.max_abs:.3g}. This file answers differently from the estimator, and will say so "
        "wherever it is used.",
        stacklevel=3,
    )
    return replace(parity, accepted_mismatch=True)


def _reopen(sealed: bytes, oracle: Oracle, sample: Sample, *, declines: bool) -> Model:
    """Opens what is about to be written, as a server would, and asks it about X itself."""
    try:
        model = load(sealed)
        table = take(sample.table(), np.arange(min(sample.rows, _ASKED_AGAIN)))
        model.predict(sample.restore(take(table, oracle.answered(table))))
    except (ModelFileError, RequestError) as err:
        if declines and isinstance(err, RequestError):
            raise ExportError(
                f"some rows of X can't be answered: {err}. Leave these out of X, or use SimpleImputer "
                "or IterativeImputer"
            ) from err
        raise ExportError(
            f"the file that was made doesn't answer X: {err}. Please report the estimator's class "
            "and parameters"
        ) from err
    return model

"""A manifest in words: for a terminal (`describe`) and for a notebook (`html_table`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from onnxport.manifest import Manifest
from onnxport.signature import Feature, spell_feature_shape, spell_shape

Section = tuple[str, list[tuple[str, str]]]

_MAX_FEATURES = 60
_MAX_CATEGORIES = 8
_MAX_LABELS = 20
_MAX_TARGETS = 10


def describe(manifest: Manifest) -> str:
    """The manifest as aligned text: model, features, answer, parity, runtime."""
    lines = []
    for title, rows in sections(manifest):
        lines.append(title)
        width = max((len(name) for name, _ in rows), default=0)
        lines += [f"  {name:<{width}}  {text}".rstrip() for name, text in rows]
    return "\n".join(lines)


def html_table(manifest: Manifest) -> str:
    """The same as one HTML table, every text escaped."""
    body = []
    for title, rows in sections(manifest):
        body.append(f'<tr><th colspan="2" style="text-align:left">{escape(title)}</th></tr>')
        body += [
            f'<tr><td style="text-align:left"><code>{escape(name)}</code></td>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in rows
        ]
    return f"<table>{''.join(body)}</table>"


def sections(manifest: Manifest) -> Iterator[Section]:
    """Titled lists of (name, text)."""
    signature, model = manifest.signature, manifest["model"]
    facts = [("task", signature.task.replace("_", " ")), ("version", manifest.version)]
    facts += [
        (key, str(model[key])) for key in ("description", "owner", "license") if model.get(key)
    ]
    source = manifest.get("source", {})
    if source:
        facts.append(("from", f"{source['class']} ({source['library']})"))
    yield f"model {manifest.name}", facts
    features = [(f.name, describe_feature(f)) for f in signature.features[:_MAX_FEATURES]]
    if len(signature.features) > _MAX_FEATURES:
        features.append(("…", f"and {len(signature.features) - _MAX_FEATURES} more"))
    yield f"features ({len(signature.features)})", features
    yield "answer", list(_answer(manifest))
    if "parity" in manifest:
        yield "parity", list(describe_parity(manifest["parity"]))
    training = manifest.get("training", {})
    if training:
        yield "training", list(_describe_training(training))
    runtime = manifest.get("runtime", {})
    yield "runs on", [("onnxruntime", str(runtime.get("onnxruntime", "unknown")))]
    if "versions" in source:
        versions = {"exporter": source.get("exporter", "unknown"), **source["versions"]}
        yield "made with", [(name, str(version)) for name, version in versions.items()]


def describe_feature(feature: Feature) -> str:
    """What a feature takes, in one line."""
    parts: list[str] = [_type_name(feature)]
    if feature.limits is not None:
        parts.append(f"takes {feature.limits[0]} … {feature.limits[1]}")
    if feature.nullable:
        parts.append("nullable")
    if feature.minimum is not None and feature.maximum is not None:
        parts.append(f"trained on {feature.minimum:g} … {feature.maximum:g}")
    if feature.categories:
        shown = ", ".join(str(c) for c in feature.categories[:_MAX_CATEGORIES])
        more = ", …" if len(feature.categories) > _MAX_CATEGORIES else ""
        parts.append(f"{'one of' if feature.refuses_unknown else 'trained on'} {shown}{more}")
    if feature.unit:
        parts.append(f"in {feature.unit}")
    if feature.description:
        parts.append(feature.description)
    return ", ".join(parts)


def _type_name(feature: Feature) -> str:
    if feature.is_tensor:
        return f"{feature.dtype} {spell_feature_shape(feature)}"
    is_category = feature.is_string and feature.kind != "text"
    return "string" if is_category else feature.kind


def describe_parity(parity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parity certificate as (name, text)."""
    if parity.get("accepted_mismatch"):
        yield (
            "WARNING",
            "this file answers differently from its estimator; it was saved with allow_mismatch",
        )
    by_set = parity.get("rows_by_set") or {}
    sets = (f"{name} ({by_set[name]:,})" if name in by_set else name for name in parity["row_sets"])
    yield "rows", f"{parity['rows']:,} in {', '.join(sets)}"
    yield "label flips", str(parity["label_flips"])
    yield "worst difference", f"{parity['max_abs']:.2g} (allowed {parity['tolerance']:g})"
    if "ties" in parity:
        yield "ties", f"{parity['ties']} (the original's own answer hangs on rounding)"
    if "refused" in parity:
        yield "refused", f"{parity['refused']} more rows, which the original itself refuses"
    yield "proven on", f"onnxruntime {parity['onnxruntime']}"


def _describe_training(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The sample that the caller gave, and how well the estimator answers it."""
    if isinstance(training.get("rows"), int):
        yield "sample rows", f"{training['rows']:,}"
    if training.get("target"):
        yield "target", str(training["target"])
    for name, value in training.get("metrics", {}).items():
        if isinstance(value, (int, float)):
            yield str(name).replace("_", " "), f"{value:.4g} on the sample"


def _answer(manifest: Manifest) -> Iterator[tuple[str, str]]:
    signature = manifest.signature
    output = signature.output("output")
    if signature.task == "tensor":
        for each in signature.outputs:
            yield each.tensor, f"{each.datatype} {spell_shape(each.shape or ())}"
    elif output:
        names = f": {_some(signature.targets)}" if signature.targets else ""
        yield "output", f"{output.width} numbers{names}"
    elif signature.target_classes:
        yield "prediction", f"a list: {_some(signature.targets)}"
        named = zip(signature.targets, signature.target_classes, strict=True)
        yield from [(name, f"one of {_some(labels)}") for name, labels in [*named][:_MAX_TARGETS]]
    elif signature.classes:
        yield "prediction", f"one of {_some(signature.classes)}"
    elif len(signature.targets) > 1:
        yield "prediction", f"a list: {_some(signature.targets)}"
    else:
        yield "prediction", "a number"
    if signature.output("probabilities"):
        several = " of each target" if signature.target_classes else ""
        yield "probabilities", f"one number a class{several}"
    if signature.output("score"):
        yield "score", "a number, negative for outliers"


def _some(values: Sequence[object]) -> str:
    more = ", …" if len(values) > _MAX_LABELS else ""
    return ", ".join(str(value) for value in values[:_MAX_LABELS]) + more

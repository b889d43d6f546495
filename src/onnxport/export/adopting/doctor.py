"""The diagnosis of an ONNX file: everything that stands between it and a model file, nothing changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import onnx
from onnx import TensorProto

from onnxport.errors import shorten
from onnxport.export.adopting.findings import Finding, bar, cure, in_utf8, listed, named
from onnxport.export.adopting.sequences import construct_of, zipmap_of
from onnxport.export.adopting.structure import (
    Port,
    attributes,
    every_node,
    inner_graphs,
    inputs,
    opset,
    outputs,
)
from onnxport.export.adopting.versions import OLDEST, TARGET_IR, TARGET_OPSET, newest_known
from onnxport.modelfile import ALLOWED_DOMAINS

MAX_OUTPUTS = 500
MAX_DEPTH = 8  # the reader of model files goes no deeper (modelfile.py)
LOCALES = frozenset({"C.UTF-8"})
# Operators that answer differently each time (Operators.md, "random").
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
_FORMS = {
    "sequence": "a sequence",
    "map": "a map",
    "optional": "an optional value",
    "sparse": "a sparse tensor",
    "none": "of no type that is known",
}
# What an answer or a request can carry (datatypes.py).
CARRIED = frozenset(range(1, 14)) | {TensorProto.FLOAT16}


def diagnose(model: onnx.ModelProto) -> list[Finding]:
    """All findings about a model as it stands in its file, in the order of the file's parts. Raises
    NotAdoptable for names that are not UTF-8.
    """
    with in_utf8():
        return _diagnose(model)


def _diagnose(model: onnx.ModelProto) -> list[Finding]:
    findings = [
        *_versions(model),
        *_operators(model),
        *_inputs(model),
        *_outputs(model),
        *_locales(model),
    ]
    return findings if any(not f.curable for f in findings) else [*findings, *_checker(model)]


def _versions(model: onnx.ModelProto) -> Iterator[Finding]:
    version, ir = opset(model), model.ir_version
    if ir > TARGET_IR:
        what = f"IR version {ir}, which ONNX Runtime 1.21.1 doesn't read"
        yield cure(
            "ir_version", "", what, f"it is lowered to {TARGET_IR} where nothing newer is used"
        )
    elif ir < 4 and len(inputs(model)) < len(model.graph.input):
        what = f"IR version {ir} lists the weights as inputs too"
        yield cure("ir_version", "", what, "they are made weights alone")
    if version > TARGET_OPSET:
        what = f"operator set {version}, newer than ONNX Runtime 1.21.1 knows for certain"
        then = f"it is lowered to {TARGET_OPSET} where that can be proven"
        yield cure("opset", "", what, f"{then}, else the file says which release it needs")
    elif 0 < version < OLDEST:
        what = f"operator set {version}, older than ONNX Runtime promises to run"
        yield cure("opset", "", what, "it is raised")
    ml = opset(model, "ai.onnx.ml")
    if ml > newest_known("ai.onnx.ml"):
        what = f"operator set {ml} of ai.onnx.ml, which no runtime here knows"
        then = f"export it with ai.onnx.ml {newest_known('ai.onnx.ml')} or lower"
        yield bar("opset", "", what, then)


def _operators(model: onnx.ModelProto) -> Iterator[Finding]:
    own = {(function.domain, function.name) for function in model.functions}
    nodes = [*every_node(model.graph)]
    for function in model.functions:
        for node in function.node:
            nodes.append((node, 0))
            nodes += [pair for graph in inner_graphs(node) for pair in every_node(graph)]
    foreign: dict[str, Counter[str]] = {}
    for node, _ in nodes:
        if (node.domain, node.op_type) not in own and node.domain not in ALLOWED_DOMAINS:
            foreign.setdefault(node.domain, Counter())[node.op_type] += 1
    for domain, operators in foreign.items():
        yield _foreign(domain, operators)
    if own:
        what = f"{len(own)} functions of its own ({listed(name for _, name in own)})"
        yield cure("functions", "", what, "they are written out")
    deepest = max((depth for _, depth in nodes), default=0)
    if deepest > MAX_DEPTH:
        what = f"graphs nested {deepest} deep, and {MAX_DEPTH} is the most"
        yield bar("nesting", "", what, "export it without nested loops and conditions")
    for node, _ in nodes:
        if node.op_type in _RANDOM and node.domain in ("", "ai.onnx"):
            what = f"{node.op_type} answers differently each time, so nothing can be proven"
            yield bar("random", _node(node), what, "export it without random operators")
    yield from _training(nodes)


def _training(nodes: Iterable[tuple[onnx.NodeProto, int]]) -> Iterator[Finding]:
    for node, _ in nodes:
        if node.op_type == "BatchNormalization" and attributes(node).get("training_mode"):
            what = "BatchNormalization in training mode makes one row hang on the others"
            yield bar("training", _node(node), what, "export it in evaluation mode")


def _node(node: onnx.NodeProto) -> str:
    return named("node", node.name or node.op_type)


def _foreign(domain: str, operators: Counter[str]) -> Finding:
    told = listed(operators)
    place = named("domain", domain)
    if domain == "com.microsoft" and "Tokenizer" in operators:
        then = (
            "it is skl2onnx's tokenizer; save the scikit-learn pipeline itself with onnxport.save, "
            "which needs none"
        )
    elif domain == "com.microsoft":
        then = (
            "they come from ONNX Runtime's optimizer or quantizer; adopt the file from before it, or "
            "quantize with QuantFormat.QDQ and save without extended optimizations"
        )
    elif domain.startswith("ai.onnx.preview"):
        then = "they belong to training; export the model for inference"
    else:
        then = "export it with operators of ONNX alone, or as functions inside the file"
    return bar("custom_operator", place, f"operators that are not ONNX's own ({told})", then)


def _inputs(model: onnx.ModelProto) -> Iterator[Finding]:
    fed = inputs(model)
    if not fed:
        yield bar("no_inputs", "", "the graph has no inputs", "export it with the data as inputs")
    for twice, count in Counter(each.name for each in fed).items():
        if count > 1 or not twice:
            what = f"stands {count} times among the inputs" if twice else "an input without a name"
            yield bar("input_name", named("input", twice) if twice else "", what, "export it again")
    for each in fed:
        place = named("input", each.name)
        if each.form != "tensor":
            what = f"it is {_FORMS[each.form]}, and requests carry tensors only"
            yield bar("input_form", place, what, "export the model with tensors as inputs")
        elif each.element not in CARRIED or each.element in (14, 15):
            what = f"its datatype {_datatype(each)} can't be sent"
            yield bar("input_type", place, what, "export it with float32 inputs and a Cast")
        elif each.shape is None:
            what = "the file doesn't say how many dimensions it has"
            yield bar("input_shape", place, what, "export it with the shapes of its inputs")
        elif not each.shape:
            what = "it has no batch dimension: it is one number for all rows"
            then = "make it a constant, or an input with one value a row"
            yield bar("no_batch", place, what, then)
        elif 0 in each.shape:
            yield bar("input_shape", place, "one of its dimensions is 0", "export it again")
    yield from _batch(fed)


def _batch(fed: list[Port]) -> Iterator[Finding]:
    fixed = {each.name: each.shape[0] for each in fed if each.shape}
    sizes = {size for size in fixed.values() if isinstance(size, int)}
    if sizes == {1}:
        what = "it was exported for one row at a time"
        then = "its batch is made dynamic where that can be proven; else it is served row by row"
        yield cure("fixed_batch", named("input", next(iter(fixed))), what, then)
    elif len(sizes) == 1 and sizes != {0}:
        what = f"it was exported for exactly {next(iter(sizes))} rows"
        then = "its batch is made dynamic where that can be proven"
        yield cure("fixed_batch", named("input", next(iter(fixed))), what, then)
    elif len(sizes) > 1:
        name = next(name for name, size in fixed.items() if isinstance(size, int) and size != 1)
        what = f"the inputs begin with different sizes ({', '.join(map(str, sorted(sizes)))})"
        then = "export the model with one batch dimension first in every input"
        yield bar("no_batch", named("input", name), what, then)


def _outputs(model: onnx.ModelProto) -> Iterator[Finding]:
    given = outputs(model)
    if not given:
        yield bar("no_outputs", "", "the graph has no outputs", "export it with its answers")
    if len(given) > MAX_OUTPUTS:
        what = f"{len(given):,} outputs, and {MAX_OUTPUTS} is the most"
        yield bar("many_outputs", "", what, "name those that are needed: --output NAME")
    names = [each.name for each in given]
    if len(set(names)) < len(names) or "" in names:
        yield bar("output_name", "", "two outputs share a name, or one has none", "export it again")
    for each in given:
        place = named("output", each.name)
        if each.form == "sequence" and zipmap_of(model, each.name) is not None:
            what = "ZipMap makes one dictionary a row of it"
            yield cure("zipmap", place, what, "it is cut off, and its labels are kept")
        elif each.form == "sequence" and construct_of(model, each.name) is not None:
            yield cure(
                "sequence", place, "a sequence of tensors", "each becomes an output of its own"
            )
        elif each.form != "tensor":
            what = f"it is {_FORMS[each.form]}, and answers carry tensors only"
            yield bar("output_form", place, what, "name the other outputs with --output")
        elif each.element not in CARRIED or each.element in (14, 15):
            what = f"its datatype {_datatype(each)} can't be answered"
            yield bar("output_type", place, what, "name the other outputs with --output")


def _datatype(each: Port) -> str:
    known: Mapping[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return known.get(each.element, str(each.element)).lower()


def _locales(model: onnx.ModelProto) -> Iterator[Finding]:
    for node, _ in every_node(model.graph):
        if node.op_type != "StringNormalizer":
            continue
        locale = attributes(node).get("locale", b"").decode("utf-8", "replace") or "en_US"
        if locale not in LOCALES:
            what = f"it needs the locale {shorten(repr(locale))}, which slim images don't have"
            yield cure("locale", _node(node), what, "C.UTF-8 takes its place")


def _checker(model: onnx.ModelProto) -> Iterator[Finding]:
    """onnx's own checker. Shapes that don't agree are let be: ONNX Runtime has the last word."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as err:
        line = next((each for each in str(err).splitlines() if each.strip()), "no reason")
        unknown = any(word in str(err) for word in ("IR version", "opset", "version"))
        if unknown and (model.ir_version > TARGET_IR or opset(model) > TARGET_OPSET):
            return  # told above; the lowered model is checked again
        what = f"onnx's checker refuses it: {shorten(line.strip(), 160)}"
        yield bar("invalid", "", what, "export it again, or report it to the tool that wrote it")

"""PyTorch modules: what a model file answers to fresh rows is what the module answers, or the module is refused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

import onnxport
from onnxport.errors import (
    ExportError,
    ParityError,
    UnsupportedModel,
    ValidationError,
)
from onnxport.signature import Dimension
from tests.export.torch_modules import (
    DIGITS,
    Calling,
    Embedded,
    Padded,
    Recurrent,
    Several,
    Translator,
    digits,
    trained_on_digits,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # others only wait, where all is small


def answers(module: Any, inputs: Mapping[str, Any]) -> Any:
    """What the module itself says in evaluation mode."""
    training = module.training
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = module.eval()(**inputs)
    module.train(training)
    return found


def rows_of(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = len(next(iter(inputs.values())))
    return [{name: tensor[i].numpy() for name, tensor in inputs.items()} for i in range(count)]


def agree(
    model: onnxport.Model, module: Any, inputs: Mapping[str, Any], atol: float = 1e-5
) -> None:
    """Each output of each row is the module's, integers to the last."""
    found = model.predict(rows_of(inputs))
    wanted = answers(module, inputs)
    if isinstance(wanted, torch.Tensor):
        wanted = {"output": wanted}
    if isinstance(wanted, tuple):
        wanted = {f"output_{i}": tensor for i, tensor in enumerate(wanted)}
    assert list(found[0]) == list(wanted)
    for name, tensor in wanted.items():
        got = np.array([row[name] for row in found])
        if tensor.is_floating_point():
            np.testing.assert_allclose(got, tensor.numpy().reshape(got.shape), rtol=1e-5, atol=atol)
        else:
            np.testing.assert_array_equal(got, tensor.numpy())


def saved(tmp_path: Path, module: Any, *args: Any, **options: Any) -> tuple[Any, onnxport.Model]:
    report = onnxport.save(module, tmp_path / "m.onnx", *args, **options)
    return report, onnxport.load(tmp_path / "m.onnx")


def test_numbers_beside_ids(tmp_path: Path) -> None:
    module = Embedded()
    report, model = saved(tmp_path, module, (torch.randint(0, 10, (4,)), torch.randn(4, 3)))
    ids, x = model.signature.features
    assert (ids.name, ids.dtype, ids.shape, ids.limits) == ("ids", "INT64", (), (0, 9))
    assert (x.name, x.dtype, x.shape, x.limits) == ("x", "FP32", (3,), None)
    assert report.parity.rows > 3000
    assert {"heldout", "x1000", "batch 257"} <= set(report.parity.row_sets)
    agree(model, module, {"ids": torch.randint(0, 10, (3000,)), "x": 3 * torch.randn(3000, 3)})
    agree(model, module, {"ids": torch.tensor([9]), "x": torch.zeros(1, 3)})
    with pytest.raises(ValidationError, match="holds 10, which is beyond 0 to 9"):
        model.predict({"ids": 10, "x": [0, 0, 0]})
    with pytest.raises(ValidationError, match="holds -1, which is beyond 0 to 9"):
        model.predict({"ids": -1, "x": [0, 0, 0]})


def test_a_transformer_of_two_dynamic_dimensions(tmp_path: Path) -> None:
    module = Translator()
    example = {"source": torch.randint(0, 20, (3, 6)), "target": torch.randint(0, 20, (3, 9))}
    axes = {"source": {0: "batch", 1: "source_time"}, "target": {1: "target_time"}}
    _, model = saved(tmp_path, module, example, dynamic_axes=axes)
    source, target = model.signature.features
    assert source.shape == target.shape == (None,)
    assert source.dimensions == (Dimension("source_time", 1, 32),)
    assert target.dimensions == (Dimension("target_time", 1, 32),)
    assert model.signature.outputs[0].shape == (None, 5)
    for lengths in ((1, 1), (6, 9), (9, 6), (32, 32), (17, 2)):
        tokens = [torch.randint(0, 20, (200, length)) for length in lengths]
        agree(model, module, dict(zip(example, tokens, strict=True)))
    mixed = [{"source": [1] * length, "target": [2] * (length % 3 + 1)} for length in range(1, 20)]
    for row, answer in zip(mixed, model.predict(mixed), strict=True):
        alone = answers(module, {name: torch.tensor([ids]) for name, ids in row.items()})
        np.testing.assert_allclose(answer["output"], alone[0].numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValidationError, match=r"takes nested lists of shape \[source_time 1…32\]"):
        model.predict({"source": [1] * 33, "target": [1]})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.LSTM, {"num_layers": 2, "bidirectional": True, "dropout": 0.3}),
        (nn.GRU, {"bias": False}),
        (nn.RNN, {"nonlinearity": "relu", "bidirectional": True}),
    ],
)
def test_recurrent_layers_of_any_length(tmp_path: Path, kind: Any, options: dict[str, Any]) -> None:
    module = Recurrent(kind, **options)
    x = torch.randn(4, 7, 4)
    module(x)
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    _, model = saved(tmp_path, module, x, dynamic_axes={"x": {1: "time"}})
    for length in (1, 7, 30):
        agree(model, module, {"x": torch.randn(300, length, 4)})
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_conv_net_with_labels(tmp_path: Path) -> None:
    module, (images, codes) = trained_on_digits(), digits()
    report, model = saved(
        tmp_path, module, images[:100] / 16, [DIGITS[code] for code in codes[:100]], labels=DIGITS
    )
    assert report.manifest["metadata"]["outputs"]["kind"] == "logits"
    assert report.manifest["training"]["metrics"]["accuracy"] > 0.85
    assert model.signature.task == "multiclass_classification"
    fresh = torch.from_numpy(images) / 16 + 0.1 * torch.randn(images.shape)
    scores = answers(module, {"input": fresh})
    found = model.predict(rows_of({"input": fresh}))
    assert [each["prediction"] for each in found] == [DIGITS[i] for i in scores.argmax(1)]
    proba = np.array([list(each["probabilities"].values()) for each in found])
    np.testing.assert_allclose(proba, scores.double().softmax(1), atol=1e-5)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (nn.Identity(), "logits"),
        (nn.Softmax(dim=1), "probabilities"),
        (nn.LogSoftmax(dim=-1), "log_probabilities"),
    ],
)
def test_what_the_scores_are(tmp_path: Path, last: Any, kind: str) -> None:
    scores = nn.Linear(4, 3)
    module = nn.Sequential(scores, last)
    report, model = saved(tmp_path, module, torch.randn(5, 4), labels={2: 30, 0: 10, 1: 20})
    assert report.manifest["metadata"]["outputs"]["kind"] == kind
    x = 5 * torch.randn(1000, 4)
    wanted = answers(scores, {"input": x}).double().softmax(1).numpy()
    found = model.predict(rows_of({"input": x}))
    assert [each["prediction"] for each in found] == (10 + 10 * wanted.argmax(1)).tolist()
    assert list(found[0]["probabilities"]) == ["10", "20", "30"]
    proba = [list(each["probabilities"].values()) for each in found]
    np.testing.assert_allclose(proba, wanted, atol=1e-5)


@pytest.mark.parametrize(("sigmoid", "flat"), [(True, False), (False, True)])
def test_one_column_for_two_labels(tmp_path: Path, sigmoid: bool, flat: bool) -> None:
    scores = nn.Sequential(nn.Linear(4, 1), *([nn.Flatten(0)] if flat else []))
    module = nn.Sequential(scores, nn.Sigmoid()) if sigmoid else scores
    _, model = saved(tmp_path, module, torch.randn(5, 4), labels=[False, True])
    assert model.signature.task == "binary_classification"
    x = 5 * torch.randn(1000, 4)
    wanted = answers(scores, {"input": x}).double().sigmoid().numpy().ravel()
    found = model.predict(rows_of({"input": x}))
    assert [each["prediction"] for each in found] == (wanted > 0.5).tolist()
    proba = [each["probabilities"]["true"] for each in found]
    np.testing.assert_allclose(proba, wanted, atol=1e-5)


def test_several_outputs_by_name(tmp_path: Path) -> None:
    module = Several()
    example = (torch.randn(3, 4), torch.tensor([True, False, True]))
    _, model = saved(tmp_path, module, example)
    outputs = {o.tensor: (o.shape, o.datatype) for o in model.signature.outputs}
    assert outputs == {"kind": ((3,), "FP32"), "size": ((), "FP32"), "best": ((), "INT64")}
    agree(model, module, {"x": 2 * torch.randn(2000, 4), "flip": torch.rand(2000) > 0.5})
    agree(model, module, {"x": torch.randn(1, 4), "flip": torch.tensor([True])})
    with pytest.raises(ValidationError, match="takes true or false, and got a number"):
        model.predict({"x": [0, 0, 0, 0], "flip": 1})


def test_padding_is_masked(tmp_path: Path) -> None:
    module = Padded(nested=False)
    example = (torch.randint(0, 20, (3, 5)), torch.zeros(3, 5, dtype=torch.bool))
    axes = {"tokens": {1: "time"}, "padding": {1: "time"}}
    _, model = saved(tmp_path, module, example, dynamic_axes=axes)
    for length in (2, 5, 12):
        padding = torch.arange(length) >= torch.randint(1, length + 1, (300, 1))
        agree(model, module, {"tokens": torch.randint(0, 20, (300, length)), "padding": padding})
    with pytest.raises(ValidationError, match="time is 3 in 'tokens' and 1 in 'padding'"):
        model.predict({"tokens": [1, 2, 3], "padding": [False]})
    with pytest.raises(ExportError, match="set enable_nested_tensor=False"):
        saved(tmp_path, Padded(nested=True), example, dynamic_axes=axes)


def test_where_a_mask_leaves_nothing(tmp_path: Path) -> None:
    def attend(_: Any, x: Any) -> Any:
        mask = (x[:, :, 0] > 0)[:, None, :]
        return functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    module = Calling(attend)
    _, model = saved(tmp_path, module, torch.randn(3, 5, 4), dynamic_axes={"x": {1: "time"}})
    x = torch.randn(300, 3, 4)
    x[:100, :, 0] = -1
    assert not answers(module, {"x": x})[:100].any()
    agree(model, module, {"x": x})


def test_logarithms_of_small_sigmoids(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LogSigmoid())
    _, model = saved(tmp_path, module, torch.randn(5, 4))
    agree(model, module, {"input": 60 * torch.randn(500, 4)})


def test_pixels_are_scaled_in_the_graph(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    declared = {"image": {"scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}}
    pixels = torch.randint(0, 256, (300, 3, 6, 6), dtype=torch.uint8)
    report, model = saved(tmp_path, module, pixels[:5], features=["image"], preprocessing=declared)
    assert report.manifest["metadata"]["preprocessing"] == declared
    assert model.signature.features[0].dtype == "UINT8"
    mean, std = (torch.tensor(declared["image"][key]).view(3, 1, 1) for key in ("mean", "std"))
    scaled = (pixels.float() / 255 - mean) / std
    wanted = answers(module, {"input": scaled}).numpy()
    found = [each["output"] for each in model.predict(rows_of({"image": pixels}))]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_examples_that_differ_make_a_dimension_dynamic(tmp_path: Path) -> None:
    module = Calling(lambda m, x: m.linear(x).mean(dim=1))
    _, model = saved(tmp_path, module, [torch.randn(2, 3, 4), torch.randn(1, 5, 4)])
    assert model.signature.features[0].shape == (None, 4)
    agree(model, module, {"x": torch.randn(100, 9, 4)})


def test_a_branch_by_size_is_never_taken_wrongly(tmp_path: Path) -> None:
    module = Calling(lambda _, x: x.sum(dim=1) * (2 if x.shape[1] > 10 else 1))
    _, model = saved(tmp_path, module, torch.randn(3, 8), dynamic_axes={"x": [1]})
    agree(model, module, {"x": torch.randn(100, 10)})
    with pytest.raises(ValidationError, match="and has the shape"):
        model.predict({"x": [1.0] * 11})


def test_ids_of_several_ranges_side_by_side(tmp_path: Path) -> None:
    module = Calling(
        lambda m, x: torch.cat([m.few(x[:, 0]), m.many(x[:, 1])], dim=1),
        few=nn.Embedding(3, 2),
        many=nn.Embedding(50, 2),
    )
    _, model = saved(tmp_path, module, torch.randint(0, 3, (4, 2)))
    assert model.signature.features[0].limits == (0, 49)
    ids = torch.stack([torch.randint(0, 3, (500,)), torch.randint(0, 50, (500,))], dim=1)
    agree(model, module, {"x": ids})
    with pytest.raises(ValidationError, match="the model can't answer it"):
        model.predict({"x": [3, 3]})


def test_integers_that_divide(tmp_path: Path) -> None:
    module = Calling(lambda _, x: 7 * torch.ones_like(x) // x)
    _, model = saved(tmp_path, module, torch.randint(1, 5, (4, 2)))
    limits = model.signature.features[0].limits
    assert limits is not None
    assert limits[0] == 1
    agree(model, module, {"x": torch.randint(1, 100, (500, 2))})


@pytest.mark.parametrize(
    ("wrap", "dtype"),
    [
        (lambda module: torch.compile(module, backend="eager"), torch.float32),
        (nn.DataParallel, torch.float32),
        (lambda module: module.double(), torch.float64),
    ],
)
def test_modules_in_other_modules(tmp_path: Path, wrap: Any, dtype: Any) -> None:
    inner = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    module = wrap(inner)
    _, model = saved(tmp_path, module, torch.randn(5, 4, dtype=dtype))
    agree(model, inner, {"input": torch.randn(500, 4, dtype=dtype)})


def test_the_module_stays_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    module[1].eval()
    module[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    lines: list[str] = []
    saved(tmp_path, module, torch.randn(5, 4), progress=lines.append)
    torch.set_rng_state(state)
    saved(tmp_path, module, torch.zeros(5, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2
    assert [part.training for part in module] == [True, False, True]
    assert not module[0].weight.requires_grad
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    assert lines[0] == "converting Sequential"
    assert capfd.readouterr() == ("", "")


def test_nothing_of_the_machine_is_in_the_file(tmp_path: Path) -> None:
    saved(tmp_path, Embedded(), (torch.randint(0, 10, (4,)), torch.randn(4, 3)))
    content = (tmp_path / "m.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b"torch_modules.py" not in content
    model = onnx.load_from_string(content)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions
    assert all(not t.external_data for t in model.graph.initializer)


def test_notes_metadata_and_rows_of_ones_own(tmp_path: Path) -> None:
    x = torch.randn(5, 4)
    report, model = saved(
        tmp_path,
        nn.Linear(4, 2),
        x.double().numpy(),  # as numpy has them; the module's own type is float32
        name="lines",
        features={"input": {"description": "Four lengths", "unit": "cm"}},
        metadata={"run": 7},
        sample_rows=x[:2],
    )
    feature = model.signature.features[0]
    assert (feature.dtype, feature.unit, feature.description) == ("FP32", "cm", "Four lengths")
    assert report.manifest["metadata"] == {"run": 7}
    assert report.manifest["source"]["class"] == "Linear"
    np.testing.assert_array_equal(model.example()["input"], x[0])


def test_sums_of_integers_stay_within_32_bits(tmp_path: Path) -> None:
    module = Calling(lambda _, x: x.sum(dim=1))
    _, model = saved(tmp_path, module, torch.randint(0, 6, (4, 3)))
    assert model.signature.features[0].limits == (-(2**31), 2**31 - 1)
    agree(model, module, {"x": torch.randint(-(2**31), 2**31, (500, 3))})


def test_a_mismatch_is_told_or_loud(tmp_path: Path) -> None:
    module = Calling(lambda _, x: x.logcumsumexp(dim=1))
    with pytest.raises(ParityError, match="the graph answers differently from the module"):
        saved(tmp_path, module, 9 * torch.randn(5, 4))
    assert not (tmp_path / "m.onnx").exists()
    with pytest.warns(UserWarning, match="SAVED WITH A MISMATCH"):
        report, _ = saved(tmp_path, module, 9 * torch.randn(5, 4), allow_mismatch=True)
    assert report.parity.accepted_mismatch


X = torch.randn(6, 4)
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "branch by value": (
        Calling(lambda _, x: x * 2 if x.sum() > 10 else x),
        X,
        {},
        "decides by the values of a tensor.* Use torch.where",
    ),
    "fixed batch": (
        Calling(lambda _, x: x.reshape(8, -1)),
        torch.randn(8, 4),
        {},
        "it answers 8 rows, and refuses 5: .* Take sizes from the input",
    ),
    "fixed size": (
        Calling(lambda m, x: m.linear(x.reshape(-1, 4))),
        X,
        {"dynamic_axes": {"x": [1]}},
        "parameter dynamic_axes: its forward fixes dimension 1 of 'x' at 4.*leave it out",
    ),
    "random": (Calling(lambda _, x: x + torch.rand(4)), X, {}, "differently each time"),
    "dropout": (
        Calling(lambda _, x: functional.dropout(x, 0.5)),
        X,
        {},
        r"differently each time. Pass training=self.training to functional.dropout",
    ),
    "rows together": (
        Calling(lambda _, x: x - x.mean(dim=0)),
        X,
        {},
        "for a row depends on the other rows of the batch",
    ),
    "time first": (
        Calling(lambda m, x: m.layer(x)[0], layer=nn.LSTM(4, 3)),
        torch.randn(5, 6, 4),
        {},
        r"depends on the other rows of the batch.*batch_first=True",
    ),
    "rows elsewhere": (
        nn.LSTM(4, 3, batch_first=True),
        torch.randn(5, 6, 4),
        {},
        r"'output_1_0' has the shape \[1, 5, 3\] for 5 rows: .* dimension 1 of it\..*transpose\(0, 1\)",
    ),
    "one number": (Calling(lambda _, x: x.sum()), X, {}, "one answer for all rows"),
    "no tensor": (Calling(lambda _, x: float(x.sum())), X, {}, "answers a float, which is no"),
    "complex": (Calling(lambda _, x: torch.fft.fft(x)), X, {}, "'output' is complex64"),
    "bfloat16": (Calling(lambda _, x: x.bfloat16()), X, {}, "'output' is bfloat16"),
    "no translation": (
        Calling(lambda _, x: torch.linalg.svdvals(x.reshape(-1, 2, 2))),
        X,
        {},
        "no translation of torch's operator aten::_linalg_svd",
    ),
    "a check": (
        Calling(lambda _, x: (torch._assert_async((x < 20).all()), x)[1]),
        X,
        {},
        "it refuses a row of the set 'x10' that its graph would answer",
    ),
    "buffer": (
        Calling(lambda m, x: (m.norm.running_mean.add_(1), x)[1], norm=nn.BatchNorm1d(4)),
        X,
        {},
        "changes its buffer norm.running_mean",
    ),
    "packed": (
        Calling(
            lambda m, x: m.layer(nn.utils.rnn.pack_padded_sequence(x, [3] * 3, batch_first=True))[
                1
            ][0][-1],
            layer=nn.LSTM(4, 3, batch_first=True),
        ),
        torch.randn(3, 6, 4),
        {},
        "Keep forward to operations on tensors|PackedSequence|fixes the number|refuses",
    ),
    "half": (nn.Linear(4, 2).half(), X, {}, r"weight is float16.* Call module.float\(\)"),
    "double": (
        nn.Conv1d(4, 2, 1).double(),
        torch.randn(3, 4, 5).double(),
        {},
        r"can't open its graph: .*Conv.* Call module.float\(\)",
    ),
    "lazy": (nn.LazyLinear(2), X, {}, "gets its shape from the first batch. Call the module"),
    "no examples": (nn.Linear(4, 2), None, {}, "doesn't say what it takes; pass example_inputs"),
    "too few": (nn.Bilinear(3, 2, 1), X, {}, "takes input1, input2, and example_inputs holds 1"),
    "no parameter": (
        nn.Bilinear(4, 4, 1),
        {"input1": X, "inputs2": X},
        {},
        "no parameter 'inputs2'; did you mean 'input2'",
    ),
    "rows differ": (
        nn.Bilinear(4, 4, 1),
        (X, X[:2]),
        {},
        "dimension 0 is the batch, .* 'input1' has 6, 'input2' has 2",
    ),
    "wrong width": (nn.Linear(4, 2), torch.randn(3, 5), {}, "refuses the example inputs"),
    "a list": (nn.Linear(4, 2), X.tolist(), {}, "holds a list, and a module takes tensors"),
    "no axis": (
        nn.Linear(4, 2),
        X,
        {"dynamic_axes": {"inputs": [1]}},
        "names 'inputs', which is no input; did you mean 'input'",
    ),
    "axis of one": (
        Calling(lambda _, x: x.sum(dim=1)),
        X[:, :1],
        {"dynamic_axes": {"x": [1]}},
        "dimension 1 of 'x' is dynamic, and 1 in the example",
    ),
    "labels short": (nn.Linear(4, 2), X, {"labels": "abc"}, "labels= takes a list"),
    "labels of three": (
        nn.Linear(4, 2),
        X,
        {"labels": ["a", "b", "c"]},
        r"parameter labels: its answer is \[rows, 2\] of float32, and 3 labels need \[rows, 3\]",
    ),
    "several questions": (
        nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()),
        X,
        {"labels": ["a", "b", "c"]},
        "each label is a question of its own",
    ),
    "ambiguous": (
        Calling(lambda m, x: m.linear(x)[:, :1].clamp(0, 1)),
        X,
        {"labels": ["a", "b"]},
        "parameter outputs: its scores may be logits or probabilities: it ends in Clip",
    ),
    "no probabilities": (
        nn.Linear(4, 2),
        X,
        {"labels": ["a", "b"], "outputs": "probabilities"},
        "parameter outputs: its rows are no probabilities",
    ),
    "channels": (
        nn.Conv2d(3, 2, 1),
        torch.randn(2, 3, 4, 4),
        {"preprocessing": {"input": {"mean": [0.5, 0.5]}}},
        r"\['mean'\] takes one number, or one for each of the 3 channels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    module, example, options, told = REFUSED[case]
    with pytest.raises(ExportError, match=f"(?s){told}"):
        onnxport.save(module, tmp_path / "m.onnx", example, **options)
    assert not (tmp_path / "m.onnx").exists()
    assert capfd.readouterr() == ("", "")


def test_a_scripted_module_has_lost_its_code(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has deprecated it
        module = torch.jit.trace(nn.Linear(4, 2), X)
    with pytest.raises(UnsupportedModel, match=r"Pass the module that torch\.jit\.script"):
        onnxport.save(module, tmp_path / "m.onnx", X)


def test_examples_must_be_finite(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the example of 'input' holds NaN or infinity"):
        onnxport.save(nn.Linear(3, 2), tmp_path / "m.onnx", torch.full((4, 3), torch.nan))


def test_weights_are_no_module(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds weights without their module"):
        onnxport.save(nn.Linear(3, 2).state_dict(), tmp_path / "m.onnx")

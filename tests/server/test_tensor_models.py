"""PyTorch modules over real HTTP: nested lists in, labels or nested lists out, and refusals that say where."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch

import onnxport
from onnxport.check import check_url
from onnxport.errors import RejectedRows
from tests.export.torch_modules import DIGITS, Translator, digits, trained_on_digits
from tests.serving import ServerProcess

Served = tuple[str, Path]


def _served(folder: Path, *args: Any, **options: Any) -> Iterator[Served]:
    path = folder / "m.onnx"
    onnxport.save(args[0], path, *args[1:], **options)
    with ServerProcess("serve", path, "--port", "0") as server:
        yield server.url, path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A conv net on scikit-learn's digits, from raw pixels to the names of the digits."""
    pixels, codes = digits()
    yield from _served(
        tmp_path_factory.mktemp("images"),
        trained_on_digits(),
        pixels[:50],
        codes[:50],
        labels=DIGITS,
        features=["image"],
        preprocessing={"image": {"scale": 1 / 16}},
    )


@pytest.fixture(scope="module")
def translator() -> Any:
    torch.manual_seed(0)
    return Translator()


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory, translator: Any) -> Iterator[Served]:
    """A transformer of two dynamic dimensions."""
    example = (torch.randint(0, 20, (3, 6)), torch.randint(0, 20, (3, 9)))
    axes = {"source": {1: "source_time"}, "target": {1: "target_time"}}
    folder = tmp_path_factory.mktemp("sequences")
    yield from _served(folder, translator, example, dynamic_axes=axes)


def _post(url: str, body: Any) -> requests.Response:
    return requests.post(f"{url}/predict", json=body, timeout=30)


def _scores(pixels: Any) -> Any:
    with torch.no_grad():
        return trained_on_digits().eval()(torch.from_numpy(pixels) / 16).double().softmax(1)


def test_images_of_digits(images: Served) -> None:
    url, path = images
    pixels, codes = digits()
    answers = _post(url, [{"image": image.tolist()} for image in pixels[1000:1200]]).json()
    wanted = _scores(pixels[1000:1200])
    assert [each["prediction"] for each in answers] == [DIGITS[i] for i in wanted.argmax(1)]
    proba = np.array([list(each["probabilities"].values()) for each in answers])
    np.testing.assert_allclose(proba, wanted, atol=1e-5)
    assert list(answers[0]["probabilities"]) == DIGITS
    right = [DIGITS[code] for code in codes[1000:1200]]
    assert np.mean([each["prediction"] for each in answers] == np.array(right)) > 0.8
    single = _post(url, {"image": pixels[1000].tolist()}).json()
    assert single == onnxport.load(path).predict({"image": pixels[1000]})
    assert single["probabilities"] == pytest.approx(answers[0]["probabilities"])


@pytest.mark.parametrize(
    ("image", "code", "loc", "told"),
    [
        ([[1, 2], [3, 4]], "wrong_shape", [0, 0], "takes nested lists of shape [1, 8, 8]"),
        ([[[0] * 8] * 7], "wrong_shape", [], "has the shape [1, 7, 8]"),
        (0.5, "wrong_shape", [], "holds a number"),
        ([[[0] * 8] * 7 + [[0] * 7 + ["a"]]], "wrong_type", [0, 7, 7], "takes numbers, and got"),
        ([[[0] * 8] * 7 + [[0] * 7 + [None]]], "null_not_allowed", [0, 7, 7], "holds null"),
        ([[[1e39] + [0] * 7] + [[0] * 8] * 7], "non_finite", [0, 0, 0], "more than FP32 can hold"),
    ],
)
def test_what_is_no_image(images: Served, image: Any, code: str, loc: Any, told: str) -> None:
    response = _post(images[0], {"image": image})
    assert response.status_code == 422
    detail = response.json()["detail"][0]
    assert (detail["type"], detail["loc"]) == (code, ["body", "image", *loc])
    assert told in detail["msg"]


def test_a_row_of_many_is_named(images: Served) -> None:
    good = {"image": digits()[0][0].tolist()}
    response = _post(images[0], [good, {"images": 1}])
    assert response.status_code == 422
    assert {detail["loc"][1] for detail in response.json()["detail"]} == {1}


def test_the_client_takes_arrays(images: Served) -> None:
    url, path = images
    model, pixels = onnxport.load(path), digits()[0]
    rows = [{"image": image} for image in pixels[:20]]
    with onnxport.Client(url) as client:
        assert client.predict(rows) == model.predict(rows)
        assert client.predict(rows[3]) == model.predict(rows[3])
        with pytest.raises(RejectedRows, match="nested lists of shape"):
            client.predict({"image": pixels[0, 0]})


def test_check_and_inspect(images: Served) -> None:
    url, path = images
    assert check_url(url, path).passed
    command = [sys.executable, "-m", "onnxport"]
    checked = [*command, "check", url, "--model", str(path)]
    done = subprocess.run(checked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    inspected = subprocess.run(
        [*command, "inspect", str(path), "--json"], capture_output=True, text=True, timeout=60
    )
    manifest = json.loads(inspected.stdout)["manifest"]
    assert manifest["metadata"]["preprocessing"]["image"]["scale"] == 1 / 16
    assert manifest["metadata"]["outputs"]["kind"] == "logits"
    assert manifest["source"]["library"] == "torch"


def test_sequences_of_many_lengths_in_one_request(sequences: Served, translator: Any) -> None:
    url, path = sequences
    rng = np.random.default_rng(0)
    rows = [
        {
            "source": rng.integers(0, 20, n).tolist(),
            "target": rng.integers(0, 20, 7 - n % 5).tolist(),
        }
        for n in range(1, 25)
    ]
    answers = _post(url, rows).json()
    for row, answer in zip(rows, answers, strict=True):
        with torch.no_grad():
            wanted = translator.eval()(*(torch.tensor([ids]) for ids in row.values()))[0]
        assert list(answer) == ["output"]
        np.testing.assert_allclose(answer["output"], wanted.numpy(), rtol=1e-5, atol=1e-5)
    with onnxport.Client(url) as client:
        assert client.predict(rows) == answers
    assert check_url(url, path).passed


@pytest.mark.parametrize(
    ("row", "code", "told"),
    [
        ({"source": [1, 20], "target": [0]}, "out_of_range_integer", "beyond 0 to 19"),
        ({"source": [1, -1], "target": [0]}, "out_of_range_integer", "beyond 0 to 19"),
        ({"source": [1, 2.5], "target": [0]}, "wrong_type", "is no integer"),
        ({"source": [], "target": [0]}, "wrong_shape", "has the shape [0]"),
        ({"source": [[1]], "target": [0]}, "wrong_type", "takes integers, and got a list"),
        ({"source": [1]}, "missing", "target"),
    ],
)
def test_what_is_no_sequence(sequences: Served, row: Any, code: str, told: str) -> None:
    response = _post(sequences[0], row)
    assert response.status_code == 422
    detail = response.json()["detail"][0]
    assert detail["type"] == code
    assert told in detail["msg"]


def test_the_api_describes_tensors(sequences: Served) -> None:
    document = requests.get(f"{sequences[0]}/openapi.json", timeout=30).json()
    text = json.dumps(document, ensure_ascii=False)
    assert "of shape [source_time 1…32]" in text
    assert document["components"]["schemas"]["Row"]["properties"]["source"]["maxItems"] == 32
    model = requests.get(f"{sequences[0]}/model", timeout=30).json()
    assert model["features"][0]["dimensions"] == [{"name": "source_time", "low": 1, "high": 32}]


def test_large_tensors_fill_no_page(root: Path) -> None:
    """An image of 5,184 numbers is an example for nobody."""
    app = onnxport.create_app(root / "tests" / "fixtures" / "format-1.2.onnx")
    document = app.openapi()
    assert len(json.dumps(document)) < 60_000
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert "examples" not in body

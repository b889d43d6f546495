"""The API's description: valid, typed for the model, and as strict as the codec, no more and no less."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

import onnxport
from onnxport.codec import parse_json, read_rows
from onnxport.errors import ValidationError
from onnxport.schema import feature_schema, hoist, row_schema
from onnxport.signature import Feature, Signature
from tests.server import models

MADE = [models.iris(), models.odd_names(), models.every_kind(), models.reciprocal()]


@pytest.mark.parametrize("made", MADE, ids=[made.name for made in MADE])
def test_schemathesis_finds_nothing(
    running: Callable[..., str], made: models.Made, tmp_path: Path
) -> None:
    """All answers are as described, what the schema forbids is refused, and nothing is a 500.

    Legal rows may have infinite answers, so that one check is left to the last tests of this file.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{running(made)}/openapi.json",
        *(
            "--exclude-checks",
            "positive_data_acceptance",
            "--max-examples",
            "100",
            "--seed",
            "2026",
            "--no-color",
        ),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:]


def document(made: models.Made) -> dict[str, Any]:
    return onnxport.create_app(models.write(made)).openapi()


@pytest.mark.parametrize("made", MADE, ids=[made.name for made in MADE])
def test_every_schema_is_named_once_and_is_one(made: models.Made) -> None:
    described = document(made)
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(
            {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}
        )
    assert {"Row", "Prediction", "Error", "ErrorDetail", "Model", "Feature", "Health"} <= set(
        schemas
    )
    asked = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["schema"]["oneOf"][0] == {"$ref": "#/components/schemas/Row"}
    assert (
        list(schemas["Row"]["properties"])
        == list(made.signature.names)
        == schemas["Row"]["required"]
    )


@pytest.mark.parametrize("made", MADE, ids=[made.name for made in MADE])
def test_the_examples_are_answered_with_the_examples(
    running: Callable[..., str], made: models.Made
) -> None:
    url = running(made)
    operation = requests.get(f"{url}/openapi.json", timeout=5).json()["paths"]["/predict"]["post"]
    asked = operation["requestBody"]["content"]["application/json"]["examples"]
    answered = operation["responses"]["200"]["content"]["application/json"]["examples"]
    for name in ("one row", "several rows"):
        answer = requests.post(f"{url}/predict", json=asked[name]["value"], timeout=5)
        assert answer.json() == answered[name]["value"]


def test_the_examples_of_refusals_are_real_answers(running: Callable[..., str]) -> None:
    url, made = running(models.iris()), models.iris()
    told = document(made)["paths"]["/predict"]["post"]["responses"]
    row = dict.fromkeys(made.signature.names[1:], 1.0)
    sent: dict[str, dict[str, Any]] = {
        "400": {"data": b'{"truncated": '},
        "415": {"data": b"{}", "headers": {"Content-Type": "text/csv"}},
        "422": {"json": row},
    }
    for status, request in sent.items():
        ((code, example),) = told[status]["content"]["application/json"]["examples"].items()
        answer = requests.post(f"{url}/predict", timeout=5, **request)
        assert str(answer.status_code) == status
        assert answer.json()["detail"] == example["value"]["detail"]
        assert code == example["value"]["detail"][0]["type"]


def test_only_the_routes_meant_to_be_called_are_described() -> None:
    paths = document(models.iris())["paths"]
    assert {path: list(operations) for path, operations in paths.items()} == {
        "/predict": ["post"],
        "/model": ["get"],
        "/health/live": ["get"],
        "/health/ready": ["get"],
        "/metrics": ["get"],
    }
    assert paths["/predict"]["post"]["operationId"] == "predict"


def test_what_training_knew_is_documentation() -> None:
    schema = feature_schema(
        models.number("x", minimum=4.3, maximum=7.9, unit="cm", description="Sepal.")
    )
    assert schema == {
        "type": "number",
        "format": "double",
        "description": "Sepal. In cm. Trained on 4.3 to 7.9.",
        "x-training-range": [4.3, 7.9],
    }
    schema = feature_schema(models.text("t", "s0", categories=("a", "b")))
    assert "enum" not in schema
    assert schema["x-categories"] == ["a", "b"]


def test_labels_keep_their_types_and_probabilities_their_keys() -> None:
    for classes, kind in [((True, False), "boolean"), ((3, 5), "integer"), ((0.5, 1.5), "number")]:
        made = models.classifier("typed", [models.number("x")], classes, [{"x": 1.0}])
        answer = document(made)["components"]["schemas"]["Prediction"]["properties"]
        assert answer["prediction"]["type"] == kind
        assert answer["prediction"]["enum"] == list(classes)
        assert answer["probabilities"]["required"] == [json.dumps(label) for label in classes]
        assert answer["probabilities"]["additionalProperties"] is False


def test_columns_that_are_never_read_may_be_sent() -> None:
    made = models.reciprocal()
    signature = replace(made.signature, columns=("x", "id"))
    schema = row_schema(signature, example={"x": 1.0})
    rows: list[tuple[dict[str, Any], bool]] = [
        ({"x": 1.0}, True),
        ({"x": 1.0, "id": [1]}, True),
        ({"x": 1.0, "y": 1}, False),
    ]
    for row, legal in rows:
        assert jsonschema_rs.is_valid(schema, row) is legal
        assert accepted(signature, row) is legal


def test_a_feature_called_title_stays_a_feature() -> None:
    row = row_schema(models.odd_names().signature, example={"title": "Mrs"})
    components: dict[str, Any] = {}
    assert hoist(row, components) == {"$ref": "#/components/schemas/Row"}
    assert components == {"Row": row}


# ------------------------------------------------------------------------- schema and codec

FEATURES = [
    models.number("f"),
    models.number("f", nullable=True),
    models.number("f", overflow="float32"),
    models.number("f", kind="integer"),
    models.number("f", kind="integer", nullable=True),
    models.number("f", kind="boolean"),
    models.number("f", kind="boolean", nullable=True),
    models.number("f", kind="boolean", categories=(True,), refuses_unknown=True),
    models.number("f", kind="categorical", categories=(1, 2.5), refuses_unknown=True),
    models.number("f", kind="categorical", categories=(1, 2), refuses_unknown=True, nullable=True),
    models.number("f", kind="integer", categories=(1, 2), refuses_unknown=True),
    models.number("f", minimum=0, maximum=1, categories=(0, 1)),
    models.text("f", "s"),
    models.text("f", "s", nullable=True),
    models.text("f", "s", categories=("a", "é"), refuses_unknown=True),
    models.text("f", "s", categories=("a",), refuses_unknown=True, nullable=True),
]
EDGES: list[Any] = [
    *(None, True, False, 0, 1, 2, -1, 2.5, 1.0, -0.0, 5.5, 2**53, -(2**53), 2.0**60, 1e17, 1e300),
    *(
        3.4028234e38,
        3.4028236e38,
        -3.5e38,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        2.0**63,
    ),
    *("", "a", "é", "b", "1", "a\0", "\n", "true", [], {}, [1], {"a": 1}, [None]),
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.text(),
    st.just([]),
)


def fits_the_schema(feature: Feature, value: Any) -> bool:
    return jsonschema_rs.is_valid(feature_schema(feature), value)


def fits_the_codec(feature: Feature, value: Any) -> bool:
    return accepted(models.regressor("one", [feature], [], rows=[]).signature, {"f": value})


def accepted(signature: Signature, row: dict[str, Any]) -> bool:
    try:
        read_rows(signature, parse_json(json.dumps(row).encode()))
    except ValidationError:
        return False
    return True


def can_be_said(feature: Feature, value: Any) -> bool:
    """JSON Schema knows no difference between 2^53+1 and the float that stands for it, nor infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    beyond = isinstance(value, int) and not -(2**53) <= value <= 2**53
    return not (beyond and feature.kind in ("numeric", "categorical"))


@pytest.mark.parametrize("index", range(len(FEATURES)))
def test_schema_and_codec_agree_on_the_edges(index: int) -> None:
    feature = FEATURES[index]
    for value in EDGES:
        if can_be_said(feature, value):
            assert fits_the_schema(feature, value) == fits_the_codec(feature, value), value


@settings(max_examples=500, deadline=None, derandomize=True)
@given(feature=st.sampled_from(FEATURES), value=VALUES)
def test_schema_and_codec_agree_on_anything(feature: Feature, value: Any) -> None:
    if can_be_said(feature, value):
        assert fits_the_schema(feature, value) == fits_the_codec(feature, value)

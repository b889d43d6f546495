"""The public surface is explicit: sorted, complete, and cheap to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import onnxport

HEAVY = ("boto3", "fastapi", "numpy", "onnx", "onnxruntime", "pandas", "sklearn", "starlette")


def test_the_names_are_sorted() -> None:
    assert onnxport.__all__ == sorted(onnxport.__all__)


def test_the_names_of_the_promise_are_there() -> None:
    assert {"Client", "create_app", "load", "router", "save"} <= set(onnxport.__all__)


@pytest.mark.parametrize("name", onnxport.__all__)
def test_each_name_resolves(name: str) -> None:
    assert getattr(onnxport, name) is not None
    assert name in dir(onnxport)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'sav'"):
        onnxport.sav  # noqa: B018


@pytest.mark.parametrize(
    ("missing", "name", "told"),
    [
        (
            "sklearn",
            "save",
            (
                "onnxport.save needs the export extra (sklearn is missing): "
                "pip install '.[export]' in the clone of onnxport"
            ),
        ),
        (
            "httpx2",
            "Client",
            "onnxport.Client needs httpx2: pip install . in the clone of onnxport",
        ),
    ],
)
def test_a_missing_library_is_named(missing: str, name: str, told: str) -> None:
    program = (
        f"import sys\nsys.modules[{missing!r}] = None\n"
        f"try:\n    from onnxport import {name}\nexcept ImportError as err:\n    print(err)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == told + "\n"


def test_importing_pulls_in_nothing_heavy() -> None:
    program = f"import sys, onnxport; print(*sorted(sys.modules.keys() & {set(HEAVY)!r}))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.split() == []

"""How much each fault test does: a cut in every run, the full count under the marker `long`, both from one seed."""

from __future__ import annotations

import os
import random

import pytest

SEED = int(os.environ.get("FAULTS_SEED", "2026"))


def sizes(cut: int, full: int, *, name: str = "count") -> pytest.MarkDecorator:
    """Runs a test with `cut`, and with `full` where long tests are asked for."""
    return pytest.mark.parametrize(name, [cut, pytest.param(full, marks=pytest.mark.long)])


def drawing(name: str) -> random.Random:
    """The random numbers of one test: the same for the same FAULTS_SEED, which is printed where the test fails."""
    print(f"seed: FAULTS_SEED={SEED}")
    return random.Random(f"{SEED} {name}")

"""44 kinds of models that people train, each on real and on hurtful data: saved, loaded, asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.export.matrix import networks
from tests.export.matrix.case import HARDEST, KINDS, Case
from tests.export.matrix.conftest import Results
from tests.export.matrix.every_case import CASES
from tests.export.matrix.networks import NETWORKS, Network
from tests.export.matrix.score import read_page
from tests.export.matrix.trial import fit, try_ours

EVERY: list[Case | Network] = [*CASES, *NETWORKS]


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case(case: Case, results: Results, tmp_path: Path) -> None:
    try_ours(fit(case), tmp_path)
    results[case.id] = (case.kind, True)


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.id)
def test_a_network(network: Network, results: Results, tmp_path: Path) -> None:
    networks.try_ours(network, tmp_path)
    results[network.id] = (network.kind, True)


def test_every_kind_has_its_cases() -> None:
    count = Counter(case.kind for case in EVERY)
    assert count.keys() == KINDS.keys()
    assert min(count.values()) >= 2
    assert min(count[kind] for kind in HARDEST) >= 3
    assert len({case.id for case in CASES}) == len(CASES)
    for kind in {case.kind for case in CASES}:
        assert len({case.load for case in CASES if case.kind == kind}) >= 2


def test_the_page_agrees_with_this_run(results: Results) -> None:
    page = read_page()
    assert page.keys() == KINDS.keys()
    for kind in KINDS:
        known = [case.id for case in EVERY if case.kind == kind]
        assert page[kind].cases == len(known)
        if all(name in results for name in known):
            passed = sum(results[name][1] for name in known)
            assert passed == page[kind].ours, f"kind {kind}: run tools/matrix.py"

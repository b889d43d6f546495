"""What the tests of `deploy` share: an Amazon Web Services of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import onnxport
from tests import programs
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.projects import Account, Project
from tests.image import bases


@pytest.fixture(scope="session")
def _running_fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAws]:
    programs.program("docker-registry")
    with FakeAws(tmp_path_factory.mktemp("fake-aws")) as fake:
        yield fake


@pytest.fixture
def fake_aws(_running_fake: FakeAws) -> Iterator[FakeAws]:
    """The fake as new: `url`, `env`, `script(...)`, `calls()`, `advance(seconds)`, `rate(...)`, `registry`.

    Its time runs 100 times as fast as ours. A call to what it can't do fails the test.
    """
    _running_fake.reset()
    yield _running_fake
    _check_calls(_running_fake)


def _check_calls(fake: FakeAws) -> None:
    unknown = [
        f"{one['service']} {one['operation']}: {one['error']}"
        for one in fake.calls()
        if one["status"] == 501
    ]
    assert unknown == [], "calls that the fake can't answer"
    assert fake.state()["faults"] == [], "faults of the fake itself"


# ------------------------------------------------------------------------------------- with machines that really serve


@pytest.fixture(scope="session")
def _running_live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAws]:
    programs.program("docker-registry")
    programs.program("nginx")
    with FakeAws(tmp_path_factory.mktemp("live-aws"), live=True) as fake:
        yield fake


@pytest.fixture
def live_aws(_running_live: FakeAws) -> Iterator[FakeAws]:
    """The fake as new, with instances: the model of a deployed image answers at the environment's CNAME."""
    _running_live.reset()
    yield _running_live
    _check_calls(_running_live)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three versions of a model, which answer differently."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for version, strength in (("1.0", 0.1), ("2.0", 1.0), ("3.0", 10.0)):
        paths[version] = folder / f"iris-{version}.onnx"
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(X, y)
        onnxport.save(fitted, paths[version], X, y, name="iris", version=version)
    return paths


@pytest.fixture
def project(tmp_path: Path, live_aws: FakeAws, models: dict[str, Path], root: Path) -> Project:
    """A folder with version 1.0 of the model, an onnxport.toml and a key."""
    return Project(tmp_path, live_aws, models, bases.slim(root))


@pytest.fixture
def account(live_aws: FakeAws) -> Account:
    """What is in the account."""
    return Account(live_aws)

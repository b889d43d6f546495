"""What the tests of `deploy` share: an Amazon Web Services of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import programs
from tests.deploy.fake_aws.process import FakeAws


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
    unknown = [
        f"{one['service']} {one['operation']}: {one['error']}"
        for one in _running_fake.calls()
        if one["status"] in (500, 501) and one["error"] != "InternalFailure"
    ]
    assert unknown == [], "calls that the fake can't answer"

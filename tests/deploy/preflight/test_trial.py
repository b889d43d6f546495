"""P07 to P12 as an engine finds them: the image that was built, and images that differ in how they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnxport.deploy.preflight.subject import Subject
from onnxport.image.engine import Engine, find_engine
from onnxport.image.order import Built
from onnxport.image.parts import Platform
from onnxport.image.store import Store
from tests.deploy.preflight.looking import (
    built_of,
    finding,
    fires,
    passes,
    with_config,
    with_environment,
)
from tests.image import engines, made

Make = Callable[..., Subject]
DEAF = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run([sys.executable, '-m', 'onnxport.container'])
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[engines.Daemon]:
    one = engines.Daemon()
    try:
        yield one.start()
    finally:
        one.stop()


@pytest.fixture
def engine(daemon: engines.Daemon, monkeypatch: pytest.MonkeyPatch) -> Engine:
    for name, value in daemon.env.items():
        monkeypatch.setenv(name, value)
    return find_engine("docker")


def test_a_good_image_passes_what_an_engine_tries(
    subject_of: Make, built: Built, engine: Engine
) -> None:
    subject = subject_of(built=built, engine=engine)
    passes("P07", subject, "listens on every address")
    passes("P08", subject, "exposes 8080/tcp")
    passes("P09", subject, "answer 200")
    passes("P10", subject, "after SIGTERM with exit code 0")
    passes("P11", subject, "read-only root")
    passes("P12", subject, "keeps idle connections for 75 s")
    assert engine.call("images", "--quiet") == "", "the image was lent, and is gone again"


def test_an_image_of_another_model_that_is_killed_at_its_end(
    subject_of: Make, built: Built, engine: Engine, models: dict[str, Path]
) -> None:
    deaf = with_config(built, Entrypoint=["python3", "-c", DEAF])
    subject = subject_of(built=deaf, engine=engine, model=models["2.0"])
    fires("P10", subject, "after SIGTERM it ended with exit code 137")
    fires("P02", subject, "in the image the answers differ from the model file's")
    passes("P07", subject)


def test_an_image_that_nobody_reaches(subject_of: Make, built: Built, engine: Engine) -> None:
    alone = with_environment(built, "ONNXPORT_HOST=127.0.0.1")
    subject = subject_of(built=alone, engine=engine)
    fires("P07", subject, "the server inside is ready, and can't be reached")
    ended = finding("P10", subject)
    assert ended.outcome == "skipped"
    assert ended.looked_at == "the trial of the image ended before"


def test_an_image_that_the_engine_cannot_run(
    subject_of: Make, store: Store, engine: Engine
) -> None:
    arm = built_of(made.image(store, b"x", platform=Platform("arm64")))
    found = finding("P07", subject_of(built=arm, engine=engine))
    assert found.outcome == "skipped"
    assert "linux/arm64" in found.looked_at

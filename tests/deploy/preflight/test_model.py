"""P01, P02, P03, P09, P13, P14: the model file, and the server that really runs it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from onnxport.deploy.intent import Health, Instances, Intent, Limits, Update
from onnxport.deploy.preflight.machines import memory_of
from onnxport.deploy.preflight.subject import Subject
from onnxport.image.order import Built
from tests.deploy.account import bundle, zipped
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import finding, fires, passes

Make = Callable[..., Subject]


@pytest.fixture
def damaged(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    return path


def test_a_good_model_passes_on_its_own(subject_of: Make, built: Built) -> None:
    subject = subject_of()
    passes("P01", subject, "the build tries the image's")
    passes("P01", subject_of(built=built), "in the image: passed")
    passes("P02", subject, "MiB at most")
    passes("P03", subject, "fit into t3.small")
    passes("P09", subject, "/health/ready answers 200 without a key")
    passes("P13", subject, "here one row takes")
    passes("P14", subject, "the server 4,194,304")


def test_a_damaged_model_is_found_by_all_that_run_it(subject_of: Make, damaged: Path) -> None:
    subject = subject_of(model=damaged)
    fires("P01", subject, "damaged.onnx: the digest doesn't match")
    fires("P02", subject, "the server doesn't get ready with damaged.onnx")


def test_another_model_in_the_image(
    subject_of: Make, built: Built, models: dict[str, Path]
) -> None:
    fires("P01", subject_of(model=models["2.0"], built=built), "the image holds another model")


def test_more_workers_than_the_memory_holds(subject_of: Make) -> None:
    many = replace(
        OPEN, server=(("ONNXPORT_WORKERS", "24"),), instances=Instances(types=("t3.micro",))
    )
    fires("P03", subject_of(many), "don't fit into the 1024 MiB of t3.micro")


def test_a_type_whose_memory_is_not_known_is_no_ok(subject_of: Make) -> None:
    strange = replace(OPEN, instances=Instances(types=("x2iedn.xlarge",)))
    assert finding("P03", subject_of(strange)).outcome == "skipped"


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("t3.small", 2),
        ("t4g.nano", 0.5),
        ("m7g.medium", 4),
        ("c6i.large", 4),
        ("r5.4xlarge", 128),
        ("m7i-flex.xlarge", 16),
    ],
)
def test_memory_by_a_types_name(name: str, gib: float) -> None:
    assert memory_of(name) == gib * (1 << 30)


def test_names_that_tell_nothing() -> None:
    assert memory_of("m5.metal") is None
    assert memory_of("p4d.24xlarge") is None
    assert memory_of("t3.huge") is None


@pytest.mark.parametrize("path", ["/v1/model", "/nowhere"])
def test_a_health_path_that_needs_a_key_or_is_not_there(subject_of: Make, path: str) -> None:
    other = replace(OPEN, health=Health(path=path))
    fires("P09", subject_of(other), f"{path} answers 4")


def test_limits_that_are_too_short(subject_of: Make) -> None:
    subject = subject_of(replace(OPEN, update=Update(timeout=0)))
    fires("P13", subject, "Elastic Beanstalk waits for 0 s")
    none = subject_of(replace(OPEN, limits=Limits(timeout=0)))
    fires("P13", none, "proxy and load balancer give up after 0 s")
    short = subject_of(replace(OPEN, limits=Limits(timeout=5)))
    fires("P13", short, "the server only after 10 s", "warning")


def test_a_latency_that_no_model_has(subject_of: Make) -> None:
    hasty = replace(OPEN, health=Health(latency_ms=0))
    fires("P13", subject_of(hasty), "golden requests may take 0 ms", "warning")


def test_a_proxy_that_takes_less_than_the_server(subject_of: Make) -> None:
    subject = subject_of(bundle=bundle("nginx"))
    fires("P14", subject, "nginx refuses them above 1,048,576 with 413")
    text = "client_max_body_size 2m;\nclient_max_body_size 512k;"
    own = zipped({".platform/nginx/conf.d/a.conf": text})
    fires("P14", subject_of(bundle=own), "above 524,288")


def test_rows_that_are_larger_than_bodies_may_be(subject_of: Make) -> None:
    small = Intent(app="iris", auth="none", limits=Limits(body_mb=0))
    fires("P14", subject_of(small), "the stored rows as one list take")

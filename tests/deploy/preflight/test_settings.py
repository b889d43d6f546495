"""P30 to P33, and P53: names, options and money, without any account."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from onnxport.deploy import known_options as known
from onnxport.deploy.intent import Health, Instances, Logs, Network, Update
from onnxport.deploy.preflight.settings import value_faults, variable_faults
from onnxport.deploy.preflight.subject import Subject
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import fires, passes

Make = Callable[..., Subject]
BALANCED = Instances(layout="load-balanced", min=2, max=4)


def test_a_plain_intent_passes(subject_of: Make) -> None:
    for intent in (OPEN, replace(OPEN, instances=BALANCED)):
        subject = subject_of(intent)
        passes("P30", subject, "iris-blue")
        passes("P31", subject, "option settings")
        passes("P32", subject, "of 4,096 bytes")
        passes("P33", subject)
        passes("P53", subject, "no budget is set")


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("x" * 40, "EnvironmentName " + "x" * 40 + "-blue has 45 characters, and may have 4 to 40"),
        ("my_iris", "EnvironmentName my_iris-blue has characters that it may not"),
        ("a/b", "ApplicationName a/b has characters that it may not"),
        ("-a", "EnvironmentName -a-blue has characters that it may not"),
    ],
)
def test_names_beyond_the_limits(subject_of: Make, app: str, told: str) -> None:
    fires("P30", subject_of(replace(OPEN, app=app)), told)


def test_the_longest_names_that_the_form_allows_pass(subject_of: Make) -> None:
    longest = replace(OPEN, app="x" * 34, region="ap-northeast-1")
    passes("P30", subject_of(longest))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"instances": Instances(max=2)}, "a single machine is one"),
        ({"update": Update(strategy="canary")}, "needs several machines"),
        ({"instances": Instances(volume_gb=4)}, "RootVolumeSize can't be '4'"),
        ({"health": Health(path="no slash")}, "can't be 'no slash'"),
        ({"network": Network(domain="a.example.com")}, "needs a load balancer"),
    ],
    ids=["max", "canary", "disk", "path", "domain"],
)
def test_options_out_of_their_range(subject_of: Make, change: dict[str, object], told: str) -> None:
    fires("P31", subject_of(replace(OPEN, **change)), told)  # type: ignore[arg-type]


def test_a_missing_key_is_told_once(subject_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONNXPORT_API_KEY", raising=False)
    subject = subject_of(replace(OPEN, auth="keys"))
    fires("P32", subject, "onnxport.key isn't here")
    passes("P31", subject)


def test_too_many_keys(subject_of: Make, tmp_path: Path) -> None:
    (tmp_path / "onnxport.key").write_text("x" * 40)
    hashes = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(70)]
    lines = [f"caller-{n}:{digest}" for n, digest in enumerate(hashes)]
    passes("P32", subject_of(replace(OPEN, auth="keys")), "with the hash of 1 key")
    (tmp_path / "more").write_text("\n".join(lines[:3]))
    intent = replace(OPEN, auth="keys", more_keys="more")
    passes("P32", subject_of(intent), "the hashes of 4 keys")
    (tmp_path / "more").write_text("\n".join(lines))
    fires("P32", subject_of(intent), "4,096 are allowed")


def test_reserved_variables() -> None:
    settings = {(known.VARIABLES, name): "x" for name in ("AWS_REGION", "PORT", "ONNXPORT_THREADS")}
    assert list(variable_faults(settings)) == [
        "the variable AWS_REGION is Elastic Beanstalk's or the container's own",
        "the variable PORT is Elastic Beanstalk's or the container's own",
    ]


def test_a_retention_that_cloudwatch_has_not(subject_of: Make) -> None:
    strange = replace(OPEN, logs=Logs(retention_days=15))
    fires("P33", subject_of(strange), "RetentionInDays can't be '15'")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({(known.TRIGGER, "Unit"): "Bytes"}, "CPUUtilization is counted in Percent, not in Bytes"),
        ({(known.GROUP, "MinSize"): "9"}, "MinSize 9 is above MaxSize 4"),
        ({(known.TRIGGER, "LowerThreshold"): "80"}, "LowerThreshold 80 is above UpperThreshold 60"),
        ({(known.LOGS, "RetentionInDays"): "15"}, "CloudWatch keeps logs for no 15 days"),
    ],
    ids=["unit", "size", "threshold", "days"],
)
def test_values_that_are_wrong_together(
    subject_of: Make, changes: dict[tuple[str, str], str], told: str
) -> None:
    settings = subject_of(replace(OPEN, instances=BALANCED)).settings
    assert list(value_faults(settings)) == []
    assert list(value_faults({**settings, **changes})) == [told]


def test_a_budget_that_is_exceeded(subject_of: Make) -> None:
    fires("P53", subject_of(replace(OPEN, budget=5.0)), "the budget is 5.00")
    passes("P53", subject_of(replace(OPEN, budget=50.0)), "within 50.00")
    unpriced = replace(OPEN, budget=50.0, instances=Instances(types=("p4d.24xlarge",)))
    fires("P53", subject_of(unpriced), "the price of p4d.24xlarge isn't known")

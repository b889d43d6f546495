"""Option settings: what page after page of AWS's guide recommends, within its ranges, and no secret among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxport.deploy import known_options as known
from onnxport.deploy.access import hash_lines
from onnxport.deploy.intent import OPTIONS, Instances, Intent, Limits, Logs, Network, Update
from onnxport.deploy.options import option_settings
from onnxport.errors import SettingsError
from onnxport.keys import new_key
from tests.deploy.fake_aws import options as fake

ARN = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
SINGLE = Intent(app="iris")
BALANCED = Intent(app="iris", instances=Instances(layout="load-balanced", min=2, max=4))
VPC = Network(vpc="vpc-0a1b2c3d", subnets=("subnet-00000001", "subnet-00000002"))
SECURE = replace(BALANCED, network=replace(VPC, domain="api.example.com", certificate=ARN))
STRATEGIES = ("bluegreen", "rolling", "immutable", "canary")


def settings(intent: Intent, key_lines: tuple[str, ...] = ()) -> dict[tuple[str, str], str]:
    told = option_settings(
        intent, instance_profile="profile", service_role="service", key_lines=key_lines
    )
    return {(s["Namespace"], s["OptionName"]): s["Value"] for s in told}


def every_intent() -> list[Intent]:
    singles = [replace(SINGLE, update=Update(strategy=s)) for s in ("bluegreen", "immutable")]
    several = [
        replace(intent, update=Update(strategy=s))
        for intent in (BALANCED, SECURE)
        for s in STRATEGIES
    ]
    return [
        *singles,
        *several,
        replace(SINGLE, network=VPC),
        replace(SINGLE, logs=Logs(stream=False)),
    ]


def test_the_settings_of_the_defaults() -> None:
    assert settings(SINGLE) == {
        ("aws:autoscaling:asg", "MaxSize"): "1",
        ("aws:autoscaling:asg", "MinSize"): "1",
        ("aws:autoscaling:launchconfiguration", "DisableIMDSv1"): "true",
        ("aws:autoscaling:launchconfiguration", "IamInstanceProfile"): "profile",
        ("aws:autoscaling:launchconfiguration", "RootVolumeSize"): "16",
        ("aws:autoscaling:launchconfiguration", "RootVolumeType"): "gp3",
        ("aws:ec2:instances", "EnableSpot"): "false",
        ("aws:ec2:instances", "InstanceTypes"): "t3.small",
        ("aws:ec2:instances", "SupportedArchitectures"): "x86_64",
        ("aws:elasticbeanstalk:application", "Application Healthcheck URL"): "/health/ready",
        ("aws:elasticbeanstalk:application:environment", "ONNXPORT_LOG_FORMAT"): "json",
        ("aws:elasticbeanstalk:application:environment", "ONNXPORT_MAX_BODY"): "4194304",
        ("aws:elasticbeanstalk:cloudwatch:logs", "DeleteOnTerminate"): "false",
        ("aws:elasticbeanstalk:cloudwatch:logs", "RetentionInDays"): "14",
        ("aws:elasticbeanstalk:cloudwatch:logs", "StreamLogs"): "true",
        ("aws:elasticbeanstalk:command", "DeploymentPolicy"): "AllAtOnce",
        ("aws:elasticbeanstalk:command", "IgnoreHealthCheck"): "false",
        ("aws:elasticbeanstalk:command", "Timeout"): "1200",
        ("aws:elasticbeanstalk:environment", "EnvironmentType"): "SingleInstance",
        ("aws:elasticbeanstalk:environment", "ServiceRole"): "service",
        ("aws:elasticbeanstalk:healthreporting:system", "ConfigDocument"): (
            '{"Rules":{"Environment":{"Application":{"ApplicationRequests4xx":{"Enabled":false}},'
            '"ELB":{"ELBRequests4xx":{"Enabled":false}}}},"Version":1}'
        ),
        ("aws:elasticbeanstalk:healthreporting:system", "HealthCheckSuccessThreshold"): "Ok",
        ("aws:elasticbeanstalk:healthreporting:system", "SystemType"): "enhanced",
        ("aws:elasticbeanstalk:managedactions", "ManagedActionsEnabled"): "false",
    }


def test_what_a_load_balancer_adds() -> None:
    added = settings(SECURE).items() - settings(SINGLE).items()
    told = {f"{space.rpartition(':')[2]} {name}": value for (space, name), value in added}
    assert told["environment LoadBalancerType"] == "application"
    assert told["443 SSLCertificateArns"] == ARN
    assert told["443 Protocol"] == "HTTPS"
    assert told["443 SSLPolicy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert told["loadbalancer IdleTimeout"] == "60"
    assert told["default HealthCheckPath"] == "/health/ready"
    assert told["default MatcherHTTPCode"] == "200"
    assert told["default Port"] == "80"
    assert told["default StickinessEnabled"] == "false"
    assert told["trigger MeasureName"] == "CPUUtilization"
    assert told["trigger Unit"] == "Percent"
    assert told["asg MaxSize"] == "4"
    assert told["vpc ELBSubnets"] == told["vpc Subnets"] == "subnet-00000001,subnet-00000002"
    assert told["vpc AssociatePublicIpAddress"] == "true"


def test_all_are_texts_sorted_and_the_same_each_time() -> None:
    for intent in every_intent():
        told = option_settings(intent, instance_profile="p", service_role="s", key_lines=())
        keys = [(setting["Namespace"], setting["OptionName"]) for setting in told]
        assert keys == sorted(keys)
        assert len({*keys}) == len(keys)
        assert {type(value) for setting in told for value in setting.values()} == {str}
        assert told == option_settings(intent, instance_profile="p", service_role="s", key_lines=())


@pytest.mark.parametrize(
    ("strategy", "policy"),
    [
        ("bluegreen", "RollingWithAdditionalBatch"),
        ("rolling", "RollingWithAdditionalBatch"),
        ("immutable", "Immutable"),
        ("canary", "TrafficSplitting"),
    ],
)
def test_each_strategy_has_its_policy(strategy: str, policy: str) -> None:
    told = settings(replace(BALANCED, update=Update(strategy=strategy, canary_percent=20)))
    assert told[known.COMMAND, "DeploymentPolicy"] == policy
    assert told.get((known.SPLITTING, "NewVersionPercent")) == (
        "20" if strategy == "canary" else None
    )


def test_our_table_and_the_fakes_agree() -> None:
    """Two people read the guide; what one of them lets through and the other refuses is a mistake of one of them."""
    for intent in every_intent():
        told = option_settings(intent, instance_profile="p", service_role="s", key_lines=())
        assert list(fake.faults(fake.read(told))) == []
    for namespace, names in known.KNOWN.items():
        assert [name for name in names if (namespace, name) not in fake.table()] == []


def test_each_row_of_names_is_an_option_of_ours_and_one_of_aws() -> None:
    ours = {option.name for option in OPTIONS}
    for (namespace, name), called in known.CALLED.items():
        assert called in ours
        assert namespace == known.VARIABLES or name in known.KNOWN[namespace]


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ((known.LAUNCH, "RootVolumeSize"), {"instances": Instances(volume_gb=30)}),
        ((known.COMMAND, "Timeout"), {"update": Update(timeout=900)}),
        ((known.LOGS, "RetentionInDays"), {"logs": Logs(retention_days=30)}),
        ((known.VARIABLES, "ONNXPORT_MAX_BODY"), {"limits": Limits(body_mb=8)}),
    ],
    ids=["disk", "timeout", "retention", "body"],
)
def test_the_option_that_is_named_is_the_one_that_decides(
    key: tuple[str, str], change: dict[str, Any]
) -> None:
    changed = settings(replace(SINGLE, **change)).items() - settings(SINGLE).items()
    assert [one for one, _ in changed] == [key]
    table, _, _ = known.CALLED[key].partition(".")
    assert table in change


# -------------------------------------------------------------------------------------------------------------- keys


def test_hashes_alone_are_deployed(tmp_path: Path) -> None:
    key = new_key("deploy").key
    lines = hash_lines(SINGLE, tmp_path, key)
    told = settings(SINGLE, lines)
    assert told[known.VARIABLES, "ONNXPORT_API_KEY_HASHES"] == lines[0]
    assert key not in json.dumps([*told.values()])
    assert (known.VARIABLES, "ONNXPORT_API_KEY_HASHES") not in settings(SINGLE)


def test_more_keys_than_fit_are_refused() -> None:
    lines = tuple(new_key(f"caller-{i:03}").line for i in range(60))
    assert settings(SINGLE, lines[:50])
    with pytest.raises(
        SettingsError, match=r"take 4,6\d\d bytes, and 4,096 are allowed; give fewer keys"
    ):
        settings(SINGLE, lines)


def test_settings_of_the_server_become_variables() -> None:
    intent = replace(SINGLE, server=(("ONNXPORT_WORKERS", "2"),), limits=Limits(body_mb=32))
    told = settings(intent)
    assert told[known.VARIABLES, "ONNXPORT_WORKERS"] == "2"
    assert told[known.VARIABLES, "ONNXPORT_MAX_BODY"] == str(32 * 1024 * 1024)


# ------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({(known.COMMAND, "Timeout"): "3601"}, "Timeout can't be '3601'"),
        ({(known.COMMAND, "Timout"): "60"}, "has no option Timout"),
        (
            {("aws:elasticbeanstalk:comand", "Timeout"): "60"},
            "aws:elasticbeanstalk:comand has no opt",
        ),
        ({(known.LOGS, "RetentionInDays"): "10"}, "RetentionInDays can't be '10'"),
        ({(known.LAUNCH, "RootVolumeSize"): "8"}, "RootVolumeSize can't be '8'"),
        ({(known.LAUNCH, "DisableIMDSv1"): "True"}, "DisableIMDSv1 can't be 'True'"),
        ({(known.HEALTH, "ConfigDocument"): "{"}, "ConfigDocument can't be '{'"),
        ({(known.GROUP, "MinSize"): "2"}, "MinSize 2 is above MaxSize 1"),
        ({(known.GROUP, "MaxSize"): "2"}, "a single instance can't have MaxSize 2"),
        ({(known.BALANCER, "IdleTimeout"): "60"}, "a single instance has no load balancer"),
        ({(known.COMMAND, "DeploymentPolicy"): "Rolling"}, "all at once or immutably"),
        ({(known.VARIABLES, "A B"): "x"}, "the variable A B isn't of the form"),
        ({(known.VARIABLES, "A"): "x\ny"}, "the variable A isn't of the form"),
        ({(known.VARIABLES, "A"): "x" * 4096}, "bytes, and 4,096 are allowed"),
    ],
    ids=range(14),
)
def test_what_aws_would_refuse_is_found_here(change: dict[Any, str], told: str) -> None:
    assert list(known.faults(settings(SINGLE))) == []
    assert any(told in fault for fault in known.faults(settings(SINGLE) | change))

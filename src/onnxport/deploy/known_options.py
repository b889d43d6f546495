"""The options of Elastic Beanstalk that we set, and what each may be: a wrong one is found before AWS sees it.

After "General options for all environments" of the AWS Elastic Beanstalk Developer Guide, and page 7 of the design for
what is newer (RootVolumeType gp3, SupportedArchitectures). The same table is the check P31 of the preflight.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from onnxport.deploy.forms import RETENTION_DAYS

Settings = Mapping[tuple[str, str], str]

ENVIRONMENT = "aws:elasticbeanstalk:environment"
VARIABLES = "aws:elasticbeanstalk:application:environment"
LAUNCH = "aws:autoscaling:launchconfiguration"
INSTANCES = "aws:ec2:instances"
GROUP = "aws:autoscaling:asg"
TRIGGER = "aws:autoscaling:trigger"
ROLLING = "aws:autoscaling:updatepolicy:rollingupdate"
COMMAND = "aws:elasticbeanstalk:command"
SPLITTING = "aws:elasticbeanstalk:trafficsplitting"
APPLICATION = "aws:elasticbeanstalk:application"
PROCESS = "aws:elasticbeanstalk:environment:process:default"
HEALTH = "aws:elasticbeanstalk:healthreporting:system"
LOGS = "aws:elasticbeanstalk:cloudwatch:logs"
MANAGED = "aws:elasticbeanstalk:managedactions"
BALANCER = "aws:elbv2:loadbalancer"
LISTENER = "aws:elbv2:listener:default"
SECURE_LISTENER = "aws:elbv2:listener:443"
VPC = "aws:ec2:vpc"

KEY_HASHES = "ONNXPORT_API_KEY_HASHES"  # among the variables

MAX_VARIABLES = 4096  # bytes of all NAME=VALUE
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Rule = Callable[[str], bool]


def _one_of(*allowed: str) -> Rule:
    return lambda value: value in allowed


def _whole(low: int, high: int) -> Rule:
    return lambda value: (
        re.fullmatch(r"[0-9]{1,9}", value) is not None and low <= int(value) <= high
    )


def _like(pattern: str) -> Rule:
    return lambda value: re.fullmatch(pattern, value) is not None


def _is_document(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


_SWITCH = _one_of("true", "false")
_ROLE = _like(r"[A-Za-z0-9+=,.@_/:-]{1,2048}")
_WORDS = _like(r"[a-z0-9.-]+(,[a-z0-9.-]+)*")
_PATH = _like(r"/\S*")

KNOWN: Mapping[str, Mapping[str, Rule]] = {
    ENVIRONMENT: {
        "EnvironmentType": _one_of("SingleInstance", "LoadBalanced"),
        "LoadBalancerType": _one_of("application", "network", "classic"),
        "ServiceRole": _ROLE,
    },
    LAUNCH: {
        "IamInstanceProfile": _ROLE,
        "DisableIMDSv1": _SWITCH,
        "RootVolumeType": _one_of("gp3", "gp2", "io1", "standard"),
        "RootVolumeSize": _whole(10, 16384),
    },
    INSTANCES: {
        "InstanceTypes": _WORDS,
        "SupportedArchitectures": _one_of("x86_64", "arm64"),
        "EnableSpot": _SWITCH,
    },
    GROUP: {"MinSize": _whole(1, 10000), "MaxSize": _whole(1, 10000), "Cooldown": _whole(0, 10000)},
    TRIGGER: {
        "MeasureName": _one_of("CPUUtilization"),
        "Statistic": _one_of("Average", "Minimum", "Maximum", "Sum"),
        "Unit": _one_of("Percent"),
        "UpperThreshold": _whole(0, 100),
        "LowerThreshold": _whole(0, 100),
        "Period": _whole(1, 600),
        "EvaluationPeriods": _whole(1, 600),
        "BreachDuration": _whole(1, 600),
    },
    ROLLING: {
        "RollingUpdateEnabled": _SWITCH,
        "RollingUpdateType": _one_of("Time", "Health", "Immutable"),
    },
    COMMAND: {
        "DeploymentPolicy": _one_of(
            "AllAtOnce", "Rolling", "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting"
        ),
        "BatchSizeType": _one_of("Percentage", "Fixed"),
        "BatchSize": _whole(1, 10000),
        "Timeout": _whole(1, 3600),
        "IgnoreHealthCheck": _SWITCH,
    },
    SPLITTING: {"NewVersionPercent": _whole(1, 100), "EvaluationTime": _whole(3, 600)},
    APPLICATION: {"Application Healthcheck URL": _PATH},
    PROCESS: {
        "Port": _whole(1, 65535),
        "Protocol": _one_of("HTTP", "HTTPS"),
        "HealthCheckPath": _PATH,
        "MatcherHTTPCode": _like(r"[2-4][0-9]{2}([,-][2-4][0-9]{2})*"),
        "HealthCheckInterval": _whole(5, 300),
        "HealthCheckTimeout": _whole(2, 60),
        "DeregistrationDelay": _whole(0, 3600),
        "StickinessEnabled": _SWITCH,
    },
    HEALTH: {
        "SystemType": _one_of("basic", "enhanced"),
        "ConfigDocument": _is_document,
        "HealthCheckSuccessThreshold": _one_of("Ok", "Warning", "Degraded", "Severe"),
    },
    LOGS: {
        "StreamLogs": _SWITCH,
        "RetentionInDays": _one_of(*map(str, RETENTION_DAYS)),
        "DeleteOnTerminate": _SWITCH,
    },
    MANAGED: {"ManagedActionsEnabled": _SWITCH},
    BALANCER: {"IdleTimeout": _whole(1, 4000)},
    LISTENER: {"ListenerEnabled": _SWITCH},
    SECURE_LISTENER: {
        "ListenerEnabled": _SWITCH,
        "Protocol": _one_of("HTTP", "HTTPS"),
        "SSLCertificateArns": _like(r"arn:aws[a-z-]*:acm:\S+"),
        "SSLPolicy": _like(r"ELBSecurityPolicy-[A-Za-z0-9-]+"),
        "DefaultProcess": _like(r"[a-z0-9]+"),
    },
    VPC: {
        "VPCId": _like(r"vpc-[0-9a-f]+"),
        "Subnets": _WORDS,
        "ELBSubnets": _WORDS,
        "ELBScheme": _one_of("public", "internal"),
        "AssociatePublicIpAddress": _SWITCH,
    },
}

# Which option of `onnxport.toml` decides what an option of Elastic Beanstalk is, where one alone does.
CALLED: Mapping[tuple[str, str], str] = {
    (ENVIRONMENT, "EnvironmentType"): "instances.layout",
    (ENVIRONMENT, "ServiceRole"): "roles.service",
    (LAUNCH, "IamInstanceProfile"): "roles.instance_profile",
    (LAUNCH, "RootVolumeSize"): "instances.volume_gb",
    (INSTANCES, "InstanceTypes"): "instances.types",
    (INSTANCES, "SupportedArchitectures"): "instances.architecture",
    (GROUP, "MinSize"): "instances.min",
    (GROUP, "MaxSize"): "instances.max",
    (COMMAND, "DeploymentPolicy"): "update.strategy",
    (COMMAND, "Timeout"): "update.timeout",
    (SPLITTING, "NewVersionPercent"): "update.canary_percent",
    (SPLITTING, "EvaluationTime"): "update.canary_minutes",
    (APPLICATION, "Application Healthcheck URL"): "health.path",
    (PROCESS, "HealthCheckPath"): "health.path",
    (LOGS, "StreamLogs"): "logs.stream",
    (LOGS, "RetentionInDays"): "logs.retention_days",
    (BALANCER, "IdleTimeout"): "limits.timeout",
    (SECURE_LISTENER, "SSLCertificateArns"): "network.certificate",
    (VPC, "VPCId"): "network.vpc",
    (VPC, "Subnets"): "network.subnets",
    (VPC, "ELBSubnets"): "network.load_balancer_subnets",
    (VPC, "AssociatePublicIpAddress"): "network.public_ip",
    (VARIABLES, "ONNXPORT_MAX_BODY"): "limits.body_mb",
}


def faults(settings: Settings) -> Iterator[str]:
    """What Elastic Beanstalk would refuse, or take and misunderstand; a sentence each."""
    for (namespace, name), value in settings.items():
        if namespace == VARIABLES:
            if not _NAME.fullmatch(name) or not value.isprintable():
                yield f"the variable {name} isn't of the form NAME=VALUE in printable characters"
        elif name not in KNOWN.get(namespace, {}):
            yield f"{namespace} has no option {name}"
        elif not KNOWN[namespace][name](value):
            yield f"{namespace} {name} can't be {value[:64]!r}"
    yield from _conflicts(settings)


def size_of_variables(settings: Settings) -> int:
    """Bytes of all NAME=VALUE, of which Elastic Beanstalk takes 4096."""
    return sum(
        len(f"{name}={value}".encode())
        for (space, name), value in settings.items()
        if space == VARIABLES
    )


def _conflicts(settings: Settings) -> Iterator[str]:
    size = size_of_variables(settings)
    if size > MAX_VARIABLES:
        yield f"the environment variables take {size:,} bytes, and {MAX_VARIABLES:,} are allowed"
    least, most = (settings.get((GROUP, name), "1") for name in ("MinSize", "MaxSize"))
    if least.isdecimal() and most.isdecimal() and int(least) > int(most):
        yield f"MinSize {least} is above MaxSize {most}"
    if settings.get((ENVIRONMENT, "EnvironmentType")) == "SingleInstance":
        if any(namespace.startswith("aws:elbv2:") for namespace, _ in settings):
            yield "a single instance has no load balancer to set options of"
        if settings.get((COMMAND, "DeploymentPolicy")) not in (None, "AllAtOnce", "Immutable"):
            yield "a single instance is deployed all at once or immutably"
        if most not in ("", "1"):
            yield f"a single instance can't have MaxSize {most}"

"""An intent as option settings of Elastic Beanstalk: texts, sorted, and nothing secret among them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from onnxport.deploy import known_options as known
from onnxport.deploy.intent import Intent
from onnxport.errors import SettingsError

Setting = dict[str, str]
Options = dict[str, str | int | bool]

_MEGABYTE = 1024 * 1024
_SSL_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
# Elastic Beanstalk counts 4xx as errors: rows that are refused rightly would turn the environment red.
_RULES = {
    "Version": 1,
    "Rules": {
        "Environment": {
            "Application": {"ApplicationRequests4xx": {"Enabled": False}},
            "ELB": {"ELBRequests4xx": {"Enabled": False}},
        }
    },
}


def option_settings(
    intent: Intent, *, instance_profile: str, service_role: str, key_lines: Sequence[str]
) -> tuple[Setting, ...]:
    """The settings of an environment, sorted by namespace and name, in the form that AWS takes.

    key_lines: what `access.hash_lines` gave. Raises SettingsError for what Elastic Beanstalk wouldn't take, such as
    variables of more than 4096 bytes.
    """
    options: dict[str, Options] = {
        known.ENVIRONMENT: _environment(intent, service_role),
        known.LAUNCH: _launch(intent, instance_profile),
        known.INSTANCES: _instances(intent),
        known.GROUP: {"MinSize": intent.instances.min, "MaxSize": intent.instances.max},
        known.COMMAND: _command(intent),
        known.HEALTH: _health(),
        known.LOGS: _logs(intent),
        # Each deployment takes the newest platform; between them nothing changes by itself.
        known.MANAGED: {"ManagedActionsEnabled": False},
        known.VARIABLES: variables(intent, key_lines),
        **(_balanced(intent) if intent.is_balanced else _single(intent)),
        **_network(intent),
    }
    settings = {
        (namespace, name): _text(value)
        for namespace, named in options.items()
        for name, value in named.items()
    }
    for fault in known.faults(settings):
        raise SettingsError(f"the environment can't be described: {fault}; {_REMEDY}")
    return tuple(
        {"Namespace": namespace, "OptionName": name, "Value": settings[namespace, name]}
        for namespace, name in sorted(settings)
    )


_REMEDY = "give fewer keys in more_keys or fewer settings in [server], or report this with your onnxport.toml"


def variables(intent: Intent, key_lines: Sequence[str]) -> Options:
    """The container's environment; of keys, hashes alone."""
    told: Options = {
        "ONNXPORT_LOG_FORMAT": "json",
        "ONNXPORT_MAX_BODY": intent.limits.body_mb * _MEGABYTE,
        **dict(intent.server),
    }
    if key_lines:
        told[known.KEY_HASHES] = ",".join(key_lines)
    return told


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(intent: Intent, service_role: str) -> Options:
    if intent.is_balanced:
        # Left out, it is the classic one, and can't change later.
        kind: Options = {"EnvironmentType": "LoadBalanced", "LoadBalancerType": "application"}
    else:
        kind = {"EnvironmentType": "SingleInstance"}
    return {**kind, "ServiceRole": service_role}


def _launch(intent: Intent, instance_profile: str) -> Options:
    """A volume of gp3 without IMDSv1 also makes it a launch template: new accounts have no launch configurations."""
    return {
        "IamInstanceProfile": instance_profile,
        "DisableIMDSv1": True,
        "RootVolumeType": "gp3",
        "RootVolumeSize": intent.instances.volume_gb,
    }


def _instances(intent: Intent) -> Options:
    return {
        "InstanceTypes": ",".join(intent.instances.types),
        "SupportedArchitectures": intent.instances.architecture,
        "EnableSpot": False,
    }


def _command(intent: Intent) -> Options:
    policy = _policy(intent)
    batches: Options = {"BatchSizeType": "Fixed", "BatchSize": 1}
    return {
        "DeploymentPolicy": policy,
        "Timeout": min(intent.update.timeout, 3600),
        "IgnoreHealthCheck": False,
        **(batches if policy == "RollingWithAdditionalBatch" else {}),
    }


def _policy(intent: Intent) -> str:
    """How a version is deployed in place. With blue/green nobody calls the environment then; if somebody else deploys
    to it while it is called, several machines stay up.
    """
    in_place = {
        "rolling": "RollingWithAdditionalBatch",
        "immutable": "Immutable",
        "canary": "TrafficSplitting",
    }
    by_default = "RollingWithAdditionalBatch" if intent.is_balanced else "AllAtOnce"
    return in_place.get(intent.update.strategy, by_default)


def _process(intent: Intent) -> Options:
    """What a load balancer asks of a machine's nginx."""
    return {
        "Port": 80,
        "Protocol": "HTTP",
        "HealthCheckPath": intent.health.path,
        "MatcherHTTPCode": 200,
        "HealthCheckInterval": 15,
        "HealthCheckTimeout": 5,
        "DeregistrationDelay": 20,
        "StickinessEnabled": False,
    }


def _health() -> Options:
    return {
        "SystemType": "enhanced",
        "HealthCheckSuccessThreshold": "Ok",
        "ConfigDocument": json.dumps(_RULES, separators=(",", ":"), sort_keys=True),
    }


def _logs(intent: Intent) -> Options:
    if not intent.logs.stream:
        return {"StreamLogs": False}
    return {
        "StreamLogs": True,
        "RetentionInDays": intent.logs.retention_days,
        "DeleteOnTerminate": False,
    }


def _single(intent: Intent) -> dict[str, Options]:
    """Nothing of a load balancer's: what Elastic Beanstalk doesn't give back would be drift for ever."""
    told: dict[str, Options] = {
        known.APPLICATION: {"Application Healthcheck URL": intent.health.path}
    }
    if intent.update.strategy == "immutable":
        told[known.ROLLING] = {"RollingUpdateEnabled": True, "RollingUpdateType": "Immutable"}
    return told


def _balanced(intent: Intent) -> dict[str, Options]:
    kind = "Immutable" if intent.update.strategy == "immutable" else "Health"
    told: dict[str, Options] = {
        known.BALANCER: {"IdleTimeout": intent.limits.timeout},
        known.LISTENER: {"ListenerEnabled": True},
        known.PROCESS: _process(intent),
        known.ROLLING: {"RollingUpdateEnabled": True, "RollingUpdateType": kind},
        known.TRIGGER: _trigger(),
    }
    if intent.network.certificate:
        told[known.SECURE_LISTENER] = {
            "ListenerEnabled": True,
            "Protocol": "HTTPS",
            "SSLCertificateArns": intent.network.certificate,
            "SSLPolicy": _SSL_POLICY,
            "DefaultProcess": "default",
        }
    if intent.update.strategy == "canary":
        told[known.SPLITTING] = {
            "NewVersionPercent": intent.update.canary_percent,
            "EvaluationTime": intent.update.canary_minutes,
        }
    return told


def _trigger() -> Options:
    """By load of the processor: what a model costs. Elastic Beanstalk's own default looks at outgoing bytes."""
    return {
        "MeasureName": "CPUUtilization",
        "Statistic": "Average",
        "Unit": "Percent",
        "UpperThreshold": 60,
        "LowerThreshold": 25,
        "Period": 1,
        "EvaluationPeriods": 3,
        "BreachDuration": 3,
    }


def _network(intent: Intent) -> dict[str, Options]:
    network = intent.network
    if not network.vpc:
        return {}
    told: Options = {
        "VPCId": network.vpc,
        "Subnets": ",".join(network.subnets),
        "AssociatePublicIpAddress": network.public_ip,
    }
    if intent.is_balanced:
        told["ELBScheme"] = "public"
        told["ELBSubnets"] = ",".join(network.load_balancer_subnets or network.subnets)
    return {known.VPC: told}

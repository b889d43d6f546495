"""Which options Elastic Beanstalk has, what they may be, and what it says of those that it doesn't take.

The table is `options.txt`, after "General options for all environments" of the Developer Guide.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.fake_aws.state import Options

VARIABLES = "aws:elasticbeanstalk:application:environment"
# Their names are the user's own.
OPEN = frozenset(
    {
        VARIABLES,
        f"{VARIABLES}secrets",
        "aws:elasticbeanstalk:environment:proxy:staticfiles",
        "aws:elasticbeanstalk:sqsd",
        "aws:cloudformation:template:parameter",
    }
)
_MAX_VARIABLES = 4096  # bytes of all names and values
_SEVERITIES = {
    "N": "NoInterruption",
    "S": "RestartApplicationServer",
    "E": "RestartEnvironment",
    "U": "Unknown",
}
# What can't change while an environment lives.
IMMUTABLE = frozenset(
    {
        ("aws:elasticbeanstalk:environment", "LoadBalancerType"),
        ("aws:elasticbeanstalk:environment", "LoadBalancerIsShared"),
        ("aws:ec2:vpc", "VPCId"),
    }
)


@dataclass(frozen=True)
class Option:
    """A row of the table."""

    namespace: str
    name: str
    default: str
    severity: str
    rule: str

    @property
    def choices(self) -> tuple[str, ...]:
        is_choice = self.rule and ".." not in self.rule and self.rule != "list"
        return tuple(self.rule.split("/")) if is_choice else ()

    @property
    def range(self) -> tuple[int, int] | None:
        if ".." not in self.rule:
            return None
        least, _, most = self.rule.partition("..")
        return int(least), int(most)

    def described(self) -> dict[str, Any]:
        """As DescribeConfigurationOptions tells it."""
        told: dict[str, Any] = {
            "Namespace": self.namespace,
            "Name": self.name,
            "ChangeSeverity": _SEVERITIES[self.severity],
            "UserDefined": False,
            "ValueType": "List" if self.rule == "list" else "Scalar",
        }
        if self.default:
            told["DefaultValue"] = self.default
        if self.choices:
            told["ValueOptions"] = list(self.choices)
        if self.range:
            told["MinValue"], told["MaxValue"] = self.range
        return told


@functools.cache
def table() -> Mapping[tuple[str, str], Option]:
    """All options by namespace and name."""
    return {(option.namespace, option.name): option for option in _rows()}


def _rows() -> Iterator[Option]:
    namespace = ""
    for line in Path(__file__).with_name("options.txt").read_text("utf-8").splitlines():
        if "|" not in line or line.startswith("#"):
            namespace = line.strip()
            continue
        name, default, severity, rule = (part.strip() for part in line.split("|"))
        yield Option(namespace, name, default, severity, rule)


def find(namespace: str, name: str) -> Option | None:
    """A listener or process of any name has the options of those in the table."""
    namespace = re.sub(r"^aws:elbv2:listener:\d+$", "aws:elbv2:listener:443", namespace)
    namespace = re.sub(
        r"^(aws:elasticbeanstalk:environment:process):[\w-]+$", r"\1:default", namespace
    )
    return table().get((namespace, name))


def read(settings: Iterable[Mapping[str, str]]) -> Options:
    """Settings as a request brings them."""
    return {
        (one.get("Namespace", ""), one.get("OptionName", ""), one.get("ResourceName", "")): one.get(
            "Value", ""
        )
        for one in settings
    }


def faults(options: Options) -> Iterator[tuple[str, str, str]]:
    """Namespace, name and sentence of each option that isn't taken."""
    for (namespace, name, _), value in options.items():
        where = f"(Namespace: '{namespace}', OptionName: '{name}')"
        option = find(namespace, name)
        if option is None:
            if namespace not in OPEN:
                said = f"Invalid option specification {where}: Unknown configuration setting."
                yield namespace, name, said
            continue
        told = _value_fault(option, value)
        if told:
            yield namespace, name, f"Invalid option value: '{value}' {where}: {told}"
    yield from _together(options)


def _value_fault(option: Option, value: str) -> str:
    if option.range is not None and value:
        least, most = option.range
        if not re.fullmatch(r"-?\d+", value) or not least <= int(value) <= most:
            return f"Value must be an integer from {least} to {most}."
    if option.choices and value not in option.choices:
        return f"Value is not allowed. Allowed values: [{', '.join(option.choices)}]"
    return ""


def _together(options: Options) -> Iterator[tuple[str, str, str]]:
    """Options that don't go together."""
    values = {(namespace, name): value for (namespace, name, _), value in options.items()}
    asg = "aws:autoscaling:asg"
    least, most = values.get((asg, "MinSize"), "1"), values.get((asg, "MaxSize"), "4")
    if least.isdigit() and most.isdigit() and int(least) > int(most):
        yield asg, "MinSize", f"MinSize {least} must not be larger than MaxSize {most}."
    size = sum(len(n) + len(v) + 2 for (space, n), v in values.items() if space == VARIABLES)
    if size > _MAX_VARIABLES:
        said = f"environment variables take {size} bytes, more than {_MAX_VARIABLES} characters."
        yield VARIABLES, "", f"Your {said}"
    command = "aws:elasticbeanstalk:command"
    environment = "aws:elasticbeanstalk:environment"
    policy = values.get((command, "DeploymentPolicy"), "AllAtOnce")
    is_single = values.get((environment, "EnvironmentType")) == "SingleInstance"
    balancer = values.get((environment, "LoadBalancerType"), "classic")
    if policy == "TrafficSplitting" and (is_single or balancer != "application"):
        said = (
            "TrafficSplitting needs a load-balanced environment with an Application Load Balancer."
        )
        yield command, "DeploymentPolicy", said
    if is_single and policy.startswith("Rolling"):
        said = f"{policy} is not supported for single-instance environments."
        yield command, "DeploymentPolicy", said


def resource(namespace: str) -> str:
    """The resource under which DescribeConfigurationSettings lists some namespaces."""
    names = {
        "aws:autoscaling:asg": "AWSEBAutoScalingGroup",
        "aws:autoscaling:launchconfiguration": "AWSEBAutoScalingLaunchConfiguration",
        "aws:autoscaling:updatepolicy:rollingupdate": "AWSEBAutoScalingGroup",
        "aws:ec2:vpc": "AWSEBLoadBalancerSecurityGroup",
        "aws:elb:healthcheck": "AWSEBLoadBalancer",
        "aws:elb:loadbalancer": "AWSEBLoadBalancer",
        "aws:elb:policies": "AWSEBLoadBalancer",
    }
    return names.get(namespace, "")


def settings(options: Options) -> list[dict[str, str]]:
    """All options in force, with the defaults of those that were not set."""
    values = {key: option.default for key, option in table().items()}
    values |= {(namespace, name): value for (namespace, name, _), value in options.items()}
    listed = []
    for (namespace, name), value in sorted(values.items()):
        told = {"Namespace": namespace, "OptionName": name}
        if value:
            told["Value"] = value
        if resource(namespace):
            told["ResourceName"] = resource(namespace)
        listed.append(told)
    return listed

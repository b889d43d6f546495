"""What AWS says about an account, as frozen data: the only truth that the planner knows. Nothing is kept locally."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account, and where. partition: aws, aws-cn, aws-us-gov."""

    id: str
    region: str
    partition: str = "aws"
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment that isn't terminated. status: Launching, Ready, Updating, Terminating ...

    settings: its option settings by (namespace, option), as text; empty where they weren't asked for.
    """

    name: str
    id: str
    arn: str
    application: str
    status: str
    health: str
    version: str | None
    cname: str
    platform: str
    tags: Tags = field(default_factory=dict)
    settings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    created: datetime | None = None
    updated: datetime | None = None
    is_abortable: bool = False
    endpoint: str = ""

    @property
    def is_ready(self) -> bool:
        return self.status == "Ready"


@dataclass(frozen=True, slots=True)
class Application:
    """A Beanstalk application. service_role: the name of the role that deletes its old versions."""

    name: str
    arn: str
    tags: Tags = field(default_factory=dict)
    service_role: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """An application version: a label, and the bundle that it stands for. status: PROCESSED, FAILED ..."""

    label: str
    arn: str
    status: str
    bucket: str
    key: str
    description: str = ""
    tags: Tags = field(default_factory=dict)
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """An ECR repository. digests: of the images that were asked for, and are there."""

    name: str
    arn: str
    uri: str
    tags: Tags = field(default_factory=dict)
    digests: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role. policies: ARNs of the managed ones that are attached, and names of those inside."""

    name: str
    arn: str
    tags: Tags = field(default_factory=dict)
    policies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Profile:
    """An instance profile. roles: the names of what is inside."""

    name: str
    arn: str
    roles: tuple[str, ...] = ()
    tags: Tags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an environment's history. severity: TRACE, DEBUG, INFO, WARN, ERROR, FATAL."""

    time: datetime
    severity: str
    message: str
    environment: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log. source: the machine that wrote it."""

    moment: datetime
    source: str
    text: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What enhanced health says. color: Green, Yellow, Red, Grey. status: Ok, Warning, Degraded, Severe, ...

    requests, failed: in the last ten seconds, and those answered with 5xx. moment: AWS's time of the report.
    """

    color: str
    status: str
    causes: tuple[str, ...] = ()
    instances: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    failed: int = 0
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """What a CNAME prefix stands for. is_free: whether nobody has it."""

    prefix: str
    full: str
    is_free: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a plan is made from.

    environments: those of our application, and those of others that have a name of ours. live, idle: the two
    addresses. bucket: the account's Beanstalk bucket, whether it is there or not. bundles: keys of ours in it.
    registry: ECR's host. platform: the newest Docker platform, its ARN or its stack's name. record: the last
    deployment, as it was written down.
    """

    account: Account
    live: Address
    idle: Address
    application: Application | None = None
    environments: tuple[Environment, ...] = ()
    versions: tuple[Version, ...] = ()
    bucket: str = ""
    has_bucket: bool = False
    bundles: tuple[str, ...] = ()
    registry: str = ""
    repository: Repository | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    platform: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    def environment(self, name: str) -> Environment | None:
        """The one of that name, or None."""
        return next((each for each in self.environments if each.name == name), None)

    def version(self, label: str | None) -> Version | None:
        """The one of that label, or None."""
        return next((each for each in self.versions if each.label == label), None)

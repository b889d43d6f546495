"""What AWS says when the preflight asks beyond the plan's needs, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limit:
    """What botocore's model says of a name: characters, and a regular expression or ""."""

    least: int
    most: int
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """skew: seconds by which AWS's clock is before this machine's. opted_in: whether the account may use the region."""

    skew: float
    opted_in: bool
    status: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """used: how many there are. most: how many there may be, or None where AWS doesn't tell."""

    name: str
    used: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Subnet:
    """to_gateway, to_nat: where the rest of the world is reached through, by its route table."""

    id: str
    vpc: str
    zone: str
    to_gateway: bool = False
    to_nat: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """vpcs: id to whether it is the default one. subnets: of the VPC in question."""

    vpcs: Mapping[str, bool]
    subnets: tuple[Subnet, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance type. memory: bytes. zones: where it is offered."""

    name: str
    memory: int
    architectures: tuple[str, ...]
    zones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rights:
    """A role with all that it may. trusts: services that may take it. statements: of all its policies."""

    name: str
    trusts: frozenset[str]
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of ACM. names: the domains that it is for. key: such as RSA-2048 or EC-prime256v1."""

    arn: str
    status: str
    names: tuple[str, ...]
    key: str
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """The image repository in ECR. lifecycle: its rules. findings: of the scan, by severity, if there is one."""

    name: str
    is_immutable: bool
    lifecycle: tuple[Mapping[str, Any], ...] | None = None
    holds: bool = False
    findings: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class PlatformVersion:
    """One version of a platform. state: of its branch, such as Supported or Retired."""

    arn: str
    version: tuple[int, ...]
    state: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What Elastic Beanstalk says of settings without taking them. severity: error or warning."""

    severity: str
    message: str

"""What options of an intent demand of each other: each conflict is found before anything is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from onnxport.deploy.intent import Intent

# `t4g`, `c7gn`, `im4gn`: a g after the generation is Amazon's own processor; the first generation was `a1`.
_ARM = re.compile(r"(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)(-[a-z0-9]+)?")
_ARN_REGION = 3


@dataclass(frozen=True, slots=True)
class Conflict:
    """options: the names of those that don't fit, the one to change first. told: what, and what to do."""

    options: tuple[str, ...]
    told: str


def conflicts(intent: Intent) -> Iterator[Conflict]:
    """All conflicts, in no special order."""
    if not intent.app:
        yield Conflict(("app",), 'app is missing; name the application, such as app = "iris"')
    yield from _machines(intent)
    yield from _alone(intent)
    yield from _address(intent)
    yield from _subnets(intent)


def architecture_of(instance_type: str) -> str:
    """x86_64 or arm64, from the type's name alone."""
    return "arm64" if _ARM.fullmatch(instance_type.partition(".")[0]) else "x86_64"


def _machines(intent: Intent) -> Iterator[Conflict]:
    told = intent.instances
    if told.min > told.max:
        yield Conflict(
            ("instances.min", "instances.max"),
            f"instances.min is {told.min} and instances.max {told.max}; raise max, or lower min",
        )
    for name in told.types:
        if architecture_of(name) != told.architecture:
            other = architecture_of(name)
            yield Conflict(
                ("instances.types", "instances.architecture"),
                f"instances.types has {name}, whose processor is {other}, and the image is built for "
                f'{told.architecture}; choose another type, or write architecture = "{other}"',
            )


def _alone(intent: Intent) -> Iterator[Conflict]:
    """What one machine without a load balancer can't do."""
    if intent.is_balanced:
        return
    instead = 'write layout = "load-balanced" in [instances]'
    if intent.instances.max > 1:
        yield Conflict(
            ("instances.max", "instances.layout"),
            f"instances.max is {intent.instances.max}, and a single machine is one; write max = 1, or {instead}",
        )
    if intent.update.strategy in ("rolling", "canary"):
        yield Conflict(
            ("update.strategy", "instances.layout"),
            f"update.strategy {intent.update.strategy} needs several machines; take bluegreen or immutable, "
            f"or {instead}",
        )
    for name in ("certificate", "domain"):
        if getattr(intent.network, name):
            yield Conflict(
                (f"network.{name}", "instances.layout"),
                f"network.{name} needs a load balancer, which holds the certificate; {instead}",
            )
    if intent.network.load_balancer_subnets:
        yield Conflict(
            ("network.load_balancer_subnets", "instances.layout"),
            f"network.load_balancer_subnets needs a load balancer; remove it, or {instead}",
        )
    if not intent.network.public_ip:
        yield Conflict(
            ("network.public_ip", "instances.layout"),
            f"network.public_ip is false, and nobody could reach a single machine; remove it, or {instead}",
        )


def _address(intent: Intent) -> Iterator[Conflict]:
    network = intent.network
    if network.domain and not network.certificate:
        yield Conflict(
            ("network.domain",),
            "network.domain is given without network.certificate; add the certificate's ARN",
        )
    if network.certificate and not network.domain:
        yield Conflict(
            ("network.certificate",),
            "network.certificate is given without network.domain; add the domain that it is for",
        )
    arn = network.certificate.split(":")
    if network.certificate and arn[_ARN_REGION] != intent.region:
        yield Conflict(
            ("network.certificate", "region"),
            f"network.certificate is of the region {arn[_ARN_REGION]}, and the environment in {intent.region}; "
            "request one there",
        )


def _subnets(intent: Intent) -> Iterator[Conflict]:
    network = intent.network
    if not network.public_ip and not network.vpc:
        yield Conflict(
            ("network.public_ip",),
            "network.public_ip is false, and subnets of the default VPC have no NAT; name a VPC that has one",
        )
    if network.vpc and not network.subnets:
        yield Conflict(
            ("network.vpc",),
            "network.vpc is given without network.subnets; add the subnets of the machines",
        )
    for name in ("subnets", "load_balancer_subnets"):
        if getattr(network, name) and not network.vpc:
            yield Conflict(
                (f"network.{name}",),
                f"network.{name} is given without network.vpc; add the VPC that they are in",
            )
    of_balancer = network.load_balancer_subnets or network.subnets
    if intent.is_balanced and len(of_balancer) == 1:
        yield Conflict(
            ("network.load_balancer_subnets", "network.subnets"),
            "a load balancer needs subnets in two zones, and network has one; add another",
        )

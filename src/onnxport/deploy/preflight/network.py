"""Checks of network, certificate and machines in the account: P42, P48, P50."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from onnxport.deploy.intent import Intent
from onnxport.deploy.preflight.facts import Certificate, Subnet, Surroundings
from onnxport.deploy.preflight.finding import Said, failed, ok, skipped, warning
from onnxport.deploy.preflight.model import machine
from onnxport.deploy.preflight.subject import Subject

_TWO = 2  # zones that a load balancer needs
_SOON = timedelta(days=14)


def network_fits(subject: Subject) -> Said:
    """P42"""
    return network_verdict(subject.intent, _surroundings(subject))


def _surroundings(subject: Subject) -> Surroundings:
    from onnxport.deploy.aws.inspection import read_surroundings

    vpc = subject.intent.network.vpc
    return subject.once("network", lambda: read_surroundings(subject.cloud, vpc))


def network_verdict(intent: Intent, found: Surroundings) -> Said:
    """Whether machines, and a load balancer, find their place."""
    network = intent.network
    if not network.vpc and not any(found.vpcs.values()):
        return failed(
            f"{intent.region} has no default VPC", "name a VPC and its subnets in [network]"
        )
    if network.vpc and network.vpc not in found.vpcs:
        return failed(
            f"{network.vpc} isn't in this account and region", "correct network.vpc or region"
        )
    known = {one.id for one in found.subnets}
    named = (*network.subnets, *network.load_balancer_subnets)
    if strange := [name for name in named if name not in known]:
        return failed(
            f"{', '.join(strange)} isn't in {network.vpc}", "name subnets of that VPC in [network]"
        )
    own = subnets_of(intent, found, network.subnets)
    return _reach(intent, found, own)


def subnets_of(intent: Intent, found: Surroundings, named: Sequence[str]) -> list[Subnet]:
    """The named ones, or all of the default VPC."""
    if not intent.network.vpc:
        return list(found.subnets)
    return [one for one in found.subnets if one.id in named]


def _reach(intent: Intent, found: Surroundings, own: Sequence[Subnet]) -> Said:
    """Zones of the load balancer, and the machines' way to the image."""
    network = intent.network
    front = subnets_of(intent, found, network.load_balancer_subnets or network.subnets)
    zones = sorted({one.zone for one in front})
    if intent.is_balanced and len(zones) < _TWO:
        return failed(
            f"the load balancer's subnets are in {', '.join(zones) or 'no zone'} alone",
            "name subnets in two zones as load_balancer_subnets",
        )
    if not own:
        return failed("the default VPC has no subnets", "name a VPC and its subnets in [network]")
    cut_off = [one.id for one in own if not (one.to_gateway if network.public_ip else one.to_nat)]
    if network.vpc and cut_off:
        way = "an internet gateway" if network.public_ip else "a NAT"
        return warning(
            f"{', '.join(cut_off)} has no route to {way}, so machines may not get their image",
            f"add a route to {way}, or VPC endpoints of ECR, S3 and Elastic Beanstalk",
        )
    return ok(f"{network.vpc or 'the default VPC'}, {len(own)} subnets in {', '.join(zones)}")


# ------------------------------------------------------------------------------------------------------- certificate


def certificate_fits(subject: Subject) -> Said:
    """P48"""
    network = subject.intent.network
    if not network.certificate:
        return ok("no certificate is named: callers use plain http")
    from onnxport.deploy.aws.inspection import read_certificate

    found = read_certificate(subject.cloud, network.certificate)
    return certificate_verdict(found, network.domain, datetime.now(UTC))


def certificate_verdict(found: Certificate | None, domain: str, now: datetime) -> Said:
    """Whether a load balancer can show it for the domain."""
    if found is None:
        return failed(
            "ACM doesn't have the certificate in this account and region",
            "request one in ACM, in the same region, and write its ARN as network.certificate",
        )
    if found.status != "ISSUED":
        return failed(
            f"the certificate is {found.status}", "finish its validation in ACM, by DNS or mail"
        )
    if not any(_covers(name, domain) for name in found.names):
        return failed(
            f"the certificate is for {', '.join(found.names[:3])}, and the domain is {domain}",
            "request one for that domain, or correct network.domain",
        )
    if not found.key.replace("_", "-").startswith(("RSA-2048", "RSA-3072", "RSA-4096", "EC-")):
        return failed(f"its key is {found.key}", "request one with an RSA key of 2048 bits or EC")
    if found.ends and found.ends - now < _SOON:
        return warning(f"the certificate ends on {found.ends:%Y-%m-%d}", "have ACM renew it")
    return ok(f"issued for {', '.join(found.names[:3])}, {found.key}")


def _covers(name: str, domain: str) -> bool:
    """A star stands for one label (RFC 6125)."""
    if name.startswith("*."):
        return domain.partition(".")[2] == name[2:]
    return name == domain


# ---------------------------------------------------------------------------------------------------------- machines


def machines_offered(subject: Subject) -> Said:
    """P50"""
    intent = subject.intent
    found = _surroundings(subject)
    own = subnets_of(intent, found, intent.network.subnets)
    zones = {one.zone for one in own}
    if not zones:
        return skipped("there are no subnets to look for machines in", "see P42")
    need = min(_TWO, len(zones)) if intent.is_balanced else 1
    for name in intent.instances.types:
        known = machine(subject, name)
        there = sorted(known.zones & zones) if known else []
        if len(there) < need:
            return failed(
                f"{name} is offered in {len(there)} of the zones {', '.join(sorted(zones))}",
                "take another instance type, or subnets in other zones",
            )
    return ok(f"{', '.join(intent.instances.types)} in {len(zones)} zones")

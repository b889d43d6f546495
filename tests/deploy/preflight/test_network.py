"""P42, P48, P50: subnets, certificates and machines in the fake's account; and what only AWS itself could have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.intent import Instances, Intent, Network
from onnxport.deploy.preflight.facts import Certificate
from onnxport.deploy.preflight.network import certificate_verdict
from onnxport.deploy.preflight.subject import Subject
from tests.deploy.account import client
from tests.deploy.fake_aws.process import FakeAws
from tests.deploy.preflight.conftest import OPEN
from tests.deploy.preflight.looking import finding, fires, passes

Make = Callable[..., Subject]
BALANCED = Instances(layout="load-balanced", max=2)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


@pytest.fixture
def look(subject_of: Make, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`look(intent)`: a subject whose account is the fake's."""
    for name, value in fake_aws.env.items():
        monkeypatch.setenv(name, value)

    def make(intent: Intent = OPEN, **parts: Any) -> Subject:
        return subject_of(intent, cloud=Cloud(intent.region), **parts)

    return make


def network(fake: FakeAws, *zones: str) -> tuple[str, tuple[str, ...]]:
    """A VPC with a subnet in each zone, and a way out."""
    ec2 = client(fake, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{at}.0/24", AvailabilityZone=zone)["Subnet"][
            "SubnetId"
        ]
        for at, zone in enumerate(zones)
    ]
    return vpc, tuple(subnets)


def way_out(fake: FakeAws, vpc: str) -> None:
    ec2 = client(fake, "ec2")
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    within = [{"Name": "vpc-id", "Values": [vpc]}]
    table = ec2.describe_route_tables(Filters=within)["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)


def test_the_default_vpc_passes(look: Make) -> None:
    for intent in (OPEN, replace(OPEN, instances=BALANCED)):
        subject = look(intent)
        passes("P42", subject, "the default VPC, 3 subnets")
        passes("P50", subject, "in 3 zones")
        passes("P48", subject, "no certificate")
        passes("P03", subject, "fit into t3.small")


def test_no_default_vpc(look: Make, fake_aws: FakeAws) -> None:
    ec2 = client(fake_aws, "ec2")
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        for subnet in ec2.describe_subnets()["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        ec2.delete_vpc(VpcId=vpc["VpcId"])
    subject = look()
    fires("P42", subject, "has no default VPC")
    assert finding("P50", subject).outcome == "skipped"


def test_subnets_of_one_zone_and_no_way_out(look: Make, fake_aws: FakeAws) -> None:
    vpc, subnets = network(fake_aws, "eu-central-1a", "eu-central-1b")
    both = replace(OPEN, instances=BALANCED, network=Network(vpc=vpc, subnets=subnets))
    fires("P42", look(both), "has no route to an internet gateway", "warning")
    way_out(fake_aws, vpc)
    passes("P42", look(both), "eu-central-1a, eu-central-1b")
    one = replace(both, network=Network(vpc=vpc, subnets=subnets[:1]))
    fires("P42", look(one), "are in eu-central-1a alone")
    private = replace(both, network=Network(vpc=vpc, subnets=subnets, public_ip=False))
    fires("P42", look(private), "has no route to a NAT", "warning")


def test_subnets_and_vpcs_that_are_elsewhere(look: Make, fake_aws: FakeAws) -> None:
    vpc, _ = network(fake_aws, "eu-central-1a")
    strange = Network(vpc=vpc, subnets=("subnet-0123456789",))
    fires("P42", look(replace(OPEN, network=strange)), "subnet-0123456789 isn't in")
    nowhere = Network(vpc="vpc-0123456789", subnets=("subnet-0123456789",))
    fires("P42", look(replace(OPEN, network=nowhere)), "isn't in this account")


def test_machines_that_no_zone_has(look: Make) -> None:
    strange = replace(OPEN, instances=Instances(types=("t9.small",)))
    fires("P50", look(strange), "t9.small is offered in 0 of the zones")


def test_memory_is_asked_of_ec2(look: Make) -> None:
    many = replace(
        OPEN, server=(("ONNXPORT_WORKERS", "24"),), instances=Instances(types=("x2gd.medium",))
    )
    passes("P03", look(many), "fit into x2gd.medium")


# ------------------------------------------------------------------------------------------------------ certificates


def secured(arn: str, domain: str = "api.example.com") -> Intent:
    return replace(OPEN, instances=BALANCED, network=Network(certificate=arn, domain=domain))


def test_certificates_of_acm(look: Make, fake_aws: FakeAws) -> None:
    acm = client(fake_aws, "acm")
    arn = acm.request_certificate(DomainName="*.example.com", ValidationMethod="DNS")[
        "CertificateArn"
    ]
    fires("P48", look(secured(arn)), "PENDING_VALIDATION")
    fires("P48", look(secured(ARN)), "ACM doesn't have the certificate")


def certificate(**more: Any) -> Certificate:
    return replace(
        Certificate(ARN, "ISSUED", ("*.example.com",), "RSA-2048", NOW + timedelta(days=200)),
        **more,
    )


def test_a_certificate_that_fits() -> None:
    assert certificate_verdict(certificate(), "api.example.com", NOW).outcome == "ok"
    curve = certificate(key="EC_prime256v1", names=("a.org", "api.a.org"))
    assert certificate_verdict(curve, "api.a.org", NOW).outcome == "ok"


@pytest.mark.parametrize(
    ("more", "domain", "told"),
    [
        ({"status": "EXPIRED"}, "api.example.com", "the certificate is EXPIRED"),
        ({}, "example.com", "is for *.example.com, and the domain is example.com"),
        ({}, "a.b.example.com", "the domain is a.b.example.com"),
        ({"key": "RSA_1024"}, "api.example.com", "its key is RSA_1024"),
    ],
    ids=["expired", "apex", "deeper", "key"],
)
def test_a_certificate_that_does_not(more: dict[str, Any], domain: str, told: str) -> None:
    said = certificate_verdict(certificate(**more), domain, NOW)
    assert said.outcome == "failed"
    assert told in said.looked_at
    assert said.fix


def test_a_certificate_that_ends_soon() -> None:
    soon = certificate(ends=NOW + timedelta(days=3))
    assert certificate_verdict(soon, "api.example.com", NOW).outcome == "warning"

"""The names of all that a deployment makes, derived from the intent alone; the same intent, the same names.

Limits of lengths and characters are those of botocore's models; `forms.NAME` keeps every name made here within them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from onnxport.deploy.intent import Intent

Slot = Literal["blue", "green"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")
KEY_PREFIX = "onnxport/"  # all that we ever write or delete in the account's bucket
DEFAULT_SERVICE_ROLE = "aws-elasticbeanstalk-service-role"  # used where the account has it
PLATFORM_BRANCH = "Docker running on 64bit Amazon Linux 2023"

_IDLE = "-idle"
_LOG_FILE = "var/log/eb-docker/containers/eb-current-app/stdouterr.log"


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called.

    live_cname: the prefix of the address that callers know; it moves with a swap. idle_cname: that of the other slot.
    instance_profile: of the profile and of the role inside it. record_key: where the last deployment is written down.
    """

    application: str
    base: str
    live_cname: str
    idle_cname: str
    repository: str
    instance_profile: str
    service_role: str
    record_key: str

    def environment(self, slot: Slot) -> str:
        return f"{self.base}-{slot}"

    def version_key(self, label: str) -> str:
        """Where a version's bundle stands in the bucket."""
        return f"{KEY_PREFIX}{self.application}/versions/{label}.zip"

    def log_group(self, slot: Slot) -> str:
        """What the container writes to stdout and stderr, in CloudWatch."""
        return f"{self.log_groups(slot)}{_LOG_FILE}"

    def log_groups(self, slot: Slot) -> str:
        """The prefix of all log groups of a slot's environment."""
        return f"/aws/elasticbeanstalk/{self.environment(slot)}/"


def names_of(intent: Intent, account: str) -> Names:
    """account: the 12 digits of the AWS account; an address is unique in a region, over all accounts."""
    cname = intent.network.cname or f"{intent.name}-{_hash(account, intent.app)}"
    ours = f"onnxport-{intent.name}-{intent.region}"  # roles have no region of their own
    return Names(
        application=intent.app,
        base=intent.name,
        live_cname=cname,
        idle_cname=cname + _IDLE,
        repository=f"onnxport/{intent.app}",
        instance_profile=intent.roles.instance_profile or f"{ours}-ec2",
        service_role=intent.roles.service or f"{ours}-eb",
        record_key=f"{KEY_PREFIX}{intent.app}/records/{intent.name}.json",
    )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:6]


def other(slot: Slot) -> Slot:
    return "green" if slot == "blue" else "blue"


def version_label(moment: datetime, digest: str) -> str:
    """`v-YYYYMMDD-HHMMSS-` in UTC, and 8 digits of the image's digest, `sha256:` or not."""
    short = digest.removeprefix("sha256:")[:8]
    return f"v-{moment.astimezone(UTC):%Y%m%d-%H%M%S}-{short}"


def bucket_name(region: str, account: str) -> str:
    """What create_storage_location gives; its own answer counts."""
    return f"elasticbeanstalk-{region}-{account}"


def registry_host(region: str, account: str) -> str:
    """ECR's host name of an account in a region."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{account}.dkr.ecr.{region}.{suffix}"


def partition(region: str) -> str:
    """The first part of an ARN after `arn:`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"

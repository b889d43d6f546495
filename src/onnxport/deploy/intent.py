"""What `onnxport.toml` may say: the intent as one frozen value, and the one table of its options.

Flags, the template and docs/reference/deploy-options.md derive from `OPTIONS`; `reading.py` reads and checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from onnxport.deploy import forms
from onnxport.deploy.forms import Form

FILE_NAME = "onnxport.toml"
ANY = Form(lambda _: True, "")


def _option(default: Any, help: str, form: Form = ANY, *, flag: str = "") -> Any:
    return field(default=default, metadata={"help": help, "form": form, "flag": flag})


@dataclass(frozen=True, slots=True)
class Instances:
    """The machines."""

    layout: str = _option(
        "single",
        "single: one machine with an address of its own. load-balanced: several behind a load balancer.",
        forms.choice("single", "load-balanced"),
        flag="--layout",
    )
    types: tuple[str, ...] = _option(
        ("t3.small",),
        "Instance types; of several, Elastic Beanstalk takes the first.",
        forms.INSTANCE_TYPES,
        flag="--instance-types",
    )
    architecture: str = _option(
        "x86_64",
        "Processor of the instance types and of the image; can't change later.",
        forms.choice("x86_64", "arm64"),
        flag="--architecture",
    )
    min: int = _option(
        1, "Fewest machines.", forms.between(1, 100, "a number"), flag="--min-instances"
    )
    max: int = _option(
        1, "Most machines.", forms.between(1, 100, "a number"), flag="--max-instances"
    )
    volume_gb: int = _option(
        16,
        "Disk of each machine (gp3), in GB; old images stay on it for a while.",
        forms.between(10, 1000, "a number of GB"),
        flag="--volume-gb",
    )


@dataclass(frozen=True, slots=True)
class Network:
    """How callers get there."""

    cname: str = _option(
        "",
        "First label of the address NAME.REGION.elasticbeanstalk.com; empty: made from the name.",
        forms.CNAME,
        flag="--cname",
    )
    domain: str = _option(
        "", "A domain of your own, for https; needs a certificate.", forms.DOMAIN, flag="--domain"
    )
    certificate: str = _option(
        "",
        "ARN of that domain's certificate in ACM, in the same region.",
        forms.CERTIFICATE,
        flag="--certificate",
    )
    vpc: str = _option("", "The VPC; empty: the default one.", forms.VPC, flag="--vpc")
    subnets: tuple[str, ...] = _option(
        (), "Subnets of the machines, in that VPC.", forms.SUBNETS, flag="--subnets"
    )
    load_balancer_subnets: tuple[str, ...] = _option(
        (),
        "Subnets of the load balancer, in two zones; empty: those of the machines.",
        forms.SUBNETS,
        flag="--load-balancer-subnets",
    )
    public_ip: bool = _option(
        True, "Give machines public addresses; without, they need a NAT.", flag="--public-ip"
    )


@dataclass(frozen=True, slots=True)
class Image:
    """What runs."""

    repository: str = _option(
        "",
        "Where the image is pushed; empty: ECR. Others must be readable by anybody.",
        forms.REPOSITORY,
        flag="--repository",
    )
    base: str = _option(
        "",
        "Base image, or a .tar file of one; empty: the default of `onnxport build`.",
        forms.OPTIONAL_FILE,
        flag="--base",
    )


@dataclass(frozen=True, slots=True)
class Health:
    """When the environment counts as well."""

    path: str = _option(
        "/health/ready", "What is asked for health.", forms.PATH, flag="--health-path"
    )
    latency_ms: int = _option(
        1000,
        "Longest time that a golden request of one row may take, from here; p99.",
        forms.between(1, 60_000, "a number of milliseconds"),
        flag="--latency-ms",
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take."""

    body_mb: int = _option(
        4,
        "Largest request body, in MB.",
        forms.between(1, 1024, "a number of MB"),
        flag="--body-mb",
    )
    timeout: int = _option(
        60,
        "Seconds after which proxy and load balancer give an answer up.",
        forms.between(1, 3600, "a number of seconds"),
        flag="--request-timeout",
    )


@dataclass(frozen=True, slots=True)
class Update:
    """How a new version takes the place of the old one."""

    strategy: str = _option(
        "bluegreen",
        "bluegreen: a second environment, then a swap. rolling, immutable, canary: in place.",
        forms.choice("bluegreen", "rolling", "immutable", "canary"),
        flag="--strategy",
    )
    watch: int = _option(
        60,
        "Seconds to watch after the swap; errors swap back.",
        forms.between(0, 86_400, "a number of seconds"),
        flag="--watch",
    )
    keep: bool = _option(
        False, "Keep the old environment after the watch, and pay for both.", flag="--keep"
    )
    canary_percent: int = _option(
        10,
        "Share of the requests that a canary gets.",
        forms.between(1, 99, "a percentage"),
        flag="--canary-percent",
    )
    canary_minutes: int = _option(
        5,
        "Minutes that a canary is watched.",
        forms.between(3, 600, "a number of minutes"),
        flag="--canary-minutes",
    )
    timeout: int = _option(
        1200,
        "Seconds that an environment may take to become healthy.",
        forms.between(60, 7200, "a number of seconds"),
        flag="--timeout",
    )


@dataclass(frozen=True, slots=True)
class Logs:
    """What is kept of the logs."""

    stream: bool = _option(True, "Stream logs to CloudWatch.", flag="--stream-logs")
    retention_days: int = _option(
        14, "Days that CloudWatch keeps them.", forms.RETENTION, flag="--retention-days"
    )


@dataclass(frozen=True, slots=True)
class Roles:
    """Existing roles, used as they are; empty: made where missing, under names of ours."""

    instance_profile: str = _option(
        "", "Instance profile of the machines.", forms.ROLE, flag="--instance-profile"
    )
    service: str = _option(
        "", "Service role of Elastic Beanstalk.", forms.ROLE, flag="--service-role"
    )


@dataclass(frozen=True, slots=True)
class Intent:
    """All that a deployment is told. tags and server: pairs of name and value, in order of name."""

    app: str = _option("", "Name of the application.", forms.NAME, flag="--app")
    environment: str = _option(
        "",
        "Name of the environment, for one of several; empty: the application's.",
        forms.OPTIONAL_NAME,
        flag="--environment",
    )
    region: str = _option("us-east-1", "AWS region.", forms.REGION, flag="--region")
    model: str = _option(
        "",
        "The model file, beside this one; empty: the one .onnx file that is there.",
        forms.OPTIONAL_FILE,
        flag="--model",
    )
    auth: str = _option(
        "keys",
        "keys: callers send an API key. none: anybody may call.",
        forms.choice("keys", "none"),
        flag="--auth",
    )
    key_file: str = _option(
        "onnxport.key",
        "File of the API key for golden requests; stays here, only its hash is deployed.",
        forms.FILE,
        flag="--key-file",
    )
    more_keys: str = _option(
        "",
        "File of id:sha256 lines of further API keys, as `onnxport key` prints them.",
        forms.OPTIONAL_FILE,
        flag="--more-keys",
    )
    budget: float = _option(
        0.0,
        "Most USD a month that the plan may be expected to cost; 0: no limit.",
        forms.between(0, 1_000_000, "an amount of USD"),
        flag="--budget",
    )
    instances: Instances = field(default_factory=Instances)
    network: Network = field(default_factory=Network)
    image: Image = field(default_factory=Image)
    health: Health = field(default_factory=Health)
    limits: Limits = field(default_factory=Limits)
    update: Update = field(default_factory=Update)
    logs: Logs = field(default_factory=Logs)
    roles: Roles = field(default_factory=Roles)
    server: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """What environments, addresses and roles are named after."""
        return self.environment or self.app

    @property
    def is_balanced(self) -> bool:
        return self.instances.layout == "load-balanced"

    @property
    def longest_update(self) -> float:
        """Seconds that an update in place may take: a canary is watched besides, machines in batches come in turn."""
        update = self.update
        if update.strategy == "canary":
            return update.timeout + 60.0 * update.canary_minutes
        if update.strategy == "rolling":
            return float(update.timeout * self.instances.max)
        return float(update.timeout)


# ------------------------------------------------------------------------------------------------------- the table

FREE_TABLES = {
    "server": "Settings of `onnxport serve`, by name, such as workers = 2.",
    "tags": "Tags of your own on all that is made.",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table. name: the path in the file, such as `instances.types`."""

    name: str
    flag: str
    type: type
    default: Any
    help: str
    form: Form

    @property
    def table(self) -> str:
        """The table in the file, or nothing for what stands at its top."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def parameter(self) -> str:
        """The flag as a name in Python."""
        return self.flag[2:].replace("-", "_")


def _options(of: type, table: str = "") -> Iterator[Option]:
    for f in fields(of):
        told = f.metadata
        if "flag" in told:
            name = f"{table}.{f.name}" if table else f.name
            yield Option(name, told["flag"], type(f.default), f.default, told["help"], told["form"])


_KINDS = (Instances, Network, Image, Health, Limits, Update, Logs, Roles)
TABLES = {kind.__name__.lower(): str(kind.__doc__) for kind in _KINDS}
OPTIONS = (
    *_options(Intent),
    *(option for kind in _KINDS for option in _options(kind, kind.__name__.lower())),
)

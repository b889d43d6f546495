"""What the fake remembers: of each account and region, its applications, versions, environments and events."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.deploy.fake_aws.clock import Clock
from tests.deploy.fake_aws.scripts import Scripts

Options = dict[tuple[str, str, str], str]  # by namespace, name and resource


@dataclass
class Event:
    """date: by the fake's clock."""

    date: float
    severity: str
    message: str
    application: str
    environment: str = ""
    version: str = ""
    request_id: str = ""


@dataclass
class Version:
    label: str
    application: str
    bucket: str
    key: str
    description: str
    created: float
    updated: float
    status: str
    tags: dict[str, str]


@dataclass
class Template:
    """A saved configuration."""

    name: str
    description: str
    platform: str
    options: Options
    created: float
    updated: float


@dataclass
class Application:
    name: str
    description: str
    created: float
    updated: float
    tags: dict[str, str]
    lifecycle: dict[str, object] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)


@dataclass
class Instance:
    id: str
    launched: float


@dataclass
class Milestone:
    """Something that happens at a time. The deed gets that time."""

    at: float
    deed: Callable[[float], None]


@dataclass
class Environment:
    """before: version, options and platform to which a failed or aborted update returns."""

    id: str
    name: str
    application: str
    description: str
    tier: dict[str, str]
    platform: str
    version: str
    options: Options
    tags: dict[str, str]
    created: float
    updated: float
    cname: str = ""
    prefix: str = ""
    endpoint: str = ""
    status: str = "Launching"
    health: str = "Grey"
    health_status: str = ""
    causes: list[str] = field(default_factory=list)
    abortable: bool = False
    deployment: int = 0
    group: str = ""  # its security group
    instances: list[Instance] = field(default_factory=list)
    course: list[Milestone] = field(default_factory=list)
    before: tuple[str, Options, str] | None = None
    requested: dict[str, float] = field(default_factory=dict)  # kinds of logs, and when
    request_id: str = ""

    def option(self, namespace: str, name: str, default: str = "") -> str:
        return self.options.get((namespace, name, ""), default)

    @property
    def is_single(self) -> bool:
        kind = self.option("aws:elasticbeanstalk:environment", "EnvironmentType", "LoadBalanced")
        return kind == "SingleInstance"

    @property
    def variables(self) -> dict[str, str]:
        """What its container gets as environment."""
        space = "aws:elasticbeanstalk:application:environment"
        return {name: text for (where, name, _), text in self.options.items() if where == space}


@dataclass(frozen=True)
class Order:
    """What an instance shall run. image: as the bundle names it. snippets: of nginx, by file name."""

    image: str
    port: int
    variables: dict[str, str]
    health_path: str
    snippets: dict[str, str]


@dataclass(frozen=True)
class Fault:
    """message: from the instance. cause: of its health, where only that fails. log: lines of the container."""

    message: str
    cause: str = ""
    log: str = ""


class Fleet:
    """The instances. Here there are none: names are Amazon's, and everything is well."""

    def cname(self, name: str) -> str:
        """The whole name of an environment, from what stands before the domain."""
        return f"{name}.elasticbeanstalk.com"

    def deploy(self, environment: Environment, order: Order) -> Fault | str | None:  # noqa: ARG002
        """Runs it in place of what ran. None or "" if it is well, or what it says when it ends at once."""
        return None

    def endpoint(self, _environment: Environment) -> str:
        """Where its instances are reached without its CNAME, or ""."""
        return ""

    def log(self, _environment: Environment) -> str:
        """What its container has written."""
        return "onnxport: listening on http://0.0.0.0:8080"

    def point(self, cname: str, environment: Environment) -> None:
        """From now on the name leads to this environment."""

    def retire(self, environment: Environment) -> None:
        """Ends its instances."""

    def reset(self) -> None:
        """Ends all instances."""


@dataclass
class Cloud:
    """One account in one region."""

    account: str
    region: str
    world: World
    applications: dict[str, Application] = field(default_factory=dict)
    environments: list[Environment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stale: tuple[float, dict[str, dict[str, Any]]] = (0.0, {})  # until when what is told lags

    def now(self) -> float:
        return self.world.clock.now()

    @property
    def scripts(self) -> Scripts:
        return self.world.scripts

    @property
    def bucket(self) -> str:
        return f"elasticbeanstalk-{self.region}-{self.account}"

    def arn(self, kind: str, path: str) -> str:
        return f"arn:aws:elasticbeanstalk:{self.region}:{self.account}:{kind}/{path}"

    def tell(
        self, environment: Environment, at: float, message: str, severity: str = "INFO"
    ) -> None:
        last = self.events[-1].date if self.events else 0.0
        self.events.append(
            Event(
                max(at, last + 0.01) if at > last - 0.5 else at,
                severity,
                message,
                environment.application,
                environment.name,
                request_id=environment.request_id,
            )
        )

    def settle(self) -> None:
        """Lets happen what is due by now."""
        now = self.now()
        while due := [one for one in self.environments if one.course and one.course[0].at <= now]:
            first = min(due, key=lambda one: one.course[0].at)
            milestone = first.course.pop(0)
            try:
                milestone.deed(milestone.at)
            except Exception as err:  # ours: told where tests look, and time goes on
                traceback.print_exc(file=sys.stderr)
                self.world.faults.append(f"{type(err).__name__}: {err}")


@dataclass
class World:
    """All that the fake holds. registry: the address that repositories lead to, or "" where there is none.

    url: of the fake itself. faults: what went wrong in the fake, which is never right.
    """

    clock: Clock
    scripts: Scripts = field(default_factory=Scripts)
    clouds: dict[tuple[str, str], Cloud] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)
    registry: str = ""
    url: str = ""
    used_platforms: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def cloud(self, account: str, region: str) -> Cloud:
        key = account, region
        if key not in self.clouds:
            self.clouds[key] = Cloud(account, region, self)
        return self.clouds[key]

    def settle(self) -> None:
        with self.lock:
            for cloud in list(self.clouds.values()):
                cloud.settle()

    def reset(self, rate: float) -> None:
        with self.lock:
            self.fleet.reset()
            self.clouds.clear()
            self.scripts.clear()
            self.used_platforms.clear()
            self.faults.clear()
            self.clock.reset(rate)

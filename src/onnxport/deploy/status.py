"""How a deployment is: read, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onnxport.deploy.aws.events import read_health
from onnxport.deploy.aws.observing import observe
from onnxport.deploy.aws.session import Cloud
from onnxport.deploy.cost import Estimate, estimate
from onnxport.deploy.drift import called, drift, is_same_platform, platform_number
from onnxport.deploy.intent import Intent
from onnxport.deploy.known_options import KEY_HASHES
from onnxport.deploy.names import SLOTS, Names, names_of
from onnxport.deploy.observed import Environment, HealthReport, Observed, Version
from onnxport.deploy.slots import TERMINATING, find_slots, slot_of
from onnxport.deploy.tags import IMAGE, MODEL, belongs_to
from onnxport.deploy.wanted import Setting, settings_of

_SHOWN_VERSIONS = 10
_LAUNCHING = "Launching"


@dataclass(frozen=True, slots=True)
class Slot:
    """One environment of ours. is_live: it has the address, and isn't launching any more. model, image: digests, by its
    version's tags. health: None while it can't be told.
    """

    name: str
    slot: str
    is_live: bool
    state: str
    color: str
    version: str | None
    model: str
    image: str
    platform: str
    url: str
    health: HealthReport | None = None

    @property
    def role(self) -> str:
        if self.state == _LAUNCHING:
            return "not live yet"
        return "live" if self.is_live else "idle"


@dataclass(frozen=True, slots=True)
class Status:
    """slots: the live one first. drift: sentences on what differs from the intent. foreign: names of ours that others
    have. record: the last deployment as it was written down. cost: of a month of the environments that are there.
    """

    app: str
    name: str
    account: str
    region: str
    url: str
    slots: tuple[Slot, ...]
    versions: tuple[Version, ...]
    drift: tuple[str, ...]
    foreign: tuple[str, ...]
    record: dict[str, Any]
    cost: Estimate

    @property
    def live(self) -> Slot | None:
        return next((slot for slot in self.slots if slot.is_live), None)

    @property
    def is_well(self) -> bool:
        return self.live is not None and self.live.state == "Ready" and self.live.color == "Green"

    def to_json(self) -> dict[str, Any]:
        """The status as plain data."""
        return {
            "app": self.app,
            "name": self.name,
            "account": self.account,
            "region": self.region,
            "url": self.url,
            "is_well": self.is_well,
            "environments": [_slot_json(slot) for slot in self.slots],
            "versions": [
                {"label": v.label, "status": v.status, "description": v.description}
                for v in self.versions
            ],
            "drift": list(self.drift),
            "foreign": list(self.foreign),
            "record": self.record,
            "cost": self.cost.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """The status for people."""
        yield f"{self.name}: {self._where}"
        yield f"  account {self.account}, {self.region}"
        for slot in self.slots:
            yield from _slot_lines(slot)
        for name in self.foreign:
            yield f"  {name} has a name of ours, and hasn't our tags; it is somebody else's"
        if self.versions:
            yield "versions, newest first:"
        running = {slot.version: slot.slot for slot in self.slots}
        for version in self.versions[:_SHOWN_VERSIONS]:
            where = f"  <- {running[version.label]}" if version.label in running else ""
            yield f"  {version.label}  {version.description}{where}"
        if len(self.versions) > _SHOWN_VERSIONS:
            yield f"  and {len(self.versions) - _SHOWN_VERSIONS} older ones"
        if self.live:
            yield from (f"drift: {text}" for text in self.drift or ("none",))
        if self.paid:
            many = "1 environment" if self.paid == 1 else f"{self.paid} environments"
            yield f"cost of {many}: {next(self.cost.lines())}"

    @property
    def paid(self) -> int:
        """How many environments cost something."""
        return sum(slot.state != TERMINATING for slot in self.slots)

    @property
    def _where(self) -> str:
        if self.live:
            return self.url
        is_coming = any(slot.state == _LAUNCHING for slot in self.slots)
        return "not live yet" if is_coming else "not deployed"


def _slot_json(slot: Slot) -> dict[str, Any]:
    health = slot.health
    return {
        "name": slot.name,
        "slot": slot.slot,
        "is_live": slot.is_live,
        "state": slot.state,
        "health": slot.color,
        "health_status": health.status if health else None,
        "causes": list(health.causes) if health else [],
        "instances": dict(health.instances) if health else {},
        "version": slot.version,
        "model": slot.model,
        "image": slot.image,
        "platform": slot.platform,
        "url": slot.url,
    }


def _slot_lines(slot: Slot) -> Iterator[str]:
    well = f"{slot.color}" + (f" ({slot.health.status})" if slot.health else "")
    yield f"  {slot.slot:<5} {slot.role}  {slot.state}, health {well}, version {slot.version}"
    for cause in slot.health.causes if slot.health else ():
        yield f"        cause: {cause}"
    if slot.health and any(slot.health.instances.values()):
        counted = [f"{n} {state}" for state, n in slot.health.instances.items() if n]
        yield f"        machines: {', '.join(counted)}"
    yield f"        model {slot.model[:12] or 'unknown'}, image {slot.image[:19] or 'unknown'}"
    yield f"        platform {platform_number(slot.platform)}"
    yield f"        {slot.url}"


def read_status(
    cloud: Cloud, intent: Intent, *, key_lines: Sequence[str] | None, model_digest: str = ""
) -> Status:
    """key_lines: None where the keys aren't here, so that they can't be compared. model_digest: of the file here."""
    observed = observe(cloud, intent, tagged=True)
    names = names_of(intent, observed.account.id)
    slots = find_slots(names, observed)
    named = [observed.environment(names.environment(slot)) for slot in SLOTS]
    found = [each for each in named if each]
    ours = [each for each in found if belongs_to(each.tags, intent)]
    live = slots.live if slots.live in ours and slots.live.status != _LAUNCHING else None
    told = [_slot(cloud, names, observed, each, is_live=each is live) for each in ours]
    settings = settings_of(intent, names, observed, key_lines or ())
    return Status(
        app=intent.app,
        name=intent.name,
        account=observed.account.id,
        region=observed.account.region,
        url=address(intent, observed.live.full),
        slots=tuple(sorted(told, key=lambda slot: not slot.is_live)),
        versions=observed.versions,
        drift=tuple(_drift(observed, live, settings, key_lines is None, model_digest))
        if live
        else (),
        foreign=tuple(each.name for each in found if each not in ours),
        record=dict(observed.record),
        cost=estimate(intent, environments=sum(each.status != TERMINATING for each in ours)),
    )


def address(intent: Intent, cname: str) -> str:
    """What callers use."""
    return f"https://{intent.network.domain}" if intent.network.domain else f"http://{cname}"


def _slot(
    cloud: Cloud, names: Names, observed: Observed, environment: Environment, *, is_live: bool
) -> Slot:
    version = observed.version(environment.version)
    tags = version.tags if version else environment.tags
    has_report = environment.status in ("Ready", "Updating")
    return Slot(
        name=environment.name,
        slot=slot_of(names, environment),
        is_live=is_live,
        state=environment.status,
        color=environment.health,
        version=environment.version,
        model=tags.get(MODEL, ""),
        image=tags.get(IMAGE, ""),
        platform=environment.platform,
        url=f"http://{environment.cname}" if environment.cname else "",
        health=read_health(cloud, environment.name) if has_report else None,
    )


def _drift(
    observed: Observed,
    live: Environment,
    settings: Sequence[Setting],
    without_keys: bool,
    model_digest: str,
) -> Iterator[str]:
    found = drift(settings, live.settings)
    for setting in (*found.changed, *found.extra):
        key = setting["Namespace"], setting["OptionName"]
        if without_keys and key[1] == KEY_HASHES:
            continue
        yield _difference(key, live.settings.get(key), setting.get("Value"))
    if not is_same_platform(live.platform, observed.platform):
        old, newest = map(platform_number, (live.platform, observed.platform))
        yield f"the platform is {old}, and {newest} is the newest"
    version = observed.version(live.version)
    deployed = version.tags.get(MODEL, "") if version else ""
    if model_digest and deployed and model_digest != deployed:
        yield f"the model file here is {model_digest[:12]}, and {deployed[:12]} is live"


def _difference(key: tuple[str, str], found: str | None, wanted: str | None) -> str:
    """key: AWS's namespace and name of the option, which is told by ours where there is one."""
    if key[1] == KEY_HASHES:
        return "the API keys differ"
    if wanted is None:
        return f"{called(key)} is set, and onnxport.toml doesn't"
    return f"{called(key)} is {found or 'not set'}, and onnxport.toml wants {wanted}"

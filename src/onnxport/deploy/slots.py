"""Which environment callers reach, which waits, and what stands in the way. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from onnxport.deploy.intent import Intent
from onnxport.deploy.names import SLOTS, Names, Slot
from onnxport.deploy.observed import Address, Environment, Observed, Tags
from onnxport.deploy.plan import BrokenOff
from onnxport.deploy.tags import belongs_to, is_ours
from onnxport.errors import DeployError

TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class Slots:
    """live: has the address that callers know. other: our second environment. Those that are terminating are in
    `ending` alone.
    """

    live: Environment | None
    other: Environment | None
    ending: tuple[Environment, ...] = ()

    @property
    def all(self) -> tuple[Environment, ...]:
        return tuple(each for each in (self.live, self.other) if each)


def find_slots(names: Names, observed: Observed) -> Slots:
    """The two slots of an intent, by name and address; names don't follow a swap."""
    found = [observed.environment(names.environment(slot)) for slot in SLOTS]
    ours = [each for each in found if each and each.status != TERMINATING]
    ending = tuple(each for each in found if each and each.status == TERMINATING)
    live = next((each for each in ours if has_address(each, observed.live)), None)
    other = next((each for each in ours if each is not live), None)
    return Slots(live, other, ending)


def has_address(environment: Environment, address: Address) -> bool:
    return bool(environment.cname) and (
        environment.cname == address.full or environment.cname.startswith(f"{address.prefix}.")
    )


def slot_of(names: Names, environment: Environment) -> Slot:
    return next(slot for slot in SLOTS if names.environment(slot) == environment.name)


def free_slot(names: Names, slots: Slots) -> Slot:
    """A slot without an environment, or with one that is on its way out."""
    taken = {each.name for each in slots.all}
    return next(slot for slot in SLOTS if names.environment(slot) not in taken)


# ------------------------------------------------------------------------------------------------------ whose it is


def refuse_foreign(intent: Intent, names: Names, observed: Observed) -> None:
    """Raises DeployError for whatever has a name of ours and isn't ours: it is never touched."""
    application, repository = observed.application, observed.repository
    if application and not _is_shared(application.tags, intent):
        raise foreign("application", application.name, "app")
    for slot in SLOTS:
        found = observed.environment(names.environment(slot))
        if found and not belongs_to(found.tags, intent):
            raise foreign("environment", found.name, "app or environment")
        if found and found.application != names.application:
            raise foreign("environment", found.name, "app or environment")
    if repository and not intent.image.repository and not _is_shared(repository.tags, intent):
        raise foreign("repository", repository.name, "app")
    _refuse_foreign_roles(intent, names, observed)


def _refuse_foreign_roles(intent: Intent, names: Names, observed: Observed) -> None:
    if not intent.roles.instance_profile:
        name = names.instance_profile
        for kind, found in (
            ("role", observed.roles.get(name)),
            ("instance profile", observed.profiles.get(name)),
        ):
            if found and not belongs_to(found.tags, intent):
                raise foreign(kind, name, "environment", also="roles.instance_profile")
    service = observed.roles.get(names.service_role)
    if service and not intent.roles.service and not belongs_to(service.tags, intent):
        raise foreign("role", service.name, "environment", also="roles.service")


def foreign(kind: str, name: str, option: str, *, also: str = "") -> DeployError:
    """Somebody else's thing of our name."""
    instead = f", or name a role of yours in {also}" if also else ""
    return DeployError(
        f"there is {_article(kind)} {kind} {name} already, without the tags that onnxport gives; it stays as it is",
        remedy=f"choose another {option} in onnxport.toml{instead}",
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _is_shared(tags: Tags, intent: Intent) -> bool:
    """Of what several environments of one application share, the environment's tag is missing."""
    return is_ours(tags) and tags.get("onnxport:app") == intent.app


# ----------------------------------------------------------------------------------------------------- what is busy


def refuse_busy(slots: Slots, going_on: BrokenOff | None) -> None:
    """Raises DeployError where something goes on that isn't ours. going_on: our unfinished run."""
    for each in slots.all:
        is_own = going_on is not None and going_on.is_doing(each.name, each.id)
        if not each.is_ready and not is_own:
            raise DeployError(
                f"environment {each.name} is {each.status}",
                remedy=_LAUNCHED if each.status == "Launching" else _UPDATED,
                resumable=True,
            )


_UPDATED = "wait until it is Ready (`onnxport status`), or abort it with `onnxport rollback`"
_LAUNCHED = (
    "another run has begun that, from another folder or machine; wait until it has ended (`onnxport status`), "
    "then run the same command again"
)


def refuse_strays(slots: Slots, live: Address, idle: Address) -> None:
    """Raises DeployError for an environment of ours whose callers would lose their address, because onnxport.toml now
    names another one.
    """
    for each in slots.all:
        known = not each.cname or has_address(each, live) or has_address(each, idle)
        if not known:
            raise DeployError(
                f"{each.name} has the address {each.cname}, and onnxport.toml names {live.prefix}: whoever calls it "
                "would lose it",
                remedy=f"write cname = {json.dumps(each.cname.partition('.')[0])} in [network], or deploy under "
                "another name with environment or --environment, and destroy this one when nobody calls it",
            )


def refuse_taken(address: Address) -> None:
    """Raises DeployError for an address that somebody else has. Asked where none of our environments has it."""
    if not address.is_free:
        raise DeployError(
            f"the address {address.full or address.prefix} is taken, by another account or another application",
            remedy="choose another with network.cname in onnxport.toml or --cname",
        )

"""From what is wanted and what there is to a plan. Pure: what a run left half-done is found again as a difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from onnxport.deploy import steps, supplies
from onnxport.deploy.drift import Drift, drift, is_same_platform, platform_number
from onnxport.deploy.ground import ground
from onnxport.deploy.images import is_docker_hub
from onnxport.deploy.names import KEY_PREFIX, Slot, version_label
from onnxport.deploy.observed import Environment, Observed
from onnxport.deploy.plan import BrokenOff, Plan, Step
from onnxport.deploy.slots import (
    Slots,
    find_slots,
    free_slot,
    refuse_busy,
    refuse_foreign,
    refuse_strays,
    refuse_taken,
    slot_of,
)
from onnxport.deploy.tags import IMAGE, MODEL, shared_tags, slot_tags
from onnxport.deploy.wanted import Wanted, record_of
from onnxport.errors import DeployError

_MEGABYTE = 1e6
_FAILED = "failed"


def plan_deploy(wanted: Wanted, observed: Observed, *, going_on: BrokenOff | None = None) -> Plan:
    """First deployment, update, or what is left of one that broke off: the same question.

    going_on: a run of ours that is unfinished, so that what goes on may be its doing. Raises DeployError for what
    forbids it.
    """
    refuse_foreign(wanted.intent, wanted.names, observed)
    slots = find_slots(wanted.names, observed)
    label = _label(wanted, observed)
    refuse_busy(slots, going_on)
    refuse_strays(slots, observed.live, observed.idle)
    change = _Change(wanted, observed, slots, label, going_on)
    made = tuple(change.steps())
    title, notes = _title(wanted, slots, made), tuple(_notes(wanted, observed, slots, made))
    where = f"account {observed.account.id}, {observed.account.region}, {observed.live.full}"
    return Plan(
        "deploy",
        wanted.intent.app,
        title,
        where,
        made,
        notes,
        goal=label,
        origin=_version_of(slots.live),
    )


def _title(wanted: Wanted, slots: Slots, made: tuple[Step, ...]) -> str:
    model = f"{wanted.image.model} {wanted.image.model_version}"
    if all(step.effect == "look" for step in made):
        return f"{model} is deployed as {wanted.intent.name}; nothing is to change"
    if slots.live is None:
        return f"deploy {model} as {wanted.intent.name}, for the first time"
    return f"deploy {model} as {wanted.intent.name}, by {wanted.intent.update.strategy}"


def _version_of(live: Environment | None) -> str:
    return (live.version if live else None) or ""


def _notes(
    wanted: Wanted, observed: Observed, slots: Slots, made: tuple[Step, ...]
) -> Iterator[str]:
    intent = wanted.intent
    if slots.live and not is_same_platform(slots.live.platform, observed.platform):
        old, newest = map(platform_number, (slots.live.platform, observed.platform))
        yield f"AWS offers platform {newest}, and {slots.live.name} is on {old}: it moves, too"
    if is_docker_hub(intent.image.repository):
        yield (
            "Docker Hub lets an address without an account pull 100 images in 6 hours; machines that start behind "
            "one NAT share that; leave image.repository empty to use ECR"
        )
    if intent.auth == "none":
        yield 'auth is "none": whoever knows the address may call'
    if not intent.network.certificate:
        yield "callers use plain http; https needs a load balancer, a domain and a certificate"
    elif intent.auth == "keys":
        yield (
            "golden requests ask the load balancer by its own name, over plain http, and send the key of key_file; "
            "give callers others, in more_keys"
        )
    if slots.live and any(step.action == "create_environment" for step in made):
        if intent.update.keep:
            yield "the old environment is kept, and both are paid for"
        else:
            yield "both environments are paid for from the new one's start to the old one's end"


# --------------------------------------------------------------------------------------------------------- versions


def _label(wanted: Wanted, observed: Observed) -> str:
    """The version that holds this very bundle, or one whose bundle was uploaded for this image, or a new one."""
    for version in observed.versions:
        usable = version.status.lower() != _FAILED
        if version.description.endswith(wanted.mark) and usable:
            return version.label
    fresh = version_label(wanted.moment, wanted.image.digest)
    taken = {version.label for version in observed.versions}
    for key in sorted(observed.bundles, reverse=True):
        label = key.rpartition("/")[2].removesuffix(".zip")
        if (
            label not in taken
            and label[-8:] == fresh[-8:]
            and key == wanted.names.version_key(label)
        ):
            return label
    return fresh


def _version_steps(wanted: Wanted, observed: Observed, label: str) -> Iterator[Step]:
    image, names = wanted.image, wanted.names
    held = observed.repository.digests if observed.repository else frozenset()
    if wanted.in_ecr and observed.repository is None:
        yield supplies.create_repository(names.repository, shared_tags(wanted.intent))
    if image.digest not in held:
        yield supplies.push_image(
            wanted.repository,
            image.digest,
            megabytes=image.size / _MEGABYTE,
            in_ecr=wanted.in_ecr,
        )
    if observed.version(label):
        return
    if not observed.has_bucket:
        yield supplies.create_bucket(observed.bucket)
    key = names.version_key(label)
    if not key.startswith(KEY_PREFIX):
        raise DeployError(f"the key {key} isn't below {KEY_PREFIX}", remedy="report this as a bug")
    yield supplies.upload_bundle(observed.bucket, key, wanted.sha256)
    yield supplies.create_version(
        names.application,
        label,
        description=wanted.description,
        bucket=observed.bucket,
        key=key,
        tags=version_tags(wanted),
    )


def version_tags(wanted: Wanted) -> dict[str, str]:
    """Of a version: what it runs."""
    shared = shared_tags(wanted.intent)
    return {**shared, MODEL: wanted.image.model_digest, IMAGE: wanted.image.digest}


# ------------------------------------------------------------------------------------------------------ environments


class _Change:
    """The way from the slots as they are to the wanted version being live."""

    def __init__(
        self,
        wanted: Wanted,
        observed: Observed,
        slots: Slots,
        label: str,
        going_on: BrokenOff | None,
    ) -> None:
        self.wanted, self.observed, self.slots, self.label = wanted, observed, slots, label
        self.going_on = going_on
        self.intent, self.names = wanted.intent, wanted.names

    def steps(self) -> Iterator[Step]:
        live, other = self.slots.live, self.slots.other
        if live and self._is_wanted(live):
            yield from self._finish(live, other)
            return
        yield from map(self._kept_if_in_use, ground(self.wanted, self.observed))
        yield from _version_steps(self.wanted, self.observed, self.label)
        if live is None:
            yield from self._first(other)
        elif live.status == "Launching":  # it never was seen well, so nobody relies on it
            yield from self._anew(live)
        elif self.intent.update.strategy == "bluegreen":
            yield from self._bluegreen(live, other)
        else:
            yield from self._in_place(live, other)

    def _kept_if_in_use(self, step: Step) -> Step:
        """A role that is completed while environments stand on it isn't deleted, whatever fails later."""
        is_there = step.arguments["name"] in {*self.observed.roles, *self.observed.profiles}
        return replace(step, undo=None) if is_there and self.slots.all else step

    def _is_wanted(self, environment: Environment) -> bool:
        return (
            environment.version == self.label
            and self._has_newest(environment)
            and not self._drift(environment).is_any
        )

    def _has_newest(self, environment: Environment) -> bool:
        """Whether its platform is the newest: each deployment takes that."""
        return is_same_platform(environment.platform, self.observed.platform)

    def _drift(self, environment: Environment) -> Drift:
        return drift(self.wanted.settings, environment.settings)

    # ------------------------------------------------------------------------------------------------ ways

    def _finish(self, live: Environment, other: Environment | None) -> Iterator[Step]:
        """The wanted version is live already; what a broken-off run left is made up for."""
        record = self.observed.record
        written = record.get("version") == self.label and record.get("environment") == live.name
        missed = other if other and not written and self._was_swapped(other) else None
        if missed and (self._is_made(live) or not live.is_ready):
            yield self._await(live, idle=True)
        elif not live.is_ready:
            yield self._await(live, idle=False)
        if missed:
            yield steps.swap(live.name, missed.name, self.observed.live.full, version=self.label)
        yield self._verify(live, commits=missed is None)
        if missed:
            yield self._watch(live.name)
        if other and not self.intent.update.keep:
            yield self._retire(other)
        if not written:
            yield self._record(slot_of(self.names, live), live.platform)

    def _was_swapped(self, other: Environment) -> bool:
        """Whether callers reached it before what they reach now, and it is fit to be gone back to."""
        run, record = self.going_on, self.observed.record
        by_journal = run is not None and run.changed.get(other.name) == other.id
        was_live = by_journal or record.get("environment") == other.name
        return was_live and other.is_ready and other.health != "Red"

    def _is_made(self, environment: Environment) -> bool:
        """Whether the run that is gone on with has made it."""
        run = self.going_on
        return run is not None and run.made.get(environment.name) == environment.id

    def _await(self, environment: Environment, *, idle: bool) -> Step:
        """idle: whether it is taken back only while callers don't reach it; else only if it never was ready."""
        record = self.observed.record
        is_new = environment.status == "Launching" and record.get("environment") != environment.name
        is_taken_back = self._is_made(environment) and (idle or is_new)
        return steps.await_ready(
            environment.name,
            f"it is {environment.status}, with the wanted version",
            id=environment.id if is_taken_back else "",
            idle=idle,
            version=self.label,
        )

    def _first(self, other: Environment | None) -> Iterator[Step]:
        """Nobody has the address that callers know."""
        if not self.slots.ending:
            refuse_taken(self.observed.live)
        slot = free_slot(self.names, self.slots)
        yield from self._create(slot, self.names.live_cname)
        yield self._verify_slot(slot, commits=True)
        if other and not self.intent.update.keep:
            yield self._retire(other)
        yield self._record(slot, self.observed.platform)

    def _anew(self, live: Environment) -> Iterator[Step]:
        slot = slot_of(self.names, live)
        yield steps.terminate(
            live.name,
            "it was never ready, and has another version or settings",
            idle=False,
            launching=True,
        )
        yield from self._create(slot, self.names.live_cname)
        yield self._verify_slot(slot, commits=True)
        yield self._record(slot, self.observed.platform)

    def _bluegreen(self, live: Environment, other: Environment | None) -> Iterator[Step]:
        slot = slot_of(self.names, other) if other else free_slot(self.names, self.slots)
        platform = self.observed.platform
        if other and self._is_wanted(other):
            yield self._await(other, idle=True)
            platform = other.platform
        elif other and not self._why_unfit(other):
            yield from self._update(
                other, "the idle environment; callers aren't touched", idle=True
            )
            platform = other.platform
        else:
            if other:
                yield steps.terminate(
                    other.name, f"the idle environment {self._why_unfit(other)}", idle=True
                )
            else:
                self._refuse_taken_idle()
            yield from self._create(slot, self.names.idle_cname)
        name = self.names.environment(slot)
        yield self._verify_slot(slot, commits=False)
        yield steps.swap(name, live.name, self.observed.live.full, version=self.label)
        yield self._watch(name)
        if not self.intent.update.keep:
            yield self._retire(live)
        yield self._record(slot, platform)

    def _refuse_taken_idle(self) -> None:
        if not self.slots.ending:
            refuse_taken(self.observed.idle)

    def _in_place(self, live: Environment, other: Environment | None) -> Iterator[Step]:
        if not live.is_ready:
            yield steps.await_ready(live.name, f"it is {live.status}")
        if fixed := self._drift(live).fixed:
            raise DeployError(
                f"{', '.join(fixed)} can't be changed while {live.name} runs",
                remedy='write strategy = "bluegreen" in [update] for this once, or --strategy bluegreen',
            )
        how = self.intent.update.strategy
        yield from self._update(live, f"by {how}; AWS takes it back if a batch fails", idle=False)
        yield self._verify(live, commits=True)
        if other and not self.intent.update.keep:
            yield self._retire(other)
        yield self._record(slot_of(self.names, live), self.observed.platform)

    # ----------------------------------------------------------------------------------------------- parts

    def _why_unfit(self, other: Environment) -> str:
        """Why the idle environment must be made anew, or "" where an update does."""
        if not other.is_ready:
            return f"is {other.status}"
        if other.health == "Red":
            return f"is of health {other.health}"
        if not self._has_newest(other):
            return f"has platform {platform_number(other.platform)}"
        fixed = self._drift(other).fixed
        return f"can't change {', '.join(fixed)} while it runs" if fixed else ""

    def _create(self, slot: Slot, cname: str) -> Iterator[Step]:
        name = self.names.environment(slot)
        for ending in self.slots.ending:  # it holds its name, and its address
            yield steps.await_gone(ending.name)
        machines = self.intent.instances
        kind = "behind a load balancer" if self.intent.is_balanced else "single machine"
        yield steps.create_environment(
            name,
            f"{'/'.join(machines.types)}, {kind}, {cname}",
            application=self.names.application,
            cname=cname,
            version=self.label,
            platform=self.observed.platform,
            settings=self.wanted.settings,
            tags=self._tags(slot),
            idle=cname != self.names.live_cname,
        )

    def _update(self, environment: Environment, told: str, *, idle: bool) -> Iterator[Step]:
        """Platform, configuration and version, each in an update of its own. idle: none that callers reach."""
        if not self._has_newest(environment):
            yield steps.update_platform(
                environment.name, self.observed.platform, told, former=environment.platform
            )
        found = self._drift(environment)
        if found.is_any:
            yield steps.update_settings(
                environment.name,
                f"{found.told}; {told}",
                settings=found.changed,
                remove=found.extra,
                back=found.former,
                added=found.added,
                idle=idle,
            )
        if environment.version != self.label:
            yield steps.update_version(
                environment.name,
                self.label,
                told,
                former=environment.version,
                tags=self._tags(slot_of(self.names, environment)),
                former_tags=environment.tags,
                idle=idle,
            )

    def _tags(self, slot: Slot) -> dict[str, str]:
        image = self.wanted.image
        return slot_tags(self.intent, slot, model=image.model_digest, image=image.digest)

    def _verify_slot(self, slot: Slot, *, commits: bool) -> Step:
        return self._check(self.names.environment(slot), commits=commits)

    def _verify(self, environment: Environment, *, commits: bool) -> Step:
        return self._check(environment.name, commits=commits)

    def _check(self, name: str, *, commits: bool) -> Step:
        return steps.verify(
            name,
            latency_ms=self.intent.health.latency_ms,
            model_digest=self.wanted.image.model_digest,
            commits=commits,
        )

    def _watch(self, name: str) -> Step:
        return steps.watch(
            name,
            seconds=self.intent.update.watch,
            model_digest=self.wanted.image.model_digest,
        )

    def _retire(self, environment: Environment) -> Step:
        return steps.terminate(
            environment.name, f"the old one, version {environment.version}", idle=True
        )

    def _record(self, slot: Slot, platform: str) -> Step:
        record = record_of(self.wanted, self.label, slot, self.observed, platform)
        return supplies.write_record(self.observed.bucket, self.names.record_key, record)

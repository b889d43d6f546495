"""The way back to the version before: an abort, a swap, or the former version deployed anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onnxport.deploy import steps
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import Names, Slot
from onnxport.deploy.observed import Environment, Observed, Version
from onnxport.deploy.plan import Plan, Step
from onnxport.deploy.slots import (
    Slots,
    find_slots,
    free_slot,
    refuse_busy,
    refuse_foreign,
    refuse_taken,
    slot_of,
)
from onnxport.deploy.tags import IMAGE, MODEL, slot_tags
from onnxport.deploy.wanted import Setting
from onnxport.errors import DeployError


@dataclass(frozen=True, slots=True)
class Goal:
    """What is gone back to. version: None where the record alone knows it."""

    label: str
    version: Version

    @property
    def model_digest(self) -> str:
        return self.version.tags.get(MODEL, "")

    @property
    def image_digest(self) -> str:
        return self.version.tags.get(IMAGE, "")


def plan_rollback(
    intent: Intent,
    names: Names,
    observed: Observed,
    settings: Sequence[Setting],
    *,
    moment: datetime,
    to: str | None = None,
    goes_on: bool = False,
    half_back: bool = False,
    known_model: str = "",
) -> Plan:
    """observed: with the tags of versions. settings: for an environment that has to be made. to: a label, else the
    version before. half_back: a rollback of ours broke off, and is gone on with. known_model: the digest of the model
    file that is here. Raises DeployError where there is nothing to go back to.
    """
    refuse_foreign(intent, names, observed)
    slots = find_slots(names, observed)
    back = _Back(intent, names, observed, slots, settings, moment, known_model)
    updating = next((each for each in slots.all if each.status == "Updating"), None)
    returned = back.returned(to) if half_back else None
    if returned:
        made = tuple(back.finish(returned))
        title = f"finish taking {intent.name} back to version {returned.version}"
    elif updating and to is None and (updating.is_abortable or not goes_on):
        made, title = tuple(back.abort(updating)), f"abort the update of {updating.name}"
    else:
        refuse_busy(slots, goes_on=goes_on)
        goal = back.goal(to)
        made = tuple(back.steps(goal))
        title = f"take {intent.name} back to version {goal.label}"
    where = f"account {observed.account.id}, {observed.account.region}, {observed.live.full}"
    return Plan("rollback", intent.app, title, where, made)


@dataclass(frozen=True, slots=True)
class _Back:
    intent: Intent
    names: Names
    observed: Observed
    slots: Slots
    settings: Sequence[Setting]
    moment: datetime
    known_model: str

    def abort(self, updating: Environment) -> Iterator[Step]:
        if not updating.is_abortable:
            raise DeployError(
                f"{updating.name} is Updating, and this update can't be aborted",
                remedy="wait until it is Ready (`onnxport status`), then run `onnxport rollback` again",
                resumable=True,
            )
        yield steps.abort(updating.name)

    def returned(self, to: str | None) -> Environment | None:
        """The live environment, where it has the version to go back to already, and that isn't written down."""
        live, record = self.slots.live, self.observed.record
        goal = to or (record.get("previous") or {}).get("version")
        if live is None or live.version != goal or record.get("version") == goal:
            return None
        return live if self.observed.version(goal) else None

    def finish(self, live: Environment) -> Iterator[Step]:
        """What a rollback does after the swap, or after the update."""
        version, other = self.observed.version(live.version), self.slots.other
        assert version is not None
        goal = Goal(version.label, version)
        left = other if other and other.version == self.observed.record.get("version") else None
        if not live.is_ready:
            yield steps.await_ready(live.name, f"it is {live.status}")
        yield self._verify(live.name, goal, commits=left is None)
        if left:
            yield from self._swap(goal, left, live.name)
        yield self._record(goal, slot_of(self.names, live), live.platform)

    def goal(self, to: str | None) -> Goal:
        """The label that is named, that of the other slot, that of the record, or the next older one."""
        live = self.slots.live
        if live is None:
            raise DeployError(
                f"{self.intent.name} isn't deployed", remedy="deploy it with `onnxport deploy`"
            )
        label = to or self._other_label(live) or self._recorded(live) or self._older(live)
        if label is None or label == live.version:
            told = (
                f"there is no version before {live.version}" if not to else f"{to} is live already"
            )
            raise DeployError(told, remedy="`onnxport status` lists the versions")
        found = self.observed.version(label)
        if found is None:
            raise DeployError(
                f"version {label} is gone", remedy="`onnxport status` lists those that are left"
            )
        return Goal(label, found)

    def _other_label(self, live: Environment) -> str | None:
        other = self.slots.other
        return other.version if other and other.is_ready and other.version != live.version else None

    def _recorded(self, live: Environment) -> str | None:
        record = self.observed.record
        previous: dict[str, Any] = record.get("previous") or {}
        if record.get("version") != live.version:  # the last deployment wasn't written down
            return record.get("version")
        label = previous.get("version")
        return label if self.observed.version(label) else None

    def _older(self, live: Environment) -> str | None:
        labels = [v.label for v in self.observed.versions if v.status.lower() != "failed"]
        if live.version not in labels:
            return None
        older = labels[labels.index(live.version) + 1 :]
        return older[0] if older else None

    def steps(self, goal: Goal) -> Iterator[Step]:
        live, other = self.slots.live, self.slots.other
        assert live is not None
        if other and other.version == goal.label:
            yield from self._swap_back(goal, live, other)
        elif self.intent.update.strategy == "bluegreen":
            yield from self._bluegreen(goal, live, other)
        else:
            yield from self._in_place(goal, live)

    def _swap_back(self, goal: Goal, live: Environment, other: Environment) -> Iterator[Step]:
        if not other.is_ready:
            yield steps.await_ready(other.name, f"it is {other.status}")
        yield self._verify(other.name, goal, commits=False)
        yield from self._swap(goal, live, other.name)
        yield self._record(goal, slot_of(self.names, other), other.platform)

    def _swap(self, goal: Goal, live: Environment, name: str) -> Iterator[Step]:
        yield steps.swap(name, live.name, self.observed.live.full, version=goal.label)
        yield steps.watch(
            name,
            seconds=self.intent.update.watch,
            model_digest=goal.model_digest,
            is_here=goal.model_digest == self.known_model,
        )
        if not self.intent.update.keep:
            yield steps.terminate(
                live.name, f"the one that is gone back from, {live.version}", idle=True
            )

    def _bluegreen(
        self, goal: Goal, live: Environment, other: Environment | None
    ) -> Iterator[Step]:
        if other:
            yield steps.terminate(
                other.name, f"the idle environment has version {other.version}", idle=True
            )
        elif not self.slots.ending:
            refuse_taken(self.observed.idle)
        slot: Slot = slot_of(self.names, other) if other else free_slot(self.names, self.slots)
        name = self.names.environment(slot)
        for ending in self.slots.ending:
            yield steps.await_gone(ending.name)
        yield steps.create_environment(
            name,
            f"{'/'.join(self.intent.instances.types)}, version {goal.label}",
            application=self.names.application,
            cname=self.names.idle_cname,
            version=goal.label,
            platform=self.observed.platform,
            settings=self.settings,
            tags=self._tags(goal, slot),
            idle=True,
        )
        yield self._verify(name, goal, commits=False)
        yield from self._swap(goal, live, name)
        yield self._record(goal, slot, self.observed.platform)

    def _in_place(self, goal: Goal, live: Environment) -> Iterator[Step]:
        slot = slot_of(self.names, live)
        yield steps.update_version(
            live.name,
            goal.label,
            f"by {self.intent.update.strategy}",
            former=live.version,
            tags=self._tags(goal, slot),
            former_tags=live.tags,
            idle=False,
        )
        yield self._verify(live.name, goal, commits=True)
        yield self._record(goal, slot, live.platform)

    def _tags(self, goal: Goal, slot: Slot) -> dict[str, str]:
        return slot_tags(self.intent, slot, model=goal.model_digest, image=goal.image_digest)

    def _verify(self, name: str, goal: Goal, *, commits: bool) -> Step:
        return steps.verify(
            name,
            latency_ms=self.intent.health.latency_ms,
            model_digest=goal.model_digest,
            commits=commits,
            is_here=goal.model_digest == self.known_model,
        )

    def _record(self, goal: Goal, slot: Slot, platform: str) -> Step:
        former = dict(self.observed.record)
        former.pop("previous", None)
        record = {
            "app": self.intent.app,
            "environment": self.names.environment(slot),
            "slot": slot,
            "version": goal.label,
            "image": goal.image_digest,
            "model_digest": goal.model_digest,
            "platform": platform,
            "strategy": self.intent.update.strategy,
            "deployed": self.moment.isoformat(timespec="seconds"),
            "previous": former or None,
        }
        return steps.write_record(self.observed.bucket, self.names.record_key, record)

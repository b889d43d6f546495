"""The way back to the version before: an abort, a swap, or the former version deployed anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onnxport.deploy import steps, supplies
from onnxport.deploy.intent import Intent
from onnxport.deploy.names import Names, Slot
from onnxport.deploy.observed import Environment, Observed, Version
from onnxport.deploy.plan import BrokenOff, Plan, Step
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
    """What is gone back to."""

    label: str
    version: Version

    def __str__(self) -> str:
        model = _model_of(self.version)
        return f"{model} (version {self.label})" if model else f"version {self.label}"

    @property
    def model_digest(self) -> str:
        return self.version.tags.get(MODEL, "")

    @property
    def image_digest(self) -> str:
        return self.version.tags.get(IMAGE, "")


def _model_of(version: Version) -> str:
    """Name and version of its model, from a description as `Wanted` writes it."""
    model, comma, _ = version.description.partition(", image ")
    return model if comma else ""


def plan_rollback(
    intent: Intent,
    names: Names,
    observed: Observed,
    settings: Sequence[Setting],
    *,
    moment: datetime,
    to: str | None = None,
    going_on: BrokenOff | None = None,
    known_model: str = "",
) -> Plan:
    """observed: with the tags of versions. settings: for an environment that has to be made. to: a label or a model's
    version, else the version before. going_on: a run of ours that is unfinished; a rollback is gone on with, whatever
    it has done already. known_model: the digest of the model file that is here. Raises DeployError where there is
    nothing to go back to.
    """
    refuse_foreign(intent, names, observed)
    slots = find_slots(names, observed)
    back = _Back(intent, names, observed, slots, settings, moment, known_model)
    updating = next((each for each in slots.all if each.status == "Updating"), None)
    live = slots.live
    run = going_on if going_on and live and _is_to_finish(going_on, live) else None
    label = back.label_of(to) if to else (run.goal if run else "")
    is_own = updating is not None and run is not None and run.is_doing(updating.name, updating.id)
    if run and live and live.version == label:
        goal = back.goal(label, is_live=True)
        made = tuple(back.finish(live, goal, run))
        title = f"finish taking {intent.name} back to {goal}"
    elif updating and not to and not is_own and (updating.is_abortable or going_on is None):
        goal, made = None, tuple(back.abort(updating))
        title = f"abort the update of {updating.name}"
    else:
        refuse_busy(slots, going_on)
        goal = back.goal(label)
        made, title = tuple(back.steps(goal)), f"take {intent.name} back to {goal}"
    where = f"account {observed.account.id}, {observed.account.region}, {observed.live.full}"
    before = (live.version if live else "") or ""
    to_label = goal.label if goal else ""
    return Plan("rollback", intent.app, title, where, made, goal=to_label, origin=before)


def _is_to_finish(run: BrokenOff, live: Environment) -> bool:
    """Whether a run is a rollback, and nobody has deployed since: live is what it came from, or what it goes to."""
    return run.kind == "rollback" and live.version in (run.goal, run.origin)


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

    def finish(self, live: Environment, goal: Goal, run: BrokenOff) -> Iterator[Step]:
        """What a rollback does after the swap, or after the update."""
        other = self.slots.other
        left = other if other and run.changed.get(other.name) == other.id else None
        is_fit = left is not None and left.is_ready and left.health != "Red"
        if not live.is_ready:
            yield steps.await_ready(live.name, f"it is {live.status}")
        if left and is_fit:
            yield self._point(goal, left, live.name)
        yield self._verify(live.name, goal, commits=not is_fit)
        if left:
            yield from self._watch_and_retire(goal, left, live.name)
        yield self._record(goal, slot_of(self.names, live), live.platform)

    def label_of(self, to: str) -> str:
        """The label that is meant by a label or by a model's version."""
        labels = [version.label for version in self.observed.versions]
        meant = [v.label for v in self.observed.versions if _model_of(v).endswith(f" {to}")]
        if to in labels:
            return to
        if not meant:
            raise DeployError(
                f"there is no version {to}", remedy="`onnxport status` lists those that are there"
            )
        if len(meant) > 1:
            raise DeployError(
                f"{len(meant)} versions hold a model of version {to}: {', '.join(meant)}",
                remedy="name one of them with --to",
            )
        return meant[0]

    def goal(self, to: str, *, is_live: bool = False) -> Goal:
        """The label that is given, else that of the other slot, that of the record, or the next older one. is_live: it
        may be live already.
        """
        live = self.slots.live
        if live is None:
            raise DeployError(
                f"{self.intent.name} isn't deployed", remedy="deploy it with `onnxport deploy`"
            )
        label = to or self._other_label(live) or self._recorded(live) or self._older(live)
        if label is None or (label == live.version and not is_live):
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
        yield self._point(goal, live, other.name)
        yield from self._watch_and_retire(goal, live, other.name)
        yield self._record(goal, slot_of(self.names, other), other.platform)

    def _point(self, goal: Goal, live: Environment, name: str) -> Step:
        return steps.swap(name, live.name, self.observed.live.full, version=goal.label)

    def _watch_and_retire(self, goal: Goal, live: Environment, name: str) -> Iterator[Step]:
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

    def _check_image(self, goal: Goal) -> Iterator[Step]:
        """An image elsewhere than in ECR can't be asked for from here."""
        repository = self.observed.repository
        if repository and goal.image_digest and not self.intent.image.repository:
            yield supplies.check_image(repository.name, goal.image_digest, goal.label)

    def _bluegreen(
        self, goal: Goal, live: Environment, other: Environment | None
    ) -> Iterator[Step]:
        yield from self._check_image(goal)
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
        yield self._point(goal, live, name)
        yield from self._watch_and_retire(goal, live, name)
        yield self._record(goal, slot, self.observed.platform)

    def _in_place(self, goal: Goal, live: Environment) -> Iterator[Step]:
        slot = slot_of(self.names, live)
        yield from self._check_image(goal)
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
        return supplies.write_record(self.observed.bucket, self.names.record_key, record)

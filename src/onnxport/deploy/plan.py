"""What a command is going to do to an account, as inert data: made by the planner, shown, and run by the executor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from onnxport.deploy import permissions
from onnxport.deploy.known_options import KEY_HASHES

Kind = Literal["deploy", "rollback", "destroy"]
Effect = Literal["add", "change", "remove", "look"]

_HIDDEN = "(hashes of keys)"
_SIGNS: dict[Effect, str] = {"add": "+", "change": "~", "remove": "-", "look": "?"}


@dataclass(frozen=True, slots=True)
class Undo:
    """What takes a step back. action: a row of the executor's table. permissions: IAM actions that it calls."""

    action: str
    arguments: Mapping[str, Any]
    title: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. action: a row of the executor's table; arguments: what it takes, as plain data.

    title: what is done, such as "create environment iris-blue". changes: what is different afterwards.
    permissions: IAM actions that it calls. undo: None where there is nothing to take back. commits: whether what was
    done up to here stays from then on, whatever fails later.
    """

    action: str
    title: str
    effect: Effect
    changes: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    permissions: tuple[str, ...] = ()
    undo: Undo | None = None
    commits: bool = False

    def to_json(self) -> dict[str, Any]:
        """The step as plain data."""
        return {
            "action": self.action,
            "title": self.title,
            "effect": self.effect,
            "changes": self.changes,
            "arguments": {name: _shown(value) for name, value in self.arguments.items()},
            "permissions": list(self.permissions),
            "undo": self.undo.title if self.undo else None,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in their order. title: one line on what it is all for. where: account and region.

    goal, origin: the labels of the version that is deployed, and of the one that is live before, if any. cost: lines on
    what it costs, as data and as text. notes: what the user should know before saying yes.
    """

    kind: Kind
    app: str
    title: str
    where: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    cost: Mapping[str, Any] | None = None
    cost_lines: tuple[str, ...] = ()
    goal: str = ""
    origin: str = ""

    @property
    def permissions(self) -> tuple[str, ...]:
        """All that the steps call, each once."""
        return tuple(sorted({name for step in self.steps for name in step.permissions}))

    @property
    def permissions_to_undo(self) -> tuple[str, ...]:
        """What taking the steps back calls, beyond what they call themselves."""
        undos = [step.undo for step in self.steps if step.undo]
        return tuple(
            sorted({name for undo in undos for name in undo.permissions} - {*self.permissions})
        )

    @property
    def reading(self) -> tuple[str, ...]:
        """What is called before the first step, and changes nothing."""
        return tuple(sorted((*permissions.READING, *permissions.MORE_READING[self.kind])))

    @property
    def is_harmless(self) -> bool:
        """Whether nothing in the account changes."""
        return all(step.effect == "look" for step in self.steps)

    @property
    def own_permissions(self) -> tuple[str, ...]:
        """Without those by whole services, which Elastic Beanstalk uses in the caller's name."""
        return tuple(name for name in self.permissions if not name.endswith(":*"))

    def to_json(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "kind": self.kind,
            "app": self.app,
            "title": self.title,
            "where": self.where,
            "steps": [step.to_json() for step in self.steps],
            "permissions": list(self.permissions),
            "permissions_to_undo": list(self.permissions_to_undo),
            "reading": list(self.reading),
            "notes": list(self.notes),
            "cost": dict(self.cost) if self.cost is not None else None,
        }

    def lines(self) -> Iterator[str]:
        """The plan for people: what they decide on stands last, beside the question."""
        yield self.title
        yield f"  {self.where}"
        if self.steps:
            yield ""
            yield from self._permission_lines()
        yield ""
        for number, step in enumerate(self.steps, start=1):
            yield f"  {number:>2} {_SIGNS[step.effect]} {step.title}"
            if step.changes:
                yield f"       {step.changes}"
        if self.steps:
            yield ""
            yield "  + new   ~ changed   - removed   ? only looked at"
            yield ""
        if not self.is_harmless:
            yield from self.cost_lines
        yield from (f"note: {note}" for note in self.notes)

    def _permission_lines(self) -> Iterator[str]:
        yield "permissions that the steps need:"
        yield from _permission_lines(self.own_permissions)
        yield from self._on_behalf()
        if self.permissions_to_undo:
            yield "permissions that taking them back, should one fail, needs as well:"
            yield from _permission_lines(self.permissions_to_undo)
        yield "permissions that looking at the account needs:"
        yield from _permission_lines(self.reading)

    def _on_behalf(self) -> Iterator[str]:
        services = [name.removesuffix(":*") for name in self.permissions if name.endswith(":*")]
        if services:
            yield f"  in your name Elastic Beanstalk uses {', '.join(services)} as well; the managed policy"
            yield "  AdministratorAccess-AWSElasticBeanstalk grants what it needs of them"


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A run that didn't come to its end. step: at which it broke off. kind: its command. goal, origin: the version that
    it was to deploy, and the one that was live before. made, changed: ids by name of the environments that it made, and
    of those that it began to change; also of runs before it that it went on with.
    """

    step: str
    kind: str
    goal: str
    origin: str
    made: Mapping[str, str]
    changed: Mapping[str, str]

    def is_doing(self, name: str, id: str) -> bool:
        """Whether what goes on in an environment was begun by that run: by its id, for others may have its name."""
        return id in (self.made.get(name), self.changed.get(name))


def _shown(value: Any) -> Any:
    """Option settings without the hashes of keys: a plan ends in logs of pipelines."""
    if not isinstance(value, list):
        return value
    return [
        {**one, "Value": _HIDDEN}
        if isinstance(one, dict) and one.get("OptionName") == KEY_HASHES
        else one
        for one in value
    ]


def _permission_lines(permissions: tuple[str, ...]) -> Iterator[str]:
    """IAM actions by service, so that a policy can be written from them."""
    services: dict[str, list[str]] = {}
    for permission in permissions:
        service, _, action = permission.partition(":")
        services.setdefault(service, []).append(action)
    for service, actions in services.items():
        yield f"  {service}: {', '.join(actions)}"

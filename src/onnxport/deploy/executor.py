"""Runs a plan: each step once and in order, written down before it is begun, and taken back if a later one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from onnxport.deploy.plan import Plan, Step, Undo
from onnxport.errors import DeployError, OnnxportError

Action = Callable[..., None]


class Log(Protocol):
    """Where lines are written before the deed."""

    def write(self, what: str, **facts: Any) -> None: ...

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """What goes on. number, of: which step, where one begins or ends. seconds: how long it took."""

    kind: Literal["step", "done", "undo", "undone", "kept"]
    text: str
    number: int = 0
    of: int = 0
    seconds: float = 0.0


Tell = Callable[[Told], None]


def run(plan: Plan, actions: Mapping[str, Action], journal: Log, tell: Tell) -> None:
    """Runs all steps.

    Raises what a step raised. Before that, what this run did since the last step that commits is taken back, unless
    nothing is wrong with the plan and the same command can go on later. A second failure is told, never hidden, and
    nothing is taken back after it. A KeyboardInterrupt leaves all as it is.
    """
    done: list[Step] = []
    for number, step in enumerate(plan.steps, start=1):
        tell(Told("step", step.title, number, len(plan.steps)))
        journal.write("start", step=step.title, number=number, name=step.arguments.get("name"))
        began = time.monotonic()
        try:
            actions[step.action](**step.arguments)
        except KeyboardInterrupt:
            journal.write("interrupted", step=step.title)
            tell(Told("kept", f"interrupted; nothing is taken back; {_again(plan)}"))
            raise
        except OnnxportError as err:
            journal.write("failed", step=step.title, error=str(err))
            raise _after(err, plan, step, done, actions, journal, tell) from err
        journal.write("done", step=step.title, number=number)
        tell(Told("done", step.title, number, len(plan.steps), time.monotonic() - began))
        done = [] if step.commits else [*done, step]
    journal.end()


def _again(plan: Plan) -> str:
    return f"run `onnxport {plan.kind}` again to go on from here"


def _after(
    err: OnnxportError,
    plan: Plan,
    step: Step,
    done: list[Step],
    actions: Mapping[str, Action],
    journal: Log,
    tell: Tell,
) -> OnnxportError:
    """What to raise, after taking back what should be."""
    if isinstance(err, DeployError) and err.resumable:
        tell(Told("kept", f"nothing is taken back; {_again(plan)}"))
        return err
    undos = [one.undo for one in reversed([*done, step]) if one.undo]
    if not undos:
        tell(Told("kept", f"there is nothing to take back; mend the cause, then {_again(plan)}"))
        journal.end()
        return err
    try:
        complaint = _take_back(undos, actions, journal, tell)
    except KeyboardInterrupt:
        journal.write("interrupted", step="taking back")
        tell(Told("kept", f"interrupted while taking back; {_again(plan)}"))
        raise
    if not complaint:
        journal.end()
        return err
    return DeployError(
        f"{err} -- and taking back failed: {complaint}",
        said=getattr(err, "said", ""),
        remedy=f"`onnxport status` shows what is there; mend the cause, then {_again(plan)}",
    )


def _take_back(undos: list[Undo], actions: Mapping[str, Action], journal: Log, tell: Tell) -> str:
    """Runs inverses, in this order. After one that fails the next would meet another state than it was made for: gives
    the complaint, and what wasn't done.
    """
    for number, undo in enumerate(undos):
        tell(Told("undo", undo.title))
        journal.write("undo", step=undo.title)
        try:
            actions[undo.action](**undo.arguments)
        except OnnxportError as err:
            left = ", ".join(each.title for each in undos[number + 1 :])
            return f"{undo.title}: {err}" + (f"; not taken back either: {left}" if left else "")
        journal.write("undone", step=undo.title)
        tell(Told("undone", undo.title))
    return ""

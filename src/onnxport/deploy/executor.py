"""Runs a plan: each step once and in order, written down before it is begun, and taken back if a later one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from onnxport.deploy.journal import Journal
from onnxport.deploy.plan import Plan, Step, Undo
from onnxport.errors import DeployError, OnnxportError

Action = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Told:
    """What goes on. number, of: which step, where one begins or ends. seconds: how long it took."""

    kind: Literal["step", "done", "undo", "undone", "kept"]
    text: str
    number: int = 0
    of: int = 0
    seconds: float = 0.0


Tell = Callable[[Told], None]


def run(plan: Plan, actions: Mapping[str, Action], journal: Journal, tell: Tell) -> None:
    """Runs all steps.

    Raises what a step raised. Before that, what this run did since the last step that commits is taken back, unless
    nothing is wrong with the plan and the same command can go on later. A second failure is told, never hidden.
    """
    done: list[Step] = []
    for number, step in enumerate(plan.steps, start=1):
        tell(Told("step", step.title, number, len(plan.steps)))
        journal.write("start", step=step.title, number=number)
        began = time.monotonic()
        try:
            actions[step.action](**step.arguments)
        except KeyboardInterrupt:
            journal.write("interrupted", step=step.title)
            raise
        except OnnxportError as err:
            journal.write("failed", step=step.title, error=str(err))
            raise _after(err, plan, step, done, actions, journal, tell) from err
        journal.write("done", step=step.title, number=number)
        tell(Told("done", step.title, number, len(plan.steps), time.monotonic() - began))
        done = [] if step.commits else [*done, step]
    journal.end()


def _after(
    err: OnnxportError,
    plan: Plan,
    step: Step,
    done: list[Step],
    actions: Mapping[str, Action],
    journal: Journal,
    tell: Tell,
) -> OnnxportError:
    """What to raise, after taking back what should be."""
    again = f"run `onnxport {plan.kind}` again to go on from here"
    if isinstance(err, DeployError) and err.resumable:
        tell(Told("kept", f"nothing is taken back; {again}"))
        return err
    undoable = [one for one in (*done, step) if one.undo]
    if not undoable:
        tell(Told("kept", f"there is nothing to take back; mend the cause, then {again}"))
        journal.end()
        return err
    left = _take_back(undoable, actions, journal, tell)
    if not left:
        journal.end()
        return err
    return DeployError(
        f"{err} -- and taking back failed: {'; '.join(left)}",
        said=getattr(err, "said", ""),
        remedy="`onnxport destroy` removes what is left, `onnxport status` shows it",
    )


def _take_back(
    done: list[Step], actions: Mapping[str, Action], journal: Journal, tell: Tell
) -> list[str]:
    """Runs the inverse of each step, the last one first; gives the complaints of those that fail."""
    complaints = []
    for step in reversed(done):
        undo = step.undo
        if undo is not None and (complaint := _undo(undo, actions, journal, tell)):
            complaints.append(complaint)
    return complaints


def _undo(undo: Undo, actions: Mapping[str, Action], journal: Journal, tell: Tell) -> str:
    tell(Told("undo", undo.title))
    journal.write("undo", step=undo.title)
    try:
        actions[undo.action](**undo.arguments)
    except OnnxportError as err:
        return str(err)
    journal.write("undone", step=undo.title)
    tell(Told("undone", undo.title))
    return ""

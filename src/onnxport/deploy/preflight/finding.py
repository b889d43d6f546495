"""What one check says: what it looked at, what came out, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["ok", "warning", "failed", "skipped"]

_TOLD = 3  # faults of one check


@dataclass(frozen=True, slots=True)
class Finding:
    """id: P01 to P54. looked_at: what was looked at and what was found; of a skipped check, why it can't be made.

    fix: one sentence, or "" where there is nothing to mend. lacks: the part that a skipped check needs, of "model",
    "image", "engine" and "account", or "".
    """

    id: str
    title: str
    outcome: Outcome
    looked_at: str
    fix: str = ""
    lacks: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        fix = f"; {self.fix}" if self.fix else ""
        return f"{self.id}  {self.outcome:<7}  {self.title}: {self.looked_at}{fix}"


@dataclass(frozen=True, slots=True)
class Said:
    """A finding before it has its id and title."""

    outcome: Outcome
    looked_at: str
    fix: str = ""
    lacks: str = ""


def ok(looked_at: str) -> Said:
    return Said("ok", looked_at)


def warning(looked_at: str, fix: str) -> Said:
    return Said("warning", looked_at, fix)


def failed(looked_at: str, fix: str) -> Said:
    return Said("failed", looked_at, fix)


def skipped(why: str, fix: str = "", lacks: str = "") -> Said:
    return Said("skipped", why, fix, lacks)


def judged(faults: Iterable[str], fine: str, fix: str) -> Said:
    """Failed where there are faults, of which a few are told; else ok."""
    found = list(dict.fromkeys(faults))
    if not found:
        return ok(fine)
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return failed("; ".join(found[:_TOLD]) + more, fix)

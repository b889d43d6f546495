"""What all processes have counted so far, put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnxport.bench.tally import BUSY, WRONG, Phase, Slot


@dataclass(slots=True)
class Record:
    """total: of the test's requests, whenever their answers came; wrong answers of the warm-up are in it too.

    slot: the length of a stretch, in seconds. slots: the test's stretches by index. arrived, sent, received: right
    answers and bytes within the test's time.
    """

    slot: float
    total: Slot = field(default_factory=lambda: Slot("test"))
    slots: dict[int, Slot] = field(default_factory=dict)
    phase: Phase = "warm-up"
    arrived: int = 0
    sent: int = 0
    received: int = 0

    def add(self, slot: Slot) -> None:
        """Counts a stretch of one process."""
        self.total.merge(slot)
        if slot.phase == "test":
            self.arrived += slot.arrived
            self.sent += slot.sent
            self.received += slot.received
            self.slots.setdefault(slot.index, Slot("test", slot.index)).merge(slot)
        if self.phase == "warm-up" or slot.phase == "end":
            self.phase = slot.phase

    @property
    def seconds(self) -> float:
        """How far the test is."""
        return (max(self.slots, default=-1) + 1) * self.slot

    @property
    def requests(self) -> int:
        """Right, wrong, refused, failed and never sent."""
        return self.total.right + self.total.failed.total()

    @property
    def wrong(self) -> int:
        return self.total.failed[WRONG]

    @property
    def busy(self) -> int:
        """Answers of 503 with Retry-After: the server's own word that it can't."""
        return self.total.failed[BUSY]

    @property
    def failures(self) -> dict[str, int]:
        """The other failures by kind, the most frequent first."""
        counted = self.total.failed.most_common()
        return {kind: count for kind, count in counted if kind not in (WRONG, BUSY) and count}

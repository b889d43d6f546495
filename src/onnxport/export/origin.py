"""Where a computed column came from, so that rows can be placed exactly on the split points behind
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Origin:
    """column = (feature - shift) / scale, approximately: good enough to find the rows around a
    split point.
    """

    feature: str
    shift: float = 0.0
    scale: float = 1.0

    @property
    def raw(self) -> bool:
        return self.shift == 0.0 and self.scale == 1.0

    def scaled(self, shift: float, scale: float) -> Origin:
        """The origin after (column - shift) / scale."""
        return replace(self, shift=self.shift + shift * self.scale, scale=self.scale * scale)

    def invert(self, value: float) -> float:
        """The feature's value at which the column has this value."""
        return value * self.scale + self.shift

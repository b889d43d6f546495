"""Times in a bounded number of buckets, none wider than 1/128 of its times (Gil Tene's HdrHistogram, in short).

Below 256 ns a bucket holds one value; above, each power of two is cut into 128 equal buckets. A percentile is told as
the middle of its bucket, and so within 0.4 % of the time that was measured; the largest time and the mean are exact.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

_BITS = 8
_HALF = 1 << (_BITS - 1)
RELATIVE_ERROR = 0.5 / _HALF


@dataclass(slots=True)
class Histogram:
    """Times in nanoseconds. beyond: how many have no end, and so are longer than any that was measured."""

    counts: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    total: int = 0
    longest: int = 0
    beyond: int = 0

    def add(self, nanoseconds: int) -> None:
        """Counts one time, which must not be negative."""
        shift = max(nanoseconds.bit_length() - _BITS, 0)
        self.counts[(shift << (_BITS - 1)) + (nanoseconds >> shift)] += 1
        self.total += nanoseconds
        if nanoseconds > self.longest:
            self.longest = nanoseconds

    def merge(self, other: Histogram) -> None:
        """Counts all of the other's times too."""
        for place, count in other.counts.items():
            self.counts[place] += count
        self.total += other.total
        self.longest = max(self.longest, other.longest)
        self.beyond += other.beyond

    @property
    def count(self) -> int:
        """How many times were measured."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Of the measured times, in nanoseconds; NaN where there is none."""
        return self.total / self.count if self.counts else math.nan

    def percentile(self, share: float) -> float:
        """The time, in nanoseconds, that `share` percent of all don't exceed (the nearest rank). Infinite where
        it falls on those that have no end, NaN where there is nothing.
        """
        measured = self.count
        rank = max(math.ceil(share / 100 * (measured + self.beyond)), 1)
        if rank > measured:
            return math.inf if self.beyond else math.nan
        for low, width, count in self.buckets():
            rank -= count
            if rank <= 0:
                return min(low + (width - 1) / 2, self.longest)
        raise AssertionError("the buckets hold fewer times than they count")

    def buckets(self) -> Iterator[tuple[int, int, int]]:
        """The buckets that hold something, in order: their lowest time, their width, their count."""
        for place in sorted(self.counts):
            shift = max((place >> (_BITS - 1)) - 1, 0)
            yield (place - (shift << (_BITS - 1))) << shift, 1 << shift, self.counts[place]

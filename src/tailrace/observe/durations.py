"""How often something took how long: counts in buckets that double, from nanoseconds to centuries.

A duration of n nanoseconds is counted at index n.bit_length(), so at index i are those below 2**i. Adding one costs two
list items.
Not its business: clocks, quantiles, text.
"""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 64
"""2**63 ns is 292 years: whatever a clock gives has a bucket."""
SUM: Final = BUCKETS
"""Where the list keeps the sum of all durations, in nanoseconds."""


class Durations:
    """One histogram. `counts` is its list: a count for each bucket, then the sum."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * (BUCKETS + 1)

    def add(self, duration_ns: int, weight: int = 1) -> None:
        """Count one, of `duration_ns` >= 0, that stands for as many as `weight`."""
        counts = self.counts
        counts[duration_ns.bit_length()] += weight
        counts[SUM] += duration_ns * weight

    def add_ms(self, duration_ms: float) -> None:
        """Count one, of `duration_ms` >= 0."""
        self.add(int(duration_ms * 1e6))

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts) - self.counts[SUM]

    @property
    def sum_ns(self) -> int:
        """All of them together."""
        return self.counts[SUM]

    def count_below(self, bits: int) -> int:
        """How many were shorter than 2**bits nanoseconds."""
        return sum(self.counts[: bits + 1])

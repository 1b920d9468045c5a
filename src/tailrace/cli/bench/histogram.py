"""Latencies counted in buckets whose width grows with the value: the layout of HdrHistogram, three significant digits.

Invariant: a value read back (`percentile_us`, `max_us`) is at most 0.1 % above the one recorded, and memory does not
grow with the number of values. Not for more than one thread.

    value          0 .. 2047   2048 .. 4095   4096 .. 8191   ...
    bucket width   1           2              4

The hdrhistogram package does the same, with setuptools as a dependency and 3 us a value where this costs 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

PRECISION_BITS: Final = 10
"""A value keeps its first 11 binary digits: 1 part in 1,024."""

HIGHEST_US: Final = 3_600_000_000
"""An hour. What is longer counts as that: a benchmark that waits for longer has ended."""


class Percentile(NamedTuple):
    """A point of the distribution: `percent` of the values are at most `value_us`; `here` of them are in its bucket."""

    percent: float
    value_us: int
    here: int


def bucket_of(value_us: int) -> int:
    """The index of the bucket of a value >= 0. Buckets are in the order of their values."""
    shift = value_us.bit_length() - PRECISION_BITS - 1
    return value_us if shift <= 0 else (shift << PRECISION_BITS) + (value_us >> shift)


def highest_of(bucket: int) -> int:
    """The highest value that falls into a bucket."""
    shift = (bucket >> PRECISION_BITS) - 1
    if shift <= 0:
        return bucket
    return ((bucket - (shift << PRECISION_BITS) + 1) << shift) - 1


class Histogram:
    """Microseconds, counted. Values below 0 count as 0, those above `HIGHEST_US` as that."""

    __slots__ = ("_counts", "count", "max_us", "total_us")

    def __init__(self) -> None:
        self._counts = [0] * (bucket_of(HIGHEST_US) + 1)
        self.count = 0
        self.total_us = 0
        self.max_us = 0

    def record_us(self, value_us: int) -> None:
        """Count one value."""
        value_us = min(max(value_us, 0), HIGHEST_US)
        self._counts[bucket_of(value_us)] += 1
        self.count += 1
        self.total_us += value_us
        if value_us > self.max_us:
            self.max_us = value_us

    def record_ms(self, value_ms: float) -> None:
        """Count one value given in milliseconds."""
        self.record_us(int(value_ms * 1000))

    @property
    def mean_us(self) -> float:
        """The mean of the values as they were recorded; 0 when there are none."""
        return self.total_us / self.count if self.count else 0.0

    def percentile_us(self, percent: float) -> int:
        """The value that `percent` (0 to 100) of the values do not exceed; 0 when there are none."""
        return self.percentiles_us([percent])[0]

    def percentiles_us(self, percents: Sequence[float]) -> list[int]:
        """`percentile_us` of each, in one pass. `percents` must rise."""
        found: list[int] = []
        for bucket, seen in self._cumulative():
            while len(found) < len(percents) and seen >= self._rank(percents[len(found)]):
                found.append(min(highest_of(bucket), self.max_us))
        return found + [self.max_us] * (len(percents) - len(found))

    def distribution(self) -> Iterator[Percentile]:
        """Every bucket that holds values, with what share of them is at or below it."""
        for bucket, seen in self._cumulative():
            value_us = min(highest_of(bucket), self.max_us)
            yield Percentile(seen / self.count * 100, value_us, self._counts[bucket])

    def add(self, other: Histogram) -> None:
        """Count every value of `other` here too."""
        for bucket, count in enumerate(other._counts):
            if count:
                self._counts[bucket] += count
        self.count += other.count
        self.total_us += other.total_us
        self.max_us = max(self.max_us, other.max_us)

    def _rank(self, percent: float) -> int:
        """How many values a percentile covers: at least one, rounded up."""
        return max(1, math.ceil(round(self.count * percent / 100, 6)))

    def _cumulative(self) -> Iterator[tuple[int, int]]:
        """(bucket, values up to and with it) of every bucket that is not empty."""
        seen = 0
        for bucket, count in enumerate(self._counts):
            if count:
                seen += count
                yield bucket, seen

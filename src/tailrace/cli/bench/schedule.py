"""When each record of an open loop is due, whatever the cluster does meanwhile.

Invariant: record n is due `n / rate` seconds after the start, fixed before anything is sent. A client that falls
behind sends late and counts from the time the record was due, so a stall of the broker shows in every record it
delayed and not in one: this is what "coordinated omission" leaves out. Pure: it reads no clock and sleeps nowhere.
"""

from __future__ import annotations

from typing import Final

BURST_RECORDS_MAX: Final = 1000
"""Records handed out at once after a stall, so that the sender looks at its answers in between."""


class Schedule:
    """Due times of `rate_per_s` records a second for `duration_ms`, beginning at `start_ms`."""

    def __init__(self, rate_per_s: float, duration_ms: float, start_ms: float) -> None:
        assert rate_per_s > 0 and duration_ms > 0
        self.rate_per_s = rate_per_s
        self.start_ms = start_ms
        self.total = max(1, int(rate_per_s * duration_ms / 1000))
        self.given = 0

    @property
    def done(self) -> bool:
        """Whether every record has been handed out."""
        return self.given >= self.total

    def due_ms(self, index: int) -> float:
        """When record `index`, from 0, is due."""
        return self.start_ms + index * 1000 / self.rate_per_s

    def take(self, now_ms: float) -> range:
        """The indexes of the records that are due by `now_ms` and were not handed out; few enough for one go."""
        due = int((now_ms - self.start_ms) * self.rate_per_s / 1000) + 1 if now_ms >= self.start_ms else 0
        first = self.given
        self.given = max(first, min(due, self.total, first + BURST_RECORDS_MAX))
        return range(first, self.given)

    def wait_ms(self, now_ms: float) -> float:
        """Milliseconds until the next record is due; 0 when one is late, or none is left."""
        return 0.0 if self.done else max(0.0, self.due_ms(self.given) - now_ms)

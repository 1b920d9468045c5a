"""Time, passed in. The only module of the package that reads the machine's clocks; tests use `ManualClock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Two readings of time. Both are milliseconds."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC; may jump. For timestamps that leave the process."""
        ...

    def monotonic_ms(self) -> float:
        """Milliseconds since an arbitrary point; never goes back. For deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        return time.monotonic_ns() / 1e6


def nanoseconds_of(clock: Clock) -> Callable[[], int]:
    """What gives a clock's monotonic time in nanoseconds, at the least cost: for what is measured all the time."""
    return time.monotonic_ns if isinstance(clock, SystemClock) else lambda: int(clock.monotonic_ms() * 1e6)


def utc(seconds: float | None = None) -> time.struct_time:
    """Seconds since 1970 as a date and a time of day, UTC; of this moment without them."""
    return time.gmtime(seconds)


class ManualClock:
    """A clock that moves when told to. Both readings advance together."""

    __slots__ = ("_now_ms",)

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = float(start_ms)

    def advance(self, delta_ms: float) -> None:
        """Move forward by `delta_ms` >= 0 milliseconds."""
        assert delta_ms >= 0
        self._now_ms += delta_ms

    def wall_ms(self) -> int:
        return int(self._now_ms)

    def monotonic_ms(self) -> float:
        return self._now_ms

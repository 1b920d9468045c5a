"""How fast a cleaning may go: the setting `log.cleaner.io.max.bytes.per.second`, and leaving the interpreter to others.

A thread that computes keeps the loop's thread waiting for the interpreter, up to 5 ms each time the loop comes back
from the kernel, which it does several times a request. So the cleaner works in short slices and sleeps in between: the
loop then waits one slice at most, and most of the time not at all.
Not its business: what is read. Source of the throttle: Kafka Throttler.
"""

from __future__ import annotations

from threading import Event
from typing import Final

from tailrace.base.clock import Clock

SLICE_MS: Final = 0.2
REST_MS: Final = 0.3
"""The cleaner works for SLICE_MS and rests for REST_MS, if the machine lets it sleep that short. Longer slices show in
the p99 of a busy loop, longer rests make the cleaner fall behind (bench/bench_compaction.py)."""

_UNLIMITED: Final = 1e18


class CleaningInterrupted(Exception):
    """The log is being truncated, deleted or closed, or is not to be compacted any more."""


class Pace:
    """Makes the cleaner's thread wait where it is too fast, and stop where it was told to."""

    __slots__ = ("_bytes_per_second", "_clock", "_due_ms", "_interrupted", "_rested_ms")

    def __init__(self, bytes_per_second: float, clock: Clock, interrupted: Event) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._interrupted = interrupted
        self._rested_ms = self._due_ms = clock.monotonic_ms()

    def breathe(self) -> None:
        """To be called every few microseconds of work. Raises CleaningInterrupted."""
        if self._interrupted.is_set():
            raise CleaningInterrupted
        if self._clock.monotonic_ms() - self._rested_ms >= SLICE_MS:
            self._rest(REST_MS)

    def spend(self, byte_count: int) -> None:
        """Account for bytes read or written; waits until they are within the limit. Raises CleaningInterrupted."""
        if self._bytes_per_second >= _UNLIMITED:
            return
        now_ms = self._clock.monotonic_ms()
        self._due_ms = max(self._due_ms, now_ms - 1000.0) + byte_count * 1000.0 / self._bytes_per_second
        if self._due_ms > now_ms:
            self._rest(self._due_ms - now_ms)

    def _rest(self, duration_ms: float) -> None:
        if self._interrupted.wait(duration_ms / 1000.0):
            raise CleaningInterrupted
        self._rested_ms = self._clock.monotonic_ms()

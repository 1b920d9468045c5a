"""How far a long transfer has come: a bar on stderr when that is a terminal, and the sums for the closing line."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final, Protocol

from tailrace.base.clock import Clock, SystemClock
from tailrace.cli.output import plural, size_text

REFRESH_INTERVAL_MS: Final = 100.0
"""How often the bar is told: often enough for the eye, rarely enough to cost nothing."""


class Bar(Protocol):
    """What draws. `total` is in the unit of `done`; None when it is not known."""

    def start(self) -> None: ...

    def show(self, done: int, text: str) -> None: ...

    def stop(self) -> None: ...


class Transfer:
    """Counts records and bytes that moved. Use as a context manager; the bar is gone afterwards."""

    def __init__(self, label: str, total: int | None, *, visible: bool, clock: Clock | None = None) -> None:
        self.records = 0
        self.record_bytes = 0
        self._done = 0
        self._clock = clock or SystemClock()
        self._started_ms = self._clock.monotonic_ms()
        self._shown_ms = self._started_ms
        self._bar: Bar | None = _bar_on_terminal(label, total) if visible else None

    def __enter__(self) -> Transfer:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, record_bytes: int, progress: int) -> None:
        """One record of `record_bytes` moved; the bar goes on by `progress` of its unit."""
        self.records += 1
        self.record_bytes += record_bytes
        self._done += progress
        if self._bar:
            now_ms = self._clock.monotonic_ms()
            if now_ms - self._shown_ms >= REFRESH_INTERVAL_MS:
                self._shown_ms = now_ms
                self._bar.show(self._done, f"{plural(self.records, 'record')}  {self._rate()}")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the transfer began."""
        return (self._clock.monotonic_ms() - self._started_ms) / 1000

    def summary(self) -> str:
        """`1,000 records (64.0 KB) in 0.52 s, 1,923 records/s`."""
        moved = f"{plural(self.records, 'record')} ({size_text(self.record_bytes)})"
        return f"{moved} in {self.elapsed_s:.2f} s, {self._rate()}"

    def _rate(self) -> str:
        elapsed_s = max(self.elapsed_s, 1e-3)
        return f"{self.records / elapsed_s:,.0f} records/s, {size_text(self.record_bytes / elapsed_s)}/s"


def _bar_on_terminal(label: str, total: int | None) -> Bar | None:
    if not sys.stderr.isatty():
        return None
    from tailrace.cli.drawing import RichBar  # start-up time: rich costs 80 ms

    return RichBar(label, total)

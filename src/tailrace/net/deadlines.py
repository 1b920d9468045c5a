"""Deadlines of one connection that progress pushes back.

Progress costs one store: the timer stays where it is and, when it comes up, is moved to where progress has put the
deadline.
Invariant: fires no earlier than `ms` after the turn of the last progress, and at most a tick later than that.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.net.selector import PollerSelector
from tailrace.net.timers import Timer


class Deadline:
    """Calls `expired` once when nothing has touched it for the time it was set to."""

    __slots__ = ("_expired", "_ms", "_selector", "_timer", "touched_ms")

    def __init__(self, selector: PollerSelector, expired: Callable[[], object]) -> None:
        self._selector = selector
        self._expired = expired
        self._ms: float | None = None
        self._timer: Timer | None = None
        self.touched_ms = 0.0
        """The selector's `turn_ms` at the last progress; store it there to push the deadline back."""

    def set(self, ms: float | None) -> None:
        """Count `ms` milliseconds from this moment; None: stop."""
        self._ms = ms
        if ms is None:
            if self._timer is not None:
                self._timer.cancel()
            return
        self.touched_ms = self._selector.clock.monotonic_ms()
        if self._timer is None:
            self._timer = self._selector.timers.schedule(ms, self._reached)
        else:
            self._timer.reset(ms)

    def _reached(self) -> None:
        assert self._ms is not None and self._timer is not None
        left_ms = self.touched_ms + self._ms - self._selector.clock.monotonic_ms()
        if left_ms > 0:
            self._timer.reset(left_ms)
        else:
            self._ms = None
            self._expired()


class Deadlines:
    """Both directions of a connection. Writing counts only while bytes are queued."""

    __slots__ = ("read", "write", "write_ms")

    def __init__(
        self, selector: PollerSelector, read_expired: Callable[[], object], write_expired: Callable[[], object]
    ) -> None:
        self.read = Deadline(selector, read_expired)
        self.write = Deadline(selector, write_expired)
        self.write_ms: float | None = None

    def cancel(self) -> None:
        """Stop both."""
        self.read.set(None)
        self.write.set(None)

"""What a broker knows of its lease by its own clock. Pure.

Invariant: it stops counting on the lease before the store lets another have it, because its time began when the renewal
was sent and the store's when it arrived, and a part of it is kept back for clocks that do not run alike.
"""

from __future__ import annotations

from typing import Final

KEPT_BACK: Final = 0.1
"""Part of the session that a broker does not use."""

LATE: Final = 0.5
"""Part of the session within which an answer is in time to take up service on."""


class Session:
    """The lease of one broker. Times are ms of one monotonic clock."""

    def __init__(self, timeout_ms: float) -> None:
        self._timeout_ms = timeout_ms
        self.deadline_ms: float | None = None
        """Until when the lease counts as held; None before it was, and after it was lost."""

    def on_renewed(self, sent_ms: float, now_ms: float) -> None:
        """A renewal that was sent at `sent_ms` was granted. They may come out of order.

        A late answer goes on with a lease that is held, and begins none: little is left of it, so that the broker would
        serve for a moment and be fenced again.
        """
        if not self.is_held(now_ms) and now_ms - sent_ms > self._timeout_ms * LATE:
            return
        deadline_ms = sent_ms + self._timeout_ms * (1 - KEPT_BACK)
        self.deadline_ms = deadline_ms if self.deadline_ms is None else max(self.deadline_ms, deadline_ms)

    def on_lost(self) -> None:
        """Another holds the lease."""
        self.deadline_ms = None

    def is_held(self, now_ms: float) -> bool:
        """Whether the broker may count on its lease."""
        return self.deadline_ms is not None and now_ms < self.deadline_ms

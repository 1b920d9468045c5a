"""Who waits until an offset of a partition is committed: producers with acks=all, and the coordinators.

Invariant: each callback runs exactly once, unless it is cancelled: with None when the high watermark has reached its
offset, or with the code that says why that will not happen. In the order of their coming: an answer for a smaller
offset, which is a retry's, is given no earlier than those before it.
Not its business: deadlines (who waits has a timer and cancels), what moves the high watermark.
Source: Kafka DelayedProduce, DelayedOperationPurgatory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from tailrace.base.errors import ErrorCode

Told = Callable[[ErrorCode | None], object]


class CommitWaits:
    """Those who wait on one partition."""

    __slots__ = ("_by_ticket", "_next_ticket")

    def __init__(self) -> None:
        self._by_ticket: OrderedDict[int, tuple[int, Told]] = OrderedDict()
        self._next_ticket = 0

    def __len__(self) -> int:
        return len(self._by_ticket)

    def add(self, offset: int, told: Told) -> int:
        """Tell when everything below `offset` is committed. Answers a ticket for `cancel`."""
        self._next_ticket += 1
        self._by_ticket[self._next_ticket] = offset, told
        return self._next_ticket

    def cancel(self, ticket: int) -> None:
        """Tell nothing; harmless when it was told."""
        self._by_ticket.pop(ticket, None)

    def on_high_watermark(self, high_watermark: int) -> None:
        """Everything below `high_watermark` is committed."""
        waiting = self._by_ticket
        while waiting:
            ticket, (offset, told) = next(iter(waiting.items()))
            if offset > high_watermark:
                return
            del waiting[ticket]
            told(None)

    def fail(self, code: ErrorCode) -> None:
        """Nothing that is waited for will come."""
        waiting, self._by_ticket = self._by_ticket, OrderedDict()
        for _, told in waiting.values():
            told(code)

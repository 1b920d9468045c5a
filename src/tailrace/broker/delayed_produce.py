"""A Produce that is appended and waits to be committed: answered when each of its partitions is, or has failed.

Invariant: the answer is given once, with a code of its own for each partition; one that is not committed within the
request's timeout is REQUEST_TIMED_OUT, though its records stay in the log and may yet be committed.
Source: Kafka DelayedProduce.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.net.timers import Timer, TimingWheel
from tailrace.replication.partition import Partition
from tailrace.wire.messages.produce import PartitionProduceResponse, ProduceResponse


@dataclass(frozen=True, slots=True, eq=False)
class CommitWait:
    """One partition's share of a Produce: everything below `offset` must be committed before `answer` is true."""

    partition: Partition
    offset: int
    answer: PartitionProduceResponse


def delay(
    response: ProduceResponse, waits: Sequence[CommitWait], timers: TimingWheel, timeout_ms: int
) -> ProduceResponse | Pending[ProduceResponse]:
    """`response` when all of `waits` have ended, which may be at once, or after `timeout_ms`."""
    delayed = _DelayedProduce(response, waits)
    if delayed.pending.done:
        return response
    delayed.timer = timers.schedule(max(timeout_ms, 0), delayed.on_timeout)
    return delayed.pending


class _DelayedProduce:
    """One request on its way."""

    __slots__ = ("_response", "_waiting", "pending", "timer")

    def __init__(self, response: ProduceResponse, waits: Sequence[CommitWait]) -> None:
        self._response = response
        self._waiting = dict.fromkeys(waits, 0)  # each with its ticket
        self.pending: Pending[ProduceResponse] = Pending()
        self.timer: Timer | None = None
        for wait in waits:
            ticket = wait.partition.wait_committed(wait.offset, partial(self._on_committed, wait))
            if wait in self._waiting:
                self._waiting[wait] = ticket

    def _on_committed(self, wait: CommitWait, code: ErrorCode | None) -> None:
        if code is not None:
            wait.answer.error_code = code
            wait.answer.base_offset = -1
        del self._waiting[wait]
        if not self._waiting:
            self._complete()

    def on_timeout(self) -> None:
        """Answer as far as it has come. Base offsets stay: the records are in the log."""
        for wait, ticket in self._waiting.items():
            wait.partition.cancel_wait(ticket)
            wait.answer.error_code = ErrorCode.REQUEST_TIMED_OUT
        self._waiting.clear()
        self._complete()

    def _complete(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.pending.complete(self._response)

"""A DeleteRecords that waits for the followers: answered when they have deleted as well, or the time is over.

Invariant: the answer is given once; a partition that is not done by then has a code of its own.
Source: Kafka DelayedDeleteRecords.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.net.timers import Timer, TimingWheel
from tailrace.wire.messages.delete_records import DeleteRecordsPartitionResult

if TYPE_CHECKING:  # start-up time: most brokers have no replicated partition
    from tailrace.replication.leader_role import LeaderRole


class FollowerWaits:
    """The partitions of one request whose followers have something to delete."""

    def __init__(self) -> None:
        self._waiting: dict[int, DeleteRecordsPartitionResult] = {}
        """By id(): those that are not done."""
        self._answer: Pending[None] | None = None
        self._timer: Timer | None = None

    @property
    def all_told(self) -> bool:
        """Whether nothing has to be waited for."""
        return not self._waiting

    def add(self, role: LeaderRole, result: DeleteRecordsPartitionResult) -> None:
        """Wait until the followers' logs start where `result` says."""
        self._waiting[id(result)] = result
        role.wait_log_start(result.low_watermark, self._teller(result))

    def begin(self, timers: TimingWheel, timeout_ms: int) -> Pending[None]:
        """Completes when everybody is done, or after `timeout_ms`; results that are not done have their code then."""
        self._answer = Pending()
        self._timer = timers.schedule(max(timeout_ms, 0), self._on_time)
        return self._answer

    def _teller(self, result: DeleteRecordsPartitionResult) -> Callable[[ErrorCode | None], None]:
        def told(code: ErrorCode | None) -> None:
            if self._waiting.pop(id(result), None) is None:
                return
            if code is not None:
                _refuse(result, code)
            if not self._waiting and self._answer is not None:
                self._end()

        return told

    def _on_time(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for result in waiting.values():
            _refuse(result, ErrorCode.REQUEST_TIMED_OUT)
        self._end()

    def _end(self) -> None:
        assert self._answer is not None and self._timer is not None
        self._timer.cancel()
        self._answer.complete(None)


def _refuse(result: DeleteRecordsPartitionResult, code: ErrorCode) -> None:
    result.low_watermark, result.error_code = -1, code

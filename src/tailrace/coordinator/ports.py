"""What a coordinator needs from outside: a log to append to and load from, and timers.

Everything runs in the loop's thread. Nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending


class CoordinatorRecord(NamedTuple):
    """One record of an internal topic. `value` None is a tombstone."""

    key: bytes
    value: bytes | None


class InTransaction(NamedTuple):
    """Whose transaction a write is a part of. `verification` is the partition's word that its coordinator knows."""

    producer_id: int
    producer_epoch: int
    verification: int = 0


class TransactionalRecord(NamedTuple):
    """A record that was written in a transaction: it counts when the producer's next marker says commit."""

    producer_id: int
    record: CoordinatorRecord


class TransactionEnd(NamedTuple):
    """A marker: everything the producer wrote since its last one counts, or does not."""

    producer_id: int
    is_commit: bool


LogEntry = CoordinatorRecord | TransactionalRecord | TransactionEnd


class PartitionWriter(Protocol):
    """Appends to the partitions of the coordinator's topic that this broker leads."""

    def append(
        self, partition: int, records: list[CoordinatorRecord], transaction: InTransaction | None = None
    ) -> Pending[ErrorCode | None]:
        """Append `records` as one batch, all or none; with `transaction` as a part of that.

        Completes when they are committed (None) or refused (why). Appends to one partition complete in order.
        """
        ...


class PartitionLoader(Protocol):
    """Reads a partition of the coordinator's topic when this broker becomes its leader."""

    def records(self, partition: int) -> Iterator[LogEntry]:
        """Every committed record and marker from the start of the log, in order."""
        ...


class TimerHandle(Protocol):
    """One timer."""

    def cancel(self) -> None:
        """Do not fire. Harmless when it fired or was cancelled."""
        ...

    def reset(self, delay_ms: float) -> None:
        """Fire `delay_ms` from this moment instead, whatever happened before."""
        ...


class Timers(Protocol):
    """Calls back later: never early."""

    def schedule(self, delay_ms: float, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` once, `delay_ms` >= 0 from this moment."""
        ...

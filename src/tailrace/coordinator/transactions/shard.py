"""The transactional ids of one partition of `__transaction_state`: what its log says, and the turns of its ids.

Invariant: applying the partition's records in order with `replay`, from nothing, gives what is known of every id as of
the last committed record, but for `last_producer_epoch`, which no record carries.
"""

from __future__ import annotations

from collections import deque

from tailrace.base.types import TopicPartition
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.transactions.records import read_record
from tailrace.coordinator.transactions.transaction import Transaction
from tailrace.coordinator.turns import Turn


class TransactionShard:
    """State machine of one partition."""

    __slots__ = ("coordinator_epoch", "is_closed", "is_loading", "partition", "transactions", "turns", "unmarked")

    def __init__(self, partition: int, coordinator_epoch: int) -> None:
        self.partition = partition
        self.coordinator_epoch = coordinator_epoch
        """The leader epoch in which this broker coordinates: markers carry it."""
        self.transactions: dict[str, Transaction] = {}
        self.unmarked: dict[str, frozenset[TopicPartition]] = {}
        """Of an id in a Prepare state: the partitions whose marker is still to be written."""
        self.turns: dict[str, deque[Turn]] = {}
        self.is_loading = True
        self.is_closed = False

    def apply(self, decision: Decision) -> None:
        """Replay the records of a decision that is committed."""
        for record in decision.records:
            self.replay(record)

    def replay(self, record: CoordinatorRecord) -> None:
        """Apply one committed record. Raises DecodeError for bytes nobody can read."""
        entry = read_record(record)
        if entry is None:
            return
        if entry.transaction is None:
            self.transactions.pop(entry.transactional_id, None)
        else:
            self.transactions[entry.transactional_id] = entry.transaction

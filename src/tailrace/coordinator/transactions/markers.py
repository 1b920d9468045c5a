"""Writing a transaction's markers until every partition has its own, and then saying so.

    Prepare is committed ──> markers to every partition ──> all written ──> append Complete
                                     ^       └── some not ──> wait, again with those

Invariant: a transaction in a Prepare state has exactly one round of markers going, or one Complete record on its way.
Not its business: how a marker gets to a partition. Source: Kafka TransactionMarkerChannelManager.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, Protocol

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.limits import MARKER_RETRY_MS
from tailrace.coordinator.ports import Timers
from tailrace.coordinator.transactions.records import transaction_record
from tailrace.coordinator.transactions.shard import TransactionShard
from tailrace.coordinator.transactions.transaction import Transaction, TransactionState
from tailrace.coordinator.turns import Turn, Turns, refuse_nobody


class Ending(NamedTuple):
    """What a marker says."""

    producer_id: int
    producer_epoch: int
    is_commit: bool
    coordinator_epoch: int
    transaction_version: int


class MarkerWriter(Protocol):
    """Writes markers to the leaders of partitions."""

    def write(self, ending: Ending, partitions: frozenset[TopicPartition]) -> Pending[frozenset[TopicPartition]]:
        """Write a marker to each partition. Completes with those that are to be tried again.

        A partition that no longer exists needs none. A marker written twice does no harm.
        """
        ...


class Markers:
    """The transactions that are being ended."""

    def __init__(self, writer: MarkerWriter, turns: Turns, timers: Timers, clock: Clock) -> None:
        self._writer = writer
        self._turns = turns
        self._timers = timers
        self._clock = clock

    def begin(self, shard: TransactionShard, transaction: Transaction) -> None:
        """Write the markers of a transaction whose Prepare record is committed."""
        shard.unmarked[transaction.transactional_id] = transaction.partitions
        self._write(shard, transaction)

    def _write(self, shard: TransactionShard, transaction: Transaction) -> None:
        unmarked = shard.unmarked.get(transaction.transactional_id)
        if shard.is_closed or unmarked is None:
            return
        ending = Ending(
            transaction.producer_id,
            transaction.producer_epoch,
            transaction.state is TransactionState.PREPARE_COMMIT,
            shard.coordinator_epoch,
            transaction.client_version,
        )
        self._writer.write(ending, unmarked).on_complete(partial(self._on_written, shard, transaction))

    def _on_written(
        self, shard: TransactionShard, transaction: Transaction, remaining: frozenset[TopicPartition]
    ) -> None:
        if shard.is_closed:
            return
        shard.unmarked[transaction.transactional_id] = remaining
        if remaining:
            self._timers.schedule(MARKER_RETRY_MS, partial(self._write, shard, transaction))
        else:
            self._complete(shard, transaction)

    def _complete(self, shard: TransactionShard, transaction: Transaction) -> None:
        transactional_id = transaction.transactional_id

        def decide() -> Decision:
            assert shard.transactions[transactional_id].state is transaction.state, "nothing leaves a Prepare state"
            completed = transaction.completed(self._clock.wall_ms())

            def commit() -> None:
                del shard.unmarked[transactional_id]
                keep_last_epoch(shard, completed)

            def failure(_: ErrorCode) -> None:
                again = partial(self._complete, shard, transaction)
                self._timers.schedule(MARKER_RETRY_MS, lambda: None if shard.is_closed else again())

            return Decision([transaction_record(completed)], commit, failure)

        self._turns.take(shard, transactional_id, Turn(decide, refuse_nobody))


def keep_last_epoch(shard: TransactionShard, transaction: Transaction) -> None:
    """Remember what the record of this step, just replayed, does not carry."""
    known = shard.transactions[transaction.transactional_id]
    shard.transactions[transaction.transactional_id] = known._replace(
        last_producer_epoch=transaction.last_producer_epoch
    )

"""One transactional id: its producer, its state, and the steps from state to state.

    Empty ──add──> Ongoing ──end──> PrepareCommit ──markers──> CompleteCommit ──add──> Ongoing ...
                      │                                        CompleteAbort ───────────┘
                      └──end, fence, time-out──> PrepareAbort ──markers──┘

The record of a Prepare state is the point of no return: from there on every partition gets the marker, whatever
happens to the coordinator. With transactions v2 (KIP-890) each end raises the producer's epoch, so no request of an
earlier transaction can be taken for one of the next; an end with nothing written may come from Empty and Complete.

Pure values: a step takes a `Transaction` and returns the next one. Source: Kafka TransactionMetadata, TransactionState.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from tailrace.base.types import TopicPartition

NO_PRODUCER_ID: Final = -1
NO_EPOCH: Final = -1
EPOCH_MAX: Final = 32_767
"""Never given to a client: so there is always an epoch left to fence it with."""
LATEST_VERSION: Final = 2
"""`transaction.version` of this broker: 2 raises the epoch at each end, and lets Produce add partitions."""


class TransactionState(IntEnum):
    """State of a transactional id, int8 in the log."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7

    @property
    def title(self) -> str:
        """Kafka's spelling: `PrepareCommit`."""
        return _TITLES[self]


_TITLES: Final = {state: state.name.title().replace("_", "") for state in TransactionState}
BY_TITLE: Final = {title: state for state, title in _TITLES.items()}

PREPARED: Final = frozenset({TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT})
IDLE: Final = frozenset({TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT})
"""No transaction is open."""


class ProducerIdAndEpoch(NamedTuple):
    """Who a producer says it is."""

    producer_id: int
    producer_epoch: int


class Transaction(NamedTuple):
    """All that is known of one transactional id. Timestamps are wall-clock milliseconds, -1 for none."""

    transactional_id: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    state: TransactionState
    partitions: frozenset[TopicPartition] = frozenset()
    start_ms: int = -1
    last_update_ms: int = -1
    previous_producer_id: int = NO_PRODUCER_ID
    """The producer id before the last step: another one only right after an exchange."""
    next_producer_id: int = NO_PRODUCER_ID
    """In a Prepare state: who the producer is from the Complete state on, when its epochs are used up."""
    last_producer_epoch: int = NO_EPOCH
    """The epoch before the last raise, for a client that did not hear of it. Not in the log: a restart forgets it."""
    client_version: int = 0
    """`transaction.version` of the client that made the last step."""

    @property
    def is_epoch_exhausted(self) -> bool:
        """Whether the next epoch could not be given to a client."""
        return is_exhausted(self.producer_epoch)

    def with_next_epoch(self, timeout_ms: int, now_ms: int, last_epoch: int) -> Transaction:
        """A producer begins (anew): Empty, one epoch on."""
        assert not self.is_epoch_exhausted and self.state in IDLE
        return self._emptied(timeout_ms, now_ms)._replace(
            producer_epoch=self.producer_epoch + 1, last_producer_epoch=last_epoch
        )

    def with_new_producer_id(self, producer_id: int, timeout_ms: int, now_ms: int, last_epoch: int) -> Transaction:
        """A producer whose epochs are used up begins anew: Empty, another id, epoch 0."""
        assert self.state in IDLE
        return self._emptied(timeout_ms, now_ms)._replace(
            producer_id=producer_id, producer_epoch=0, last_producer_epoch=last_epoch
        )

    def still_beginning(self, timeout_ms: int, now_ms: int) -> Transaction:
        """The answer to a producer's beginning was lost and it asks again: the same epoch."""
        return self._emptied(timeout_ms, now_ms)

    def with_partitions(self, added: frozenset[TopicPartition], now_ms: int, client_version: int) -> Transaction:
        """Partitions join; the first of them begin the transaction."""
        start_ms = self.start_ms if self.state is TransactionState.ONGOING else now_ms
        return self._replace(
            state=TransactionState.ONGOING,
            partitions=self.partitions | added,
            start_ms=start_ms,
            last_update_ms=now_ms,
            previous_producer_id=self.producer_id,
            client_version=client_version,
        )

    def prepared(self, is_commit: bool, now_ms: int) -> Transaction:
        """The decision of a client of transactions v0 or v1: same epoch."""
        return self._ending(is_commit, now_ms)._replace(client_version=0)

    def prepared_and_bumped(self, is_commit: bool, now_ms: int, next_producer_id: int) -> Transaction:
        """The decision of a client of transactions v2: the epoch is raised, the id exchanged where that is the last."""
        return self._ending(is_commit, now_ms)._replace(
            producer_epoch=self.producer_epoch + 1,
            last_producer_epoch=self.producer_epoch,
            next_producer_id=next_producer_id,
            client_version=LATEST_VERSION,
        )

    def prepared_and_fenced(self, now_ms: int) -> Transaction:
        """Abort against the producer's will: the raised epoch fences it, and nobody may go on from there."""
        assert self.producer_epoch < EPOCH_MAX, "no client has the last epoch"
        return self._ending(False, now_ms)._replace(
            producer_epoch=self.producer_epoch + 1, last_producer_epoch=NO_EPOCH, client_version=LATEST_VERSION
        )

    def completed(self, now_ms: int) -> Transaction:
        """Every marker is written."""
        assert self.state in PREPARED
        is_commit = self.state is TransactionState.PREPARE_COMMIT
        done = self._replace(
            state=TransactionState.COMPLETE_COMMIT if is_commit else TransactionState.COMPLETE_ABORT,
            partitions=frozenset(),
            last_update_ms=now_ms,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
        )
        if self.next_producer_id == NO_PRODUCER_ID:
            return done
        return done._replace(producer_id=self.next_producer_id, producer_epoch=0)

    def _emptied(self, timeout_ms: int, now_ms: int) -> Transaction:
        return self._replace(
            state=TransactionState.EMPTY,
            timeout_ms=timeout_ms,
            partitions=frozenset(),
            start_ms=-1,
            last_update_ms=now_ms,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
        )

    def _ending(self, is_commit: bool, now_ms: int) -> Transaction:
        return self._replace(
            state=TransactionState.PREPARE_COMMIT if is_commit else TransactionState.PREPARE_ABORT,
            start_ms=self.start_ms if self.state is TransactionState.ONGOING else now_ms,
            last_update_ms=now_ms,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
        )


def is_exhausted(producer_epoch: int) -> bool:
    """Whether a producer with this epoch needs another id to go on."""
    return producer_epoch >= EPOCH_MAX - 1


def new_transaction(transactional_id: str, producer_id: int, timeout_ms: int) -> Transaction:
    """An id nobody used before: its first beginning raises the epoch to 0."""
    return Transaction(transactional_id, producer_id, NO_EPOCH, timeout_ms, TransactionState.EMPTY)

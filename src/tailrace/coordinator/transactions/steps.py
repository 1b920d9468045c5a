"""InitProducerId, AddPartitionsToTxn and EndTxn, decided: the step a request makes, or why it may not.

Pure: each function takes what is known of the transactional id and returns what is to be known next. A refusal is a
KafkaError. Source: Kafka TransactionCoordinator, KIP-98, KIP-360, KIP-890.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.coordinator.transactions.transaction import (
    EPOCH_MAX,
    NO_EPOCH,
    NO_PRODUCER_ID,
    PREPARED,
    ProducerIdAndEpoch,
    Transaction,
    TransactionState,
    is_exhausted,
)

NewProducerId = Callable[[], int]


def begin_producer(
    known: Transaction,
    expected: ProducerIdAndEpoch | None,
    timeout_ms: int,
    now_ms: int,
    new_producer_id: NewProducerId,
) -> Transaction:
    """InitProducerId: the producer's next epoch, or in a Prepare state the abort of what the last one left open.

    `expected` is who the producer says it is, when it goes on after an error (KIP-360).
    Raises PRODUCER_FENCED, CONCURRENT_TRANSACTIONS.
    """
    if expected is not None and not _may_go_on(known, expected):
        raise KafkaError(ErrorCode.PRODUCER_FENCED)
    if known.state in PREPARED:
        raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
    if known.state is TransactionState.ONGOING:
        return known.prepared_and_fenced(now_ms)
    if known.is_epoch_exhausted and (expected is None or expected.producer_epoch == known.producer_epoch):
        last_epoch = NO_EPOCH if expected is None else known.producer_epoch
        return known.with_new_producer_id(new_producer_id(), timeout_ms, now_ms, last_epoch)
    if expected is None:
        return known.with_next_epoch(timeout_ms, now_ms, NO_EPOCH)
    if known.producer_epoch in (NO_EPOCH, expected.producer_epoch):
        return known.with_next_epoch(timeout_ms, now_ms, known.producer_epoch)
    if expected.producer_epoch == known.last_producer_epoch:
        return known.still_beginning(timeout_ms, now_ms)
    raise KafkaError(ErrorCode.PRODUCER_FENCED)


def _may_go_on(known: Transaction, expected: ProducerIdAndEpoch) -> bool:
    """Whether it is the producer: the id fits, or did until an exchange whose answer was lost. Epochs come later."""
    return (
        known.producer_epoch == NO_EPOCH
        or expected.producer_id == known.producer_id
        or (expected.producer_id == known.previous_producer_id and is_exhausted(expected.producer_epoch))
    )


def check_producer(known: Transaction | None, producer: ProducerIdAndEpoch) -> Transaction:
    """The transaction of this producer. Raises INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED."""
    if known is None or known.producer_id != producer.producer_id:
        raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if known.producer_epoch != producer.producer_epoch:
        raise KafkaError(ErrorCode.PRODUCER_FENCED)
    return known


def add_partitions(
    known: Transaction | None,
    producer: ProducerIdAndEpoch,
    partitions: frozenset[TopicPartition],
    now_ms: int,
    client_version: int,
) -> Transaction | None:
    """AddPartitionsToTxn, AddOffsetsToTxn and the first Produce of transactions v2. None: they are in it already.

    Raises as `check_producer`, and CONCURRENT_TRANSACTIONS while the last transaction is being ended.
    """
    transaction = check_producer(known, producer)
    if transaction.state in PREPARED:
        raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
    if transaction.state is TransactionState.ONGOING and partitions <= transaction.partitions:
        return None
    return transaction.with_partitions(partitions, now_ms, client_version)


def verify_partitions(
    known: Transaction | None, producer: ProducerIdAndEpoch, partitions: frozenset[TopicPartition]
) -> frozenset[TopicPartition]:
    """Those of `partitions` that are not in the producer's open transaction. Raises as `add_partitions`."""
    transaction = check_producer(known, producer)
    if transaction.state in PREPARED:
        raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
    return partitions - transaction.partitions


def end(known: Transaction | None, producer: ProducerIdAndEpoch, is_commit: bool, now_ms: int) -> Transaction | None:
    """EndTxn of a client of transactions v0 and v1. None: it has ended so already.

    Raises as `check_producer`, CONCURRENT_TRANSACTIONS while it is being ended so, INVALID_TXN_STATE otherwise.
    """
    transaction = check_producer(known, producer)
    if transaction.state is TransactionState.ONGOING:
        return transaction.prepared(is_commit, now_ms)
    if transaction.state is TransactionState.EMPTY or _was_commit(transaction) != is_commit:
        raise KafkaError(ErrorCode.INVALID_TXN_STATE)
    if transaction.state in PREPARED:
        raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS)
    return None


def end_and_bump(
    known: Transaction | None,
    producer: ProducerIdAndEpoch,
    is_commit: bool,
    now_ms: int,
    new_producer_id: NewProducerId,
) -> Transaction | None:
    """EndTxn of a client of transactions v2. None: it is the retry of an end that has happened.

    A retry comes with the epoch before the raise; with the present epoch it would be the end of the *next* one, which
    may be an abort of nothing, but not a commit. Raises as `end`.
    """
    if known is None:
        raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    is_exchanged = (
        known.previous_producer_id == producer.producer_id
        and producer.producer_epoch == EPOCH_MAX - 1
        and known.producer_epoch == 0
    )
    if known.producer_id != producer.producer_id and not is_exchanged:
        raise KafkaError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    is_retry = is_exchanged or known.producer_epoch == producer.producer_epoch + 1
    is_present = known.producer_epoch == producer.producer_epoch
    if known.state in PREPARED:
        if not is_retry:
            raise KafkaError(ErrorCode.PRODUCER_FENCED)
        same = _was_commit(known) == is_commit
        raise KafkaError(ErrorCode.CONCURRENT_TRANSACTIONS if same else ErrorCode.INVALID_TXN_STATE)
    is_over = known.state in (TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT)
    if not is_present and not (is_over and is_retry):
        raise KafkaError(ErrorCode.PRODUCER_FENCED)
    if is_over and is_retry:
        if _was_commit(known) != is_commit:
            raise KafkaError(ErrorCode.INVALID_TXN_STATE)
        return None
    if known.state is not TransactionState.ONGOING and is_commit:
        raise KafkaError(ErrorCode.INVALID_TXN_STATE)
    next_producer_id = new_producer_id() if known.is_epoch_exhausted else NO_PRODUCER_ID
    return known.prepared_and_bumped(is_commit, now_ms, next_producer_id)


def _was_commit(transaction: Transaction) -> bool:
    return transaction.state in (TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT)

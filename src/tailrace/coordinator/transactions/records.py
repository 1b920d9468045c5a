"""Records of `__transaction_state`: Kafka's bytes for what is known of a transactional id.

    key    | version i16 = 0 | transactional_id string |
    value  | version i16 0..1 | fields of TransactionLogValue |   absent: the id expired

Written as version 1. An Empty id has null for its partitions. Source: Kafka TransactionLog, TransactionLogValue.json.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tailrace.base.types import TopicPartition
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.transactions.transaction import Transaction, TransactionState
from tailrace.wire.primitives import DecodeError, StructError
from tailrace.wire.transaction_records.transaction_log import (
    PartitionsSchema,
    TransactionLogKey,
    TransactionLogValue,
)

_INT16 = Struct(">h")
_KEY_VERSION: Final = 0
_VALUE_VERSION: Final = 1


class TransactionEntry(NamedTuple):
    """A decoded record; `transaction` None: the id expired."""

    transactional_id: str
    transaction: Transaction | None


def transaction_record(transaction: Transaction) -> CoordinatorRecord:
    """The record of a transactional id as it is from here on."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(transaction.partitions):
        by_topic.setdefault(topic, []).append(partition)
    is_empty = transaction.state is TransactionState.EMPTY
    value = TransactionLogValue(
        producer_id=transaction.producer_id,
        previous_producer_id=transaction.previous_producer_id,
        next_producer_id=transaction.next_producer_id,
        producer_epoch=transaction.producer_epoch,
        transaction_timeout_ms=transaction.timeout_ms,
        transaction_status=transaction.state,
        transaction_partitions=None if is_empty else [PartitionsSchema(*each) for each in by_topic.items()],
        transaction_last_update_timestamp_ms=transaction.last_update_ms,
        transaction_start_timestamp_ms=transaction.start_ms,
        client_transaction_version=transaction.client_version,
    )
    out = bytearray(_INT16.pack(_VALUE_VERSION))
    value.encode(out, _VALUE_VERSION)
    return CoordinatorRecord(_key(transaction.transactional_id), bytes(out))


def transaction_tombstone(transactional_id: str) -> CoordinatorRecord:
    """The record that forgets a transactional id."""
    return CoordinatorRecord(_key(transactional_id), None)


def read_record(record: CoordinatorRecord) -> TransactionEntry | None:
    """What a record says; None for a key of a kind that is not known.

    Raises DecodeError when the bytes are not what their version says.
    """
    try:
        (key_version,) = _INT16.unpack_from(record.key)
        if key_version != _KEY_VERSION:
            return None
        key, _ = TransactionLogKey.decode(memoryview(record.key), 2, 0)
        if record.value is None:
            return TransactionEntry(key.transactional_id, None)
        (version,) = _INT16.unpack_from(record.value)
        if not 0 <= version <= TransactionLogValue.MAX_VERSION:
            raise DecodeError(f"a value of the transaction log has version {version}; known are 0 and 1")
        value, _ = TransactionLogValue.decode(memoryview(record.value), 2, version)
        return TransactionEntry(key.transactional_id, _transaction(key.transactional_id, value))
    except (StructError, IndexError, ValueError) as error:
        raise DecodeError(f"a record of the transaction log cannot be read: {error}") from error


def _transaction(transactional_id: str, value: TransactionLogValue) -> Transaction:
    partitions = frozenset(
        TopicPartition(named.topic, partition)
        for named in value.transaction_partitions or ()
        for partition in named.partition_ids
    )
    return Transaction(
        transactional_id,
        value.producer_id,
        value.producer_epoch,
        value.transaction_timeout_ms,
        TransactionState(value.transaction_status),
        partitions,
        value.transaction_start_timestamp_ms,
        value.transaction_last_update_timestamp_ms,
        previous_producer_id=value.previous_producer_id,
        next_producer_id=value.next_producer_id,
        client_version=value.client_transaction_version,
    )


def _key(transactional_id: str) -> bytes:
    out = bytearray(_INT16.pack(_KEY_VERSION))
    TransactionLogKey(transactional_id).encode(out, 0)
    return bytes(out)

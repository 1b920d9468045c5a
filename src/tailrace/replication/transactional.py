"""How a partition's leader lets a transaction in, and how it ends one (KIP-98, KIP-890).

A batch of a transaction may enter a partition only while the coordinator knows that the partition is a part of it:
else nobody would ever write its marker, and the partition's last stable offset would stand still for ever.

    begin_verification ──> the coordinator is asked ──> append_transactional ──> ... ──> write_marker

Not its business: who asks the coordinator, and how. Source: Kafka `UnifiedLog`, ProducerAppendInfo, KIP-1228.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.log import AppendInfo, AppendOrigin
from tailrace.records.batch import RecordBatch
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.replication.partition import Partition
from tailrace.replication.verification import NO_SEQUENCE, NONE_NEEDED

BUMPS_EPOCH_FROM: Final = 2
"""The first `transaction.version` in which every end of a transaction raises the producer's epoch (KIP-890, part 2)."""


class Marker(NamedTuple):
    """How a transaction ended, as its coordinator says it to each partition."""

    producer_id: int
    producer_epoch: int
    is_commit: bool
    coordinator_epoch: int
    transaction_version: int = 0


def begin_verification(
    partition: Partition,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int = NO_SEQUENCE,
    *,
    is_first_write: bool = False,
) -> int:
    """The verification a first batch of this producer needs; NONE_NEEDED when its transaction is open here already.

    `base_sequence`: of that batch. `is_first_write`: with transactions v2, where the epoch is new, nothing can have
    been written before.
    Raises INVALID_PRODUCER_EPOCH for an epoch below the known one.
    """
    states = partition.log.producer_states
    states.check_epoch(producer_id, producer_epoch)
    if states.has_open_transaction(producer_id, producer_epoch):
        return NONE_NEEDED
    return partition.verifications.begin(producer_id, producer_epoch, base_sequence, is_first_write=is_first_write)


def append_transactional(
    partition: Partition, records: memoryview, verification: int, origin: AppendOrigin = AppendOrigin.CLIENT
) -> AppendInfo:
    """Append a batch of a transaction.

    Raises INVALID_TXN_STATE without a living verification, OUT_OF_ORDER_SEQUENCE_NUMBER for a first write that is not
    the beginning, or that comes after one that was refused; else as `append`.
    """
    batch = RecordBatch.parse(records)
    producer_id = batch.producer_id
    is_open = partition.log.producer_states.has_open_transaction(producer_id, batch.producer_epoch)
    if not is_open and not partition.verifications.holds(producer_id, verification):
        raise KafkaError(ErrorCode.INVALID_TXN_STATE, "The batch is not part of a transaction its coordinator knows.")
    if not is_open:
        lowest = partition.verifications.lowest_sequence(producer_id)
        if lowest is not None and batch.base_sequence > lowest:
            message = f"A batch with sequence {lowest} asked before that with {batch.base_sequence}, and is not there."
            raise KafkaError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, message)
    is_unknown = not is_open and partition.log.producer_states.get(producer_id) is None
    if is_unknown and batch.base_sequence > 0 and partition.verifications.is_first_write(producer_id):
        raise KafkaError(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, "The first batch of a transaction has sequence 0.")
    info = partition.append(records, origin)
    partition.verifications.end(producer_id)
    return info


def write_marker(partition: Partition, marker: Marker, now_ms: int) -> AppendInfo:
    """End the producer's transaction here, whether it wrote anything or not.

    Raises INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED, StorageError.
    """
    if marker.transaction_version >= BUMPS_EPOCH_FROM:
        partition.log.producer_states.check_bumped_marker(marker.producer_id, marker.producer_epoch)
    end = EndTxnMarker(marker.is_commit, marker.coordinator_epoch)
    batch = build_end_txn_marker(marker.producer_id, marker.producer_epoch, end, now_ms)
    info = partition.append(memoryview(batch), AppendOrigin.COORDINATOR)
    if marker.transaction_version >= BUMPS_EPOCH_FROM:
        partition.verifications.end_before(marker.producer_id, marker.producer_epoch)
    else:
        partition.verifications.end(marker.producer_id)
    return info

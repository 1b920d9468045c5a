"""A coordinator's topic as the coordinator sees it: records in, records out, over the partitions of this broker.

The adapter between `coordinator.ports` and `replication`, which do not know each other. A batch is committed when the
high watermark has passed it: at once, or, with `flush.before.ack`, when it is on the device.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.coordinator.ports import CoordinatorRecord, InTransaction, LogEntry, TransactionalRecord, TransactionEnd
from tailrace.log.log import AppendOrigin
from tailrace.log.logs import Logs
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.records.builder import BatchBuilder
from tailrace.records.control import end_txn_marker
from tailrace.replication.partition import Partition
from tailrace.replication.partitions import Partitions
from tailrace.replication.transactional import append_transactional

LOAD_BYTES = 1 << 20
"""How much of the log is read at once while loading. `offsets.load.buffer.size` is 5 MiB; memory is dearer here."""


class CoordinatorLog:
    """PartitionWriter and PartitionLoader of one coordinator's topic."""

    __slots__ = ("_clock", "_logs", "_partitions", "_topic")

    def __init__(self, topic: str, partitions: Partitions, clock: Clock, logs: Logs) -> None:
        self._topic = topic
        self._partitions = partitions
        self._clock = clock
        self._logs = logs

    def append(
        self, partition: int, records: list[CoordinatorRecord], transaction: InTransaction | None = None
    ) -> Pending[ErrorCode | None]:
        """Append `records` as one batch; completes with None, or with why not."""
        outcome: Pending[ErrorCode | None] = Pending()
        found = self._partitions.get(self._topic, partition)
        if found is None:
            outcome.complete(ErrorCode.NOT_COORDINATOR)
            return outcome
        if self._logs.is_full(found.topic_partition):
            outcome.complete(ErrorCode.KAFKA_STORAGE_ERROR)  # what is left is for what frees space
            return outcome
        appended = self._append(found, records, transaction)
        if isinstance(appended, ErrorCode):
            outcome.complete(appended)
        else:
            found.wait_committed(appended, outcome.complete)
        return outcome

    def _append(
        self, partition: Partition, records: list[CoordinatorRecord], transaction: InTransaction | None
    ) -> int | ErrorCode:
        """The offset after the records, or why they were refused."""
        builder = BatchBuilder()
        now_ms = self._clock.wall_ms()
        for record in records:
            builder.append(now_ms, record.key, record.value)
        try:
            if partition.followers is not None:
                partition.followers.check_enough_replicas()
            if transaction is None:
                info = partition.append(memoryview(builder.build()), AppendOrigin.COORDINATOR)
            else:
                batch = builder.build_transactional(transaction.producer_id, transaction.producer_epoch)
                info = append_transactional(
                    partition, memoryview(batch), transaction.verification, AppendOrigin.COORDINATOR
                )
        except KafkaError as error:
            return error.code
        except StorageError as error:
            self._logs.on_storage_error(error)
            return ErrorCode.KAFKA_STORAGE_ERROR
        return info.last_offset + 1

    def records(self, partition: int) -> Iterator[LogEntry]:
        """Every record and marker from the start of the log, in order."""
        found = self._partitions.get(self._topic, partition)
        return iter(()) if found is None else _records(found)


def _records(partition: Partition) -> Iterator[LogEntry]:
    for batch in committed_batches(partition):
        if batch.is_control:
            marker = end_txn_marker(batch)
            if marker is not None:
                yield TransactionEnd(batch.producer_id, marker.is_commit)
            continue
        for record in batch.records():
            if record.key is not None:
                found = CoordinatorRecord(record.key, record.value)
                yield TransactionalRecord(batch.producer_id, found) if batch.is_transactional else found


def committed_batches(partition: Partition) -> Iterator[RecordBatch]:
    """Every batch from the start of the log, in order. A leader that was just elected has not heard of all that is
    committed, and what it has will be, as long as it leads: so it reads to the log's end."""
    offset = partition.log_start_offset
    while True:
        found = partition.read_as_replica(offset, LOAD_BYTES, min_one_batch=True)
        if found.file is None:
            return
        for batch in iter_whole_batches(memoryview(partition.log.read_bytes(found))):
            offset = batch.next_offset
            yield batch

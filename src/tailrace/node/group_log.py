"""The coordinator's topic as the coordinator sees it: records in, records out, over the partitions of this broker.

The adapter between `coordinator.ports` and `replication`, which do not know each other. A batch is committed when the
high watermark has passed it: at once, or, with `flush.before.ack`, when it is on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.coordinator.ports import GroupRecord
from tailrace.log.log import AppendOrigin
from tailrace.records.batch import iter_whole_batches
from tailrace.records.builder import BatchBuilder
from tailrace.records.control import end_txn_marker
from tailrace.replication.partition import IsolationLevel, Partition
from tailrace.replication.partitions import Partitions

LOAD_BYTES = 1 << 20
"""How much of the log is read at once while loading. `offsets.load.buffer.size` is 5 MiB; memory is dearer here."""


class GroupLog:
    """PartitionWriter and PartitionLoader of `__consumer_offsets`."""

    __slots__ = ("_clock", "_partitions", "_report")

    def __init__(self, partitions: Partitions, clock: Clock, report: Callable[[StorageError], object]) -> None:
        self._partitions = partitions
        self._clock = clock
        self._report = report

    def append(self, partition: int, records: list[GroupRecord]) -> Pending[ErrorCode | None]:
        """Append `records` as one batch; completes with None, or with why not."""
        outcome: Pending[ErrorCode | None] = Pending()
        found = self._partitions.get(GROUP_METADATA_TOPIC, partition)
        if found is None:
            outcome.complete(ErrorCode.NOT_COORDINATOR)
            return outcome
        appended = self._append(found, records)
        if isinstance(appended, ErrorCode):
            outcome.complete(appended)
        else:
            found.wait_committed(appended, outcome.complete)
        return outcome

    def _append(self, partition: Partition, records: list[GroupRecord]) -> int | ErrorCode:
        """The offset after the records, or why they were refused."""
        builder = BatchBuilder()
        now_ms = self._clock.wall_ms()
        for record in records:
            builder.append(now_ms, record.key, record.value)
        try:
            info = partition.append(memoryview(builder.build()), AppendOrigin.COORDINATOR)
        except KafkaError as error:
            return error.code
        except StorageError as error:
            self._report(error)
            return ErrorCode.KAFKA_STORAGE_ERROR
        return info.last_offset + 1

    def records(self, partition: int) -> Iterator[GroupRecord]:
        """Every committed record from the start of the log, in order."""
        found = self._partitions.get(GROUP_METADATA_TOPIC, partition)
        return iter(()) if found is None else _records(found)


def _records(partition: Partition) -> Iterator[GroupRecord]:
    """Offsets committed within a transaction count from its commit marker on; those of an aborted one never do.

    A log that Apache Kafka wrote may hold such. Source: Kafka CoordinatorLoaderImpl.
    """
    undecided: dict[int, list[GroupRecord]] = {}
    offset = partition.log_start_offset
    while True:
        found = partition.read(offset, LOAD_BYTES, IsolationLevel.READ_UNCOMMITTED, min_one_batch=True)
        if found.file is None:
            return
        for batch in iter_whole_batches(memoryview(partition.log.read_bytes(found))):
            offset = batch.next_offset
            if batch.is_control:
                marker = end_txn_marker(batch)
                decided = undecided.pop(batch.producer_id, []) if marker is not None else []
                if marker is not None and marker.is_commit:
                    yield from decided
                continue
            records = (GroupRecord(record.key, record.value) for record in batch.records() if record.key is not None)
            if batch.is_transactional:
                undecided.setdefault(batch.producer_id, []).extend(records)
            else:
                yield from records

"""`__share_group_state` as the share coordinator sees it, and its settings, from the broker's.

The topic is not compacted: the coordinator says up to where it may be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.errors import KafkaError, StorageError
from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_state.settings import ShareStateSettings
from tailrace.node.coordinator_log import CoordinatorLog, committed_batches


class ShareStateLog(CoordinatorLog):
    """A `StateLog`."""

    __slots__ = ()

    def next_offset(self, partition: int) -> int:
        """The offset that the next record appended gets; 0 where the partition is not led here."""
        found = self._partitions.get(self._topic, partition)
        return 0 if found is None else found.log_end_offset

    def records_with_offsets(self, partition: int) -> Iterator[tuple[int, CoordinatorRecord]]:
        """Every committed record from the start of the log, in order."""
        found = self._partitions.get(self._topic, partition)
        if found is not None:
            for batch in committed_batches(found):
                for record in batch.records():
                    if record.key is not None and record.offset >= found.log_start_offset:
                        yield record.offset, CoordinatorRecord(record.key, record.value)

    def delete_before(self, partition: int, offset: int) -> bool:
        """Delete what is before `offset`. Whether it could be done."""
        found = self._partitions.get(self._topic, partition)
        if found is None:
            return False
        try:
            found.delete_records(offset)
        except KafkaError:
            return False
        except StorageError as error:
            self._logs.on_storage_error(error)
            return False
        self._logs.write_log_start_offsets()
        return True


def share_state_settings(settings: BrokerSettings) -> ShareStateSettings:
    """What `ShareStateCoordinator` obeys, as the broker's settings are at start: none of them may change later."""
    prefix = "share.coordinator"
    return ShareStateSettings(
        share_coordinator_snapshot_update_records_per_snapshot=settings.integer(
            f"{prefix}.snapshot.update.records.per.snapshot"
        ),
        share_coordinator_write_timeout_ms=settings.integer("share.coordinator.write.timeout.ms"),
        share_coordinator_state_topic_num_partitions=settings.integer(f"{prefix}.state.topic.num.partitions"),
    )

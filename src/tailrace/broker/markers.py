"""A transaction's marker into a partition, and what it means for offsets that were committed in the transaction."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.errors import ErrorCode
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.coordinator.groups.coordinator import GroupCoordinator
from tailrace.replication import transactional
from tailrace.replication.partition import Partition
from tailrace.replication.transactional import Marker

Told = Callable[[ErrorCode | None], object]


def write_marker(partition: Partition, groups: GroupCoordinator, marker: Marker, now_ms: int, told: Told) -> None:
    """Append the marker, and tell when it is committed, perhaps at once, or why it will not be.

    In a partition of `__consumer_offsets` the pending offsets then come true, or go.
    Raises KafkaError, NOT_ENOUGH_REPLICAS among them, or StorageError; nothing has changed then, and nothing is told.
    """
    if partition.followers is not None:
        partition.followers.check_enough_replicas()
    info = transactional.write_marker(partition, marker, now_ms)
    topic, index = partition.topic_partition

    def on_committed(code: ErrorCode | None) -> None:
        if code is None and topic == GROUP_METADATA_TOPIC:
            groups.end_transaction(index, marker.producer_id, marker.is_commit)
        told(code)

    partition.wait_committed(info.last_offset + 1, on_committed)

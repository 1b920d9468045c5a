"""Records of `__consumer_offsets` for share groups, in Kafka's bytes.

    key    | type i16 | fields |      10 member; 11 group epoch; 12 target's epoch; 13 target of a member; 14 what a
    value  | version i16 | fields |   member has; 15 partitions whose state is kept. Absent: tombstone

Source: Kafka's `GroupCoordinatorRecordHelpers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.record_codec import RecordTypes
from tailrace.coordinator.share_groups.member import Place, ShareMember
from tailrace.coordinator.share_groups.state_partitions import StatePartitions, TopicPartitions
from tailrace.wire.group_records.share_group_current_member_assignment import (
    ShareGroupCurrentMemberAssignmentKey,
    ShareGroupCurrentMemberAssignmentValue,
)
from tailrace.wire.group_records.share_group_current_member_assignment import TopicPartitions as CurrentTopic
from tailrace.wire.group_records.share_group_member_metadata import (
    ShareGroupMemberMetadataKey,
    ShareGroupMemberMetadataValue,
)
from tailrace.wire.group_records.share_group_metadata import ShareGroupMetadataKey, ShareGroupMetadataValue
from tailrace.wire.group_records.share_group_state_partition_metadata import (
    ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue,
    TopicInfo,
    TopicPartitionsInfo,
)
from tailrace.wire.group_records.share_group_target_assignment_member import (
    ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue,
)
from tailrace.wire.group_records.share_group_target_assignment_member import TopicPartition as TargetTopic
from tailrace.wire.group_records.share_group_target_assignment_metadata import (
    ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue,
)

TYPES: Final = RecordTypes(
    "a share group",
    {
        10: (ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue),
        11: (ShareGroupMetadataKey, ShareGroupMetadataValue),
        12: (ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue),
        13: (ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue),
        14: (ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue),
        15: (ShareGroupStatePartitionMetadataKey, ShareGroupStatePartitionMetadataValue),
    },
)


class ShareEntry(NamedTuple):
    """A decoded record; `value` None: deleted."""

    group_id: str
    key: Any
    value: Any


def read_share_record(record: CoordinatorRecord) -> ShareEntry | None:
    """What a record says; None for a type that is not a share group's. Raises DecodeError for damaged bytes."""
    entry = TYPES.read(record)
    return None if entry is None else ShareEntry(entry[0].group_id, *entry)


def is_group_tombstone(entry: ShareEntry) -> bool:
    """Whether the record ends its group."""
    return entry.value is None and isinstance(entry.key, ShareGroupMetadataKey)


def epoch_record(group_id: str, epoch: int, metadata_hash: int) -> CoordinatorRecord:
    """The group's epoch, and the hash of the topics it was raised for."""
    return TYPES.record(ShareGroupMetadataKey(group_id), ShareGroupMetadataValue(epoch, metadata_hash))


def member_record(group_id: str, member: ShareMember) -> CoordinatorRecord:
    """Who a member is and what it wants."""
    value = ShareGroupMemberMetadataValue(
        member.rack_id, member.client_id, member.client_host, list(member.subscribed_topics)
    )
    return TYPES.record(ShareGroupMemberMetadataKey(group_id, member.member_id), value)


def target_epoch_record(group_id: str, epoch: int, timestamp_ms: int) -> CoordinatorRecord:
    """The target assignment is that of this group epoch."""
    value = ShareGroupTargetAssignmentMetadataValue(epoch, timestamp_ms)
    return TYPES.record(ShareGroupTargetAssignmentMetadataKey(group_id), value)


def target_record(group_id: str, member_id: str, target: Iterable[Place]) -> CoordinatorRecord:
    """What a member is to have."""
    topics = [TargetTopic(topic, indexes) for topic, indexes in by_topic(target).items()]
    return TYPES.record(
        ShareGroupTargetAssignmentMemberKey(group_id, member_id), ShareGroupTargetAssignmentMemberValue(topics)
    )


def current_record(group_id: str, member: ShareMember) -> CoordinatorRecord:
    """What a member has."""
    value = ShareGroupCurrentMemberAssignmentValue(
        member_epoch=member.epoch,
        previous_member_epoch=member.previous_epoch,
        state=0,
        assigned_partitions=[CurrentTopic(topic, indexes) for topic, indexes in by_topic(member.assigned).items()],
    )
    return TYPES.record(ShareGroupCurrentMemberAssignmentKey(group_id, member.member_id), value)


def state_partitions_record(group_id: str, book: StatePartitions) -> CoordinatorRecord:
    """Of which partitions the group has a state."""

    def topics(partitions: TopicPartitions) -> list[TopicPartitionsInfo]:
        return [
            TopicPartitionsInfo(topic, _name(book, topic), sorted(partitions[topic])) for topic in sorted(partitions)
        ]

    value = ShareGroupStatePartitionMetadataValue(
        initializing_topics=topics(book.initializing),
        initialized_topics=topics(book.initialized),
        deleting_topics=[TopicInfo(topic, _name(book, topic)) for topic in sorted(book.deleting)],
    )
    return TYPES.record(ShareGroupStatePartitionMetadataKey(group_id), value)


def read_state_partitions(value: ShareGroupStatePartitionMetadataValue) -> StatePartitions:
    """What a record of type 15 says."""
    names = {topic.topic_id: topic.topic_name for topic in value.deleting_topics}
    names.update((topic.topic_id, topic.topic_name) for topic in value.initializing_topics)
    names.update((topic.topic_id, topic.topic_name) for topic in value.initialized_topics)
    return StatePartitions(
        _partitions(value.initializing_topics),
        _partitions(value.initialized_topics),
        frozenset(topic.topic_id for topic in value.deleting_topics),
        names,
    )


def _partitions(topics: list[TopicPartitionsInfo]) -> Mapping[UUID, frozenset[int]]:
    return {topic.topic_id: frozenset(topic.partitions) for topic in topics}


def member_tombstones(group_id: str, member_id: str) -> list[CoordinatorRecord]:
    """A member is gone."""
    return [
        TYPES.record(ShareGroupCurrentMemberAssignmentKey(group_id, member_id), None),
        TYPES.record(ShareGroupTargetAssignmentMemberKey(group_id, member_id), None),
        TYPES.record(ShareGroupMemberMetadataKey(group_id, member_id), None),
    ]


def group_tombstones(group_id: str) -> list[CoordinatorRecord]:
    """The group is gone; its members went before."""
    return [
        TYPES.record(ShareGroupTargetAssignmentMetadataKey(group_id), None),
        TYPES.record(ShareGroupStatePartitionMetadataKey(group_id), None),
        TYPES.record(ShareGroupMetadataKey(group_id), None),
    ]


def by_topic(places: Iterable[Place]) -> dict[UUID, list[int]]:
    """Topics, and of each its partitions, rising."""
    found: dict[UUID, list[int]] = {}
    for topic, index in sorted(places):
        found.setdefault(topic, []).append(index)
    return found


def _name(book: StatePartitions, topic: UUID) -> str:
    return book.names.get(topic, "<UNKNOWN>")

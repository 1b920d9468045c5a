"""Records of `__consumer_offsets` for consumer groups, in Kafka's bytes.

    key    | type i16 | fields |      3 group epoch; 5 member; 6 target's epoch; 7 target of a member; 8 what a member
    value  | version i16 | fields |   owns; 16 topics of a regular expression. Absent: tombstone

Type 4 (topics as Kafka before 4.1 remembered them) is skipped: the hash in type 3 took its place (KIP-1101).
Source: Kafka's `GroupCoordinatorRecordHelpers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.coordinator.consumer_groups.member import ConsumerMember, Place
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.record_codec import RecordTypes
from tailrace.wire.group_records.consumer_group_current_member_assignment import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue,
    TopicPartitions,
)
from tailrace.wire.group_records.consumer_group_member_metadata import (
    ClassicMemberMetadata,
    ClassicProtocol,
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue,
)
from tailrace.wire.group_records.consumer_group_metadata import ConsumerGroupMetadataKey, ConsumerGroupMetadataValue
from tailrace.wire.group_records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from tailrace.wire.group_records.consumer_group_target_assignment_member import (
    ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue,
    TopicPartition,
)
from tailrace.wire.group_records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)

_Key = (
    ConsumerGroupMetadataKey
    | ConsumerGroupMemberMetadataKey
    | ConsumerGroupTargetAssignmentMetadataKey
    | ConsumerGroupTargetAssignmentMemberKey
    | ConsumerGroupCurrentMemberAssignmentKey
    | ConsumerGroupRegularExpressionKey
)
Value = (
    ConsumerGroupMetadataValue
    | ConsumerGroupMemberMetadataValue
    | ConsumerGroupTargetAssignmentMetadataValue
    | ConsumerGroupTargetAssignmentMemberValue
    | ConsumerGroupCurrentMemberAssignmentValue
    | ConsumerGroupRegularExpressionValue
)

_TYPES: Final = RecordTypes(
    "a consumer group",
    {
        3: (ConsumerGroupMetadataKey, ConsumerGroupMetadataValue),
        5: (ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue),
        6: (ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue),
        7: (ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue),
        8: (ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue),
        16: (ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue),
    },
)


class ConsumerEntry(NamedTuple):
    """A decoded record; `value` None: deleted."""

    group_id: str
    key: _Key
    value: Value | None


def read_consumer_record(record: CoordinatorRecord) -> ConsumerEntry | None:
    """What a record says; None for a type that is not a consumer group's. Raises DecodeError for damaged bytes."""
    entry = _TYPES.read(record)
    return None if entry is None else ConsumerEntry(entry[0].group_id, *entry)


def is_group_tombstone(entry: ConsumerEntry) -> bool:
    """Whether the record ends its group."""
    return entry.value is None and isinstance(entry.key, ConsumerGroupMetadataKey)


def epoch_record(group_id: str, epoch: int, metadata_hash: int) -> CoordinatorRecord:
    """The group's epoch, and the hash of the topics it was raised for."""
    return _TYPES.record(ConsumerGroupMetadataKey(group_id), ConsumerGroupMetadataValue(epoch, metadata_hash))


def member_record(group_id: str, member: ConsumerMember) -> CoordinatorRecord:
    """Who a member is and what it wants."""
    value = ConsumerGroupMemberMetadataValue(
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.subscribed_topics),
        subscribed_topic_regex=member.subscribed_regex,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        server_assignor=member.server_assignor,
    )
    if member.classic is not None:
        protocols = [ClassicProtocol(name, metadata) for name, metadata in member.classic.protocols]
        value.classic_member_metadata = ClassicMemberMetadata(member.classic.session_timeout_ms, protocols)
    return _TYPES.record(ConsumerGroupMemberMetadataKey(group_id, member.member_id), value)


def target_epoch_record(group_id: str, epoch: int, timestamp_ms: int) -> CoordinatorRecord:
    """The target assignment is that of this group epoch."""
    return _TYPES.record(
        ConsumerGroupTargetAssignmentMetadataKey(group_id),
        ConsumerGroupTargetAssignmentMetadataValue(epoch, timestamp_ms),
    )


def target_record(group_id: str, member_id: str, target: Iterable[Place]) -> CoordinatorRecord:
    """What a member is to own."""
    topics = [TopicPartition(topic, indexes) for topic, indexes in by_topic(target)]
    return _TYPES.record(
        ConsumerGroupTargetAssignmentMemberKey(group_id, member_id), ConsumerGroupTargetAssignmentMemberValue(topics)
    )


def current_record(group_id: str, member: ConsumerMember) -> CoordinatorRecord:
    """What a member owns."""
    value = ConsumerGroupCurrentMemberAssignmentValue(
        member_epoch=member.epoch,
        previous_member_epoch=member.previous_epoch,
        state=member.state,
        assigned_partitions=_with_epochs(member.assigned),
        partitions_pending_revocation=_with_epochs(member.pending_revocation),
    )
    return _TYPES.record(ConsumerGroupCurrentMemberAssignmentKey(group_id, member.member_id), value)


def regex_record(group_id: str, regex: str, topics: list[str], version: int, timestamp_ms: int) -> CoordinatorRecord:
    """What a regular expression stands for, as of a version of the metadata."""
    return _TYPES.record(
        ConsumerGroupRegularExpressionKey(group_id, regex),
        ConsumerGroupRegularExpressionValue(topics, version, timestamp_ms),
    )


def regex_tombstone(group_id: str, regex: str) -> CoordinatorRecord:
    """Nobody subscribes to it any more."""
    return _TYPES.record(ConsumerGroupRegularExpressionKey(group_id, regex), None)


def member_tombstones(group_id: str, member_id: str) -> list[CoordinatorRecord]:
    """A member is gone."""
    return [
        _TYPES.record(ConsumerGroupCurrentMemberAssignmentKey(group_id, member_id), None),
        _TYPES.record(ConsumerGroupTargetAssignmentMemberKey(group_id, member_id), None),
        _TYPES.record(ConsumerGroupMemberMetadataKey(group_id, member_id), None),
    ]


def group_tombstones(group_id: str) -> list[CoordinatorRecord]:
    """The group is gone; its members went before."""
    return [
        _TYPES.record(ConsumerGroupTargetAssignmentMetadataKey(group_id), None),
        _TYPES.record(ConsumerGroupMetadataKey(group_id), None),
    ]


def by_topic(places: Iterable[Place]) -> list[tuple[UUID, list[int]]]:
    """Topics, and of each its partitions, rising."""
    found: dict[UUID, list[int]] = {}
    for topic, index in sorted(places):
        found.setdefault(topic, []).append(index)
    return list(found.items())


def _with_epochs(places: Mapping[Place, int]) -> list[TopicPartitions]:
    return [
        TopicPartitions(topic, indexes, [places[topic, index] for index in indexes])
        for topic, indexes in by_topic(places)
    ]

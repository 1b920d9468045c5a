"""OffsetCommit, OffsetFetch and OffsetDelete, decided; and the offsets that expire.

Who may commit: a member of the present generation, unless the group is in CompletingRebalance; anybody with generation
-1 and no ids while the group is Empty or unknown (a consumer that assigns itself, an administrator).
Source: Kafka's `OffsetMetadataManager`, `ClassicGroup.validateOffsetCommit`, KIP-211, KIP-496.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.groups.classic_group import NO_MEMBER_ID, ClassicGroup, GroupState
from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.groups.rebalance import Rebalance
from tailrace.coordinator.groups.records import group_tombstone, offset_record, offset_tombstone
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from tailrace.wire.messages.offset_delete import OffsetDeleteRequest

if TYPE_CHECKING:
    from tailrace.coordinator.consumer_groups.group import ConsumerGroup
    from tailrace.wire.messages.txn_offset_commit import TxnOffsetCommitRequest

_GROUP_ID_NOT_FOUND_FROM: Final = 9
_MEMBER_EPOCHS_FROM: Final = 9


def check_commit(
    rebalance: Rebalance, group: ClassicGroup | None, request: OffsetCommitRequest, api_version: int
) -> None:
    """Raise KafkaError unless the commit is allowed; it counts as a sign of life."""
    generation, member_id = request.generation_id_or_member_epoch, request.member_id
    check_keeps_offsets(group)
    if group is None:
        if generation >= 0:
            known = api_version >= _GROUP_ID_NOT_FOUND_FROM
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND if known else ErrorCode.ILLEGAL_GENERATION)
        return
    if generation < 0 and group.state is GroupState.EMPTY:
        return
    if generation < 0 and member_id == NO_MEMBER_ID and request.group_instance_id is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
    member = group.validate_member(member_id, request.group_instance_id)
    group.validate_generation(member, generation)
    if group.state is GroupState.COMPLETING_REBALANCE:
        raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
    rebalance.extend_session(group, member)


def check_keeps_offsets(group: ClassicGroup | None) -> None:
    """Raise GROUP_ID_NOT_FOUND for a share group: it has no committed offsets."""
    if group is not None and group.share is not None:
        raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND)


def check_consumer_commit(
    group: ConsumerGroup, request: OffsetCommitRequest, api_version: int, image: MetadataImage
) -> None:
    """Raise KafkaError unless a member of a consumer group may commit."""
    epoch = request.generation_id_or_member_epoch
    if api_version < _MEMBER_EPOCHS_FROM and group.members and group.member(request.member_id).classic is None:
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION)
    group.check_commit(request.member_id, epoch, lambda: places_of(image, request))


def places_of(
    image: MetadataImage, request: OffsetCommitRequest | TxnOffsetCommitRequest
) -> Iterator[tuple[UUID, int]]:
    """Topic id and partition of what a request commits; of topics that exist."""
    for asked in request.topics:
        topic = image.topic(asked.name)
        if topic is not None:
            for partition in asked.partitions:
                yield topic.topic_id, partition.partition_index


def commit_records(
    settings: GroupSettings, now_ms: int, request: OffsetCommitRequest
) -> tuple[list[CoordinatorRecord], OffsetCommitResponse]:
    """The records of a commit, and its answer once they are in the log."""
    expire_ms = -1 if request.retention_time_ms == -1 else now_ms + request.retention_time_ms
    records: list[CoordinatorRecord] = []
    response = OffsetCommitResponse()
    for topic in request.topics:
        answered = OffsetCommitResponseTopic(topic.name, topic.topic_id)
        for partition in topic.partitions:
            code = ErrorCode.NONE
            if len(partition.committed_metadata or "") > settings.offset_metadata_max_bytes:
                code = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                committed = _committed(partition, now_ms, expire_ms, topic.topic_id)
                records.append(offset_record(request.group_id, topic.name, partition.partition_index, committed))
            answered.partitions.append(OffsetCommitResponsePartition(partition.partition_index, code))
        response.topics.append(answered)
    return records, response


def _committed(partition: OffsetCommitRequestPartition, now_ms: int, expire_ms: int, topic_id: UUID) -> CommittedOffset:
    at_ms = now_ms if partition.commit_timestamp == -1 else partition.commit_timestamp
    return CommittedOffset(
        partition.committed_offset,
        partition.committed_leader_epoch,
        partition.committed_metadata or "",
        at_ms,
        expire_ms,
        topic_id=topic_id,
    )


def refused_commit(request: OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse:
    """The same error for every partition of a commit."""
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                topic.name,
                topic.topic_id,
                [OffsetCommitResponsePartition(partition.partition_index, code) for partition in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def check_delete_offsets(group: ClassicGroup | None) -> ClassicGroup:
    """Raise KafkaError unless offsets of the group may be deleted: it exists, and is a consumer group or Empty."""
    check_keeps_offsets(group)
    if group is None:
        raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND)
    if group.consumer is None and group.state is not GroupState.EMPTY and group.protocol_type != CONSUMER_PROTOCOL_TYPE:
        raise KafkaError(ErrorCode.NON_EMPTY_GROUP)
    return group


def delete_offset_records(
    group: ClassicGroup, request: OffsetDeleteRequest
) -> tuple[list[CoordinatorRecord], frozenset[str]]:
    """Tombstones for what is asked and exists, if only in a transaction; and the topics refused, which are consumed."""
    subscribed = frozenset(topic.name for topic in request.topics if group.is_subscribed(topic.name))
    records = [
        offset_tombstone(group.group_id, topic.name, partition.partition_index)
        for topic in request.topics
        if topic.name not in subscribed
        for partition in topic.partitions
        if group.offsets.get(topic.name, partition.partition_index) is not None
        or group.pending_offsets.has(topic.name, partition.partition_index)
    ]
    return records, subscribed


def delete_topic_records(group: ClassicGroup, topics: frozenset[str]) -> list[CoordinatorRecord]:
    """Tombstones for every offset of deleted topics."""
    return [tombstone for topic, tombstone in _tombstones(group) if topic in topics]


def delete_group_records(group: ClassicGroup) -> list[CoordinatorRecord]:
    """Tombstones for a group and all its offsets."""
    records = [tombstone for _, tombstone in _tombstones(group)]
    if group.is_recorded or (records and group.consumer is None):
        records.append(group_tombstone(group.group_id))
    return records + consumer_tombstones(group)


def consumer_tombstones(group: ClassicGroup) -> list[CoordinatorRecord]:
    """Tombstones for what the consumer protocol has in the log of a group without members; none where it has not."""
    return [] if group.consumer is None else group.consumer.tombstones()


def _tombstones(group: ClassicGroup) -> Iterator[tuple[str, CoordinatorRecord]]:
    """Every topic and a tombstone for each offset there, committed or in an open transaction."""
    places = dict.fromkeys((topic, partition) for topic, partition, _ in group.offsets)
    places.update(dict.fromkeys(group.pending_offsets.places()))
    for topic, partition in places:
        yield topic, offset_tombstone(group.group_id, topic, partition)


def expired_records(group: ClassicGroup, now_ms: int, retention_ms: int) -> list[CoordinatorRecord]:
    """Tombstones for expired offsets, and for a group that has neither members nor offsets left (KIP-211)."""
    expired = [
        (topic, partition)
        for topic, partition, committed in group.offsets
        if _is_expired(group, topic, committed, now_ms, retention_ms)
        and not group.pending_offsets.has(topic, partition)
    ]
    records = [offset_tombstone(group.group_id, topic, partition) for topic, partition in expired]
    is_idle = not group.has_members and group.share is None and not group.pending_members and not group.pending_offsets
    is_unused = is_idle and len(expired) == len(group.offsets)
    if is_unused and group.consumer is not None:
        records += consumer_tombstones(group)
    elif is_unused and (group.is_recorded or records):
        records.append(group_tombstone(group.group_id))
    return records


def _is_expired(group: ClassicGroup, topic: str, committed: CommittedOffset, now_ms: int, retention_ms: int) -> bool:
    base_ms = committed.commit_timestamp_ms
    if group.consumer is not None:
        if group.is_subscribed(topic):
            return False
    elif group.protocol_type is None:
        pass
    elif group.state is GroupState.EMPTY:
        base_ms = base_ms if group.state_timestamp_ms == -1 else group.state_timestamp_ms
    elif group.state is not GroupState.STABLE or not group.subscription_is_known or group.is_subscribed(topic):
        return False
    if committed.expire_timestamp_ms != -1:
        return now_ms >= committed.expire_timestamp_ms
    return now_ms - base_ms >= retention_ms

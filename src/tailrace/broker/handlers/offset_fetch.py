"""OffsetFetch (key 9), v0-v10: how far a group has read.

Behaviour: a partition without a commit, and every one of an unknown group, is answered with offset -1 and no error.
    `require_stable` (KIP-447) is accepted: without transactions every offset is stable. Member id and epoch (v9) belong
    to the consumer protocol of KIP-848, which is not served.
Versions:  v2 null topics: everything the group has; v8 several groups, their errors apart (KIP-709); v10 topic ids.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.groups.offsets import Offsets
from tailrace.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

_GROUPS_FROM: Final = 8
_TOPIC_IDS_FROM: Final = 10
_ERROR_AT_TOP_FROM: Final = 2


def handle(services: Services, context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    """Read committed offsets."""
    if context.api_version >= _GROUPS_FROM:
        return OffsetFetchResponse(groups=[_group(services, context, group) for group in request.groups])
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(topic.name, ZERO_TOPIC_ID, topic.partition_indexes) for topic in request.topics
        ]
    group = _group(services, context, OffsetFetchRequestGroup(request.group_id, topics=topics))
    response = OffsetFetchResponse(error_code=group.error_code)
    if group.error_code and context.api_version < _ERROR_AT_TOP_FROM:
        assert topics is not None
        group.topics = [_refused(topic, group.error_code) for topic in topics]
    response.topics = [
        OffsetFetchResponseTopic(topic.name, [_older(partition) for partition in topic.partitions])
        for topic in group.topics
    ]
    return response


def _older(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition:
    return OffsetFetchResponsePartition(
        partition.partition_index,
        partition.committed_offset,
        partition.committed_leader_epoch,
        partition.metadata,
        partition.error_code,
    )


def _group(services: Services, context: RequestContext, asked: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup:
    response = OffsetFetchResponseGroup(asked.group_id)
    try:
        offsets = services.groups.committed_offsets(asked.group_id)
    except KafkaError as error:
        response.error_code = error.code
        return response
    by_id = context.api_version >= _TOPIC_IDS_FROM
    if asked.topics is None:
        response.topics = _everything(services, offsets, by_id)
    else:
        response.topics = [_topic(services, offsets, topic, by_id) for topic in asked.topics]
    return response


def _topic(
    services: Services, offsets: Offsets, asked: OffsetFetchRequestTopics, by_id: bool
) -> OffsetFetchResponseTopics:
    name = asked.name
    if by_id:
        topic = services.metadata.image.topic_by_id(asked.topic_id)
        if topic is None:
            return _refused(asked, ErrorCode.UNKNOWN_TOPIC_ID)
        name = topic.name
    partitions = [_partition(offsets, name, index) for index in asked.partition_indexes]
    return OffsetFetchResponseTopics("" if by_id else name, asked.topic_id, partitions)


def _everything(services: Services, offsets: Offsets, by_id: bool) -> list[OffsetFetchResponseTopics]:
    """All a group has committed. By id, a topic that is gone has no name to the client and is left out."""
    topics = []
    for name in offsets.topics():
        partitions = [_partition(offsets, name, index) for index in offsets.partitions(name)]
        if not by_id:
            topics.append(OffsetFetchResponseTopics(name, ZERO_TOPIC_ID, partitions))
            continue
        topic = services.metadata.image.topic(name)
        if topic is not None:
            topics.append(OffsetFetchResponseTopics("", topic.topic_id, partitions))
    return topics


def _partition(offsets: Offsets, topic: str, partition: int) -> OffsetFetchResponsePartitions:
    committed = offsets.get(topic, partition)
    if committed is None:
        return OffsetFetchResponsePartitions(partition, -1, -1, "", ErrorCode.NONE)
    return OffsetFetchResponsePartitions(
        partition, committed.offset, committed.leader_epoch, committed.metadata, ErrorCode.NONE
    )


def _refused(asked: OffsetFetchRequestTopics, code: int) -> OffsetFetchResponseTopics:
    partitions = [OffsetFetchResponsePartitions(index, -1, -1, "", code) for index in asked.partition_indexes]
    return OffsetFetchResponseTopics(asked.name, asked.topic_id, partitions)

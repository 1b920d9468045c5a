"""OffsetFetch (key 9), v0-v10: how far a group has read.

Behaviour: a partition without a commit, and every one of an unknown group, is answered with offset -1 and no error.
    With `require_stable` (KIP-447) a partition with an offset in an open transaction is UNSTABLE_OFFSET_COMMIT: what
    is committed may be about to be replaced. With a member's id and epoch (v9, KIP-848) an old epoch is refused.
    An offset that was committed for a topic that has since been deleted is not its namesake's. Before v8 the error of a
    group is told for each partition that was asked for, too: there are clients that look nowhere else (decision 26).
Versions:  v2 null topics: everything the group has; v8 several groups, their errors apart (KIP-709); v10 topic ids.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.groups.offsets import Offsets
from tailrace.coordinator.groups.pending_offsets import PendingOffsets
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


def handle(services: Services, context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    """Read committed offsets."""
    if context.api_version >= _GROUPS_FROM:
        groups = [_group(services, context, group, request.require_stable) for group in request.groups]
        return OffsetFetchResponse(groups=groups)
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(topic.name, ZERO_TOPIC_ID, topic.partition_indexes) for topic in request.topics
        ]
    asked = OffsetFetchRequestGroup(request.group_id, topics=topics)
    group = _group(services, context, asked, request.require_stable)
    response = OffsetFetchResponse(error_code=group.error_code)
    if group.error_code:
        # v0 and v1 have no other place for it; after them it stands at the top as well.
        group.topics = [_refused(topic, group.error_code) for topic in topics or ()]
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


class _Commits(NamedTuple):
    """What a group has committed, and what may not be told."""

    offsets: Offsets
    unstable: PendingOffsets | None
    """Offsets in open transactions; None when the client takes what is committed."""

    def of(self, topic: str, partition: int, topic_id: UUID | None) -> OffsetFetchResponsePartitions:
        """The answer for one partition of the topic that has the name, which has `topic_id`; None: there is none."""
        if self.unstable is not None and self.unstable.has(topic, partition):
            return OffsetFetchResponsePartitions(partition, -1, -1, "", ErrorCode.UNSTABLE_OFFSET_COMMIT)
        committed = self.offsets.get(topic, partition)
        if committed is None or (topic_id is not None and not committed.is_of(topic_id)):
            return OffsetFetchResponsePartitions(partition, -1, -1, "", ErrorCode.NONE)
        return OffsetFetchResponsePartitions(
            partition, committed.offset, committed.leader_epoch, committed.metadata, ErrorCode.NONE
        )


def _group(
    services: Services, context: RequestContext, asked: OffsetFetchRequestGroup, require_stable: bool
) -> OffsetFetchResponseGroup:
    response = OffsetFetchResponseGroup(asked.group_id)
    try:
        services.groups.check_fetch(asked.group_id, asked.member_id, asked.member_epoch)
        offsets = services.groups.committed_offsets(asked.group_id)
        unstable = services.groups.pending_offsets(asked.group_id) if require_stable else None
    except KafkaError as error:
        response.error_code = error.code
        return response
    commits = _Commits(offsets, unstable)
    by_id = context.api_version >= _TOPIC_IDS_FROM
    if asked.topics is None:
        response.topics = _everything(services, commits, by_id)
    else:
        response.topics = [_topic(services, commits, topic, by_id) for topic in asked.topics]
    return response


def _topic(
    services: Services, commits: _Commits, asked: OffsetFetchRequestTopics, by_id: bool
) -> OffsetFetchResponseTopics:
    name = asked.name
    if by_id:
        topic = services.metadata.image.topic_by_id(asked.topic_id)
        if topic is None:
            return _refused(asked, ErrorCode.UNKNOWN_TOPIC_ID)
        name = topic.name
    else:
        topic = services.metadata.image.topic(name)
    topic_id = None if topic is None else topic.topic_id
    partitions = [commits.of(name, index, topic_id) for index in asked.partition_indexes]
    return OffsetFetchResponseTopics("" if by_id else name, asked.topic_id, partitions)


def _everything(services: Services, commits: _Commits, by_id: bool) -> list[OffsetFetchResponseTopics]:
    """All a group has committed. By id, a topic that is gone has no name to the client and is left out."""
    topics = []
    for name in commits.offsets.topics():
        topic = services.metadata.image.topic(name)
        topic_id = None if topic is None else topic.topic_id
        partitions = [commits.of(name, index, topic_id) for index in commits.offsets.partitions(name)]
        if not by_id:
            topics.append(OffsetFetchResponseTopics(name, ZERO_TOPIC_ID, partitions))
        elif topic is not None:
            topics.append(OffsetFetchResponseTopics("", topic.topic_id, partitions))
    return topics


def _refused(asked: OffsetFetchRequestTopics, code: int) -> OffsetFetchResponseTopics:
    partitions = [OffsetFetchResponsePartitions(index, -1, -1, "", code) for index in asked.partition_indexes]
    return OffsetFetchResponseTopics(asked.name, asked.topic_id, partitions)

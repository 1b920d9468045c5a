"""DescribeShareGroupOffsets (key 90), v0-v1: how far share groups have come, and how far they have to go (KIP-932).

Behaviour: without topics, every partition of which the group has a state. A partition without a state has start offset
    -1; the group itself is not looked for, as in Kafka.
Versions:  v1 the lag: offsets from the start offset to the log's end that are not done with (KIP-1226).
"""

from __future__ import annotations

from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.share_state.ports import SharePartitionKey, StateSummary
from tailrace.wire.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
)

Waiting = list[tuple[SharePartitionKey, str, DescribeShareGroupOffsetsResponsePartition]]


def handle(
    services: Services, context: RequestContext, request: DescribeShareGroupOffsetsRequest
) -> Pending[DescribeShareGroupOffsetsResponse]:
    """Describe each group; answered when the last state is known."""
    waiting: Waiting = []
    response = DescribeShareGroupOffsetsResponse(groups=[_group(services, asked, waiting) for asked in request.groups])
    later: Pending[DescribeShareGroupOffsetsResponse] = Pending()
    left = len(waiting)

    def note(
        topic: str, partition: DescribeShareGroupOffsetsResponsePartition, found: StateSummary | ErrorCode
    ) -> None:
        nonlocal left
        left -= 1
        if isinstance(found, StateSummary):
            _fill(services, topic, partition, found)
        if not left:
            later.complete(response)

    if not waiting:
        later.complete(response)
    assert services.groups.share_states is not None
    keeper = services.groups.share_states()
    for key, topic, partition in waiting:
        keeper.summary(key).on_complete(partial(note, topic, partition))
    return later


def _group(
    services: Services, asked: DescribeShareGroupOffsetsRequestGroup, waiting: Waiting
) -> DescribeShareGroupOffsetsResponseGroup:
    group = DescribeShareGroupOffsetsResponseGroup(asked.group_id)
    try:
        named = _named(services, asked)
    except KafkaError as error:
        group.error_code, group.error_message = error.code, error.message
        return group
    for name, indexes in named:
        topic = services.metadata.image.topic(name)
        answered = DescribeShareGroupOffsetsResponseTopic(name)
        answered.partitions = [DescribeShareGroupOffsetsResponsePartition(index, -1) for index in indexes]
        group.topics.append(answered)
        if topic is not None:
            answered.topic_id = topic.topic_id
            waiting += [
                (SharePartitionKey(asked.group_id, topic.topic_id, each.partition_index), name, each)
                for each in answered.partitions
            ]
    return group


def _named(services: Services, asked: DescribeShareGroupOffsetsRequestGroup) -> list[tuple[str, list[int]]]:
    """Topics and partitions to describe. Raises that this is not the group's coordinator, or not yet."""
    if asked.topics is not None:
        return [(topic.topic_name, topic.partitions) for topic in asked.topics]
    image = services.metadata.image
    initialized = services.groups.share.initialized_partitions(asked.group_id)
    found = [(image.topic_by_id(topic_id), indexes) for topic_id, indexes in initialized.items()]
    return sorted((topic.name, sorted(indexes)) for topic, indexes in found if topic is not None)


def _fill(
    services: Services, topic: str, partition: DescribeShareGroupOffsetsResponsePartition, found: StateSummary
) -> None:
    partition.start_offset = found.start_offset
    partition.leader_epoch = found.leader_epoch
    if found.start_offset == -1 or found.delivery_complete_count == -1:
        return
    try:
        end = services.partitions.of(topic, partition.partition_index).high_watermark
    except KafkaError as error:
        partition.start_offset, partition.leader_epoch = 0, 0
        partition.error_code, partition.error_message = error.code, error.message
        return
    partition.lag = end - found.start_offset - found.delivery_complete_count

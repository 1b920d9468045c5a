"""DescribeTopicPartitions (key 75), v0: topics page by page (KIP-966).

Behaviour: topics in the order of their names; at most `response_partition_limit` partitions an answer, at least one and
    never more than `max.request.partition.size.limit`; the cursor of the answer says where the next page begins. Topics
    named that do not exist are answered with their error. A cursor outside the topics asked for is INVALID_REQUEST.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.authorized_operations import TOPIC_OPERATIONS
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import TopicImage
from tailrace.cluster.topic_names import topic_name_error
from tailrace.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)


def handle(
    services: Services, context: RequestContext, request: DescribeTopicPartitionsRequest
) -> DescribeTopicPartitionsResponse:
    """Describe one page."""
    image = services.metadata.image
    cursor = request.cursor
    names = sorted({topic.name for topic in request.topics} or image.topics)
    if cursor is not None:
        if cursor.partition_index < 0:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "The cursor's partition index must not be negative.")
        if request.topics and cursor.topic_name not in names:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "The cursor's topic is not among the topics asked for.")
        names = [name for name in names if name >= cursor.topic_name]
    limit = services.settings.integer("max.request.partition.size.limit")
    left = max(1, min(request.response_partition_limit, limit))
    missing = [_missing(name) for name in names if image.topic(name) is None]
    topics: list[DescribeTopicPartitionsResponseTopic] = []
    next_cursor = None
    for name in names:
        topic = image.topic(name)
        if topic is None:
            continue
        first = cursor.partition_index if cursor is not None and name == cursor.topic_name else 0
        if left == 0:
            next_cursor = Cursor(name, first)
            break
        partitions = _partitions(services, topic, first, first + left)
        left -= len(partitions)
        topics.append(_described(topic, partitions))
        if first + len(partitions) < len(topic.partitions):
            next_cursor = Cursor(name, first + len(partitions))
            break
    return DescribeTopicPartitionsResponse(topics=[*missing, *topics], next_cursor=next_cursor)


def _missing(name: str) -> DescribeTopicPartitionsResponseTopic:
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if topic_name_error(name) is not None:
        code = ErrorCode.INVALID_TOPIC_EXCEPTION
    return DescribeTopicPartitionsResponseTopic(code, name, topic_authorized_operations=TOPIC_OPERATIONS)


def _described(
    topic: TopicImage, partitions: list[DescribeTopicPartitionsResponsePartition]
) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        ErrorCode.NONE, topic.name, topic.topic_id, topic.is_internal, partitions, TOPIC_OPERATIONS
    )


def _partitions(
    services: Services, topic: TopicImage, first: int, end: int
) -> list[DescribeTopicPartitionsResponsePartition]:
    """Partitions first..end-1 of a topic, as far as they exist."""
    described = []
    for index in range(first, min(end, len(topic.partitions))):
        partition, offline_replicas = services.partition_state(topic.name, index)
        described.append(
            DescribeTopicPartitionsResponsePartition(
                ErrorCode.NONE if partition.leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE,
                index,
                partition.leader,
                partition.leader_epoch,
                list(partition.replicas),
                list(partition.isr),
                [],
                [],
                offline_replicas,
            )
        )
    return described

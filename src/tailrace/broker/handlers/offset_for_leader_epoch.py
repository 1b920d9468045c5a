"""OffsetForLeaderEpoch (key 23), v0-v4: where an epoch ends in the leader's log, so that others can truncate to it.

Behaviour: the largest epoch not above the one asked for, and the start of the next; (-1, -1) when there is none.
Versions: v2 fences by current leader epoch (KIP-320).
"""

from __future__ import annotations

from tailrace.base.errors import KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)


def handle(
    services: Services, context: RequestContext, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    """Answer every partition asked for."""
    topics = []
    for topic in request.topics:
        answers = []
        for asked in topic.partitions:
            try:
                partition = services.partitions.of(topic.topic, asked.partition)
                partition.check_leader_epoch(asked.current_leader_epoch)
                epoch, end_offset = partition.log.end_offset_for_epoch(asked.leader_epoch)
                answers.append(EpochEndOffset(0, asked.partition, epoch, end_offset))
            except KafkaError as error:
                answers.append(EpochEndOffset(error.code, asked.partition))
        topics.append(OffsetForLeaderTopicResult(topic.topic, answers))
    return OffsetForLeaderEpochResponse(topics=topics)

"""OffsetCommit (key 8), v0-v10: remember how far a group has read.

Behaviour: partitions that do not exist are answered UNKNOWN_TOPIC_OR_PARTITION (UNKNOWN_TOPIC_ID by id) and the rest is
    committed. An empty group id is allowed, as Kafka allows it to consumers that never set one.
Versions:  v0 is stored like the others (Kafka kept it in ZooKeeper); v1 carries timestamps; v2-v4 a retention time that
    overrides KIP-211; v7 static members; v10 topic ids.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

_TOPIC_IDS_FROM: Final = 10


class _Part(NamedTuple):
    """One topic of the request, split."""

    asked: OffsetCommitRequestTopic
    existing: OffsetCommitRequestTopic
    refused: dict[int, OffsetCommitResponsePartition]


def handle(
    services: Services, context: RequestContext, request: OffsetCommitRequest
) -> OffsetCommitResponse | Pending[OffsetCommitResponse]:
    """Commit what exists; answer in the order of the request."""
    parts = [_split(services, context, asked) for asked in request.topics]
    existing = [part.existing for part in parts if part.existing.partitions]
    if not existing:
        return _merged(parts, OffsetCommitResponse(), context.api_version)
    named = OffsetCommitRequest(
        request.group_id,
        request.generation_id_or_member_epoch,
        request.member_id,
        request.group_instance_id,
        request.retention_time_ms,
        existing,
    )
    later: Pending[OffsetCommitResponse] = Pending()
    services.groups.commit_offsets(named, context.api_version).on_complete(
        lambda committed: later.complete(_merged(parts, committed, context.api_version))
    )
    return later


def _split(services: Services, context: RequestContext, asked: OffsetCommitRequestTopic) -> _Part:
    """What of `asked` exists, under its topic's name and id, and the refusals of the rest."""
    image = services.metadata.image
    by_id = context.api_version >= _TOPIC_IDS_FROM
    topic = image.topic_by_id(asked.topic_id) if by_id else image.topic(asked.name)
    missing = ErrorCode.UNKNOWN_TOPIC_ID if by_id and topic is None else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    known = range(0) if topic is None else range(len(topic.partitions))
    found = OffsetCommitRequestTopic() if topic is None else OffsetCommitRequestTopic(topic.name, topic.topic_id)
    part = _Part(asked, found, {})
    for partition in asked.partitions:
        index = partition.partition_index
        if index in known:
            part.existing.partitions.append(partition)
        else:
            part.refused[index] = OffsetCommitResponsePartition(index, missing)
    return part


def _merged(parts: list[_Part], committed: OffsetCommitResponse, api_version: int) -> OffsetCommitResponse:
    response = OffsetCommitResponse()
    committed_topics = iter(committed.topics)
    for part in parts:
        answers = dict(part.refused)
        if part.existing.partitions:
            answers.update((done.partition_index, done) for done in next(committed_topics).partitions)
        name = "" if api_version >= _TOPIC_IDS_FROM else part.asked.name
        partitions = [answers[asked.partition_index] for asked in part.asked.partitions]
        response.topics.append(OffsetCommitResponseTopic(name, part.asked.topic_id, partitions))
    return response

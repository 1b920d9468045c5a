"""ListOffsets (key 2), v0-v11: the offset of a point in time, or of the log's ends.

Behaviour: each partition has its own code; a client with a stale leader epoch is fenced.
Versions: v0 lists segment starts, highest first, before a time; v1 one offset and timestamp; v2 isolation level; v4
    leader epochs (KIP-320); v7 max timestamp (KIP-734); v8, v9, v11 positions of tiered storage, which an untiered log
    answers as earliest, none and none.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.replication.partition import (
    EARLIEST_LOCAL_TIMESTAMP,
    EARLIEST_PENDING_UPLOAD_TIMESTAMP,
    EARLIEST_TIMESTAMP,
    LATEST_TIERED_TIMESTAMP,
    LATEST_TIMESTAMP,
    MAX_TIMESTAMP,
    Partition,
)
from tailrace.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

_FIRST_VERSION_OF = {
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL_TIMESTAMP: 8,
    LATEST_TIERED_TIMESTAMP: 9,
    EARLIEST_PENDING_UPLOAD_TIMESTAMP: 11,
}
"""Special timestamps and the request version that brought them; before it they are UNSUPPORTED_VERSION."""


def handle(services: Services, context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    """Answer every partition asked for."""
    asked_twice = _asked_twice(request)
    refused: set[tuple[str, int]] = set()
    topics = []
    for topic in request.topics:
        answers = []
        for asked in topic.partitions:
            key = (topic.name, asked.partition_index)
            if key in asked_twice:
                if key not in refused:
                    refused.add(key)
                    answers.append(_failed(asked, ErrorCode.INVALID_REQUEST))
                continue
            try:
                partition = services.partitions.of(topic.name, asked.partition_index)
                partition.check_leader_epoch(asked.current_leader_epoch)
                answers.append(_answer(partition, context.api_version, request.isolation_level, asked))
            except KafkaError as error:
                answers.append(_failed(asked, error.code))
        topics.append(ListOffsetsTopicResponse(topic.name, answers))
    return ListOffsetsResponse(topics=topics)


def _asked_twice(request: ListOffsetsRequest) -> set[tuple[str, int]]:
    """Partitions named more than once: refused, once each, for a client could not tell the answers apart."""
    seen: set[tuple[str, int]] = set()
    twice: set[tuple[str, int]] = set()
    for topic in request.topics:
        for asked in topic.partitions:
            key = (topic.name, asked.partition_index)
            (twice if key in seen else seen).add(key)
    return twice


def _failed(asked: ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(asked.partition_index, code, timestamp=-1, offset=-1)


def _answer(
    partition: Partition, version: int, isolation: int, asked: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    if version == 0:
        offsets = _segment_starts(partition, asked.timestamp, asked.max_num_offsets)
        return ListOffsetsPartitionResponse(asked.partition_index, 0, old_style_offsets=offsets)
    if asked.timestamp < EARLIEST_TIMESTAMP and version < _FIRST_VERSION_OF.get(asked.timestamp, 1 << 15):
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION)
    timestamp, offset, epoch = partition.offset_for(asked.timestamp, isolation)
    return ListOffsetsPartitionResponse(asked.partition_index, 0, timestamp, offset, epoch)


def _segment_starts(partition: Partition, timestamp: int, count: int) -> list[int]:
    """At most `count` offsets, highest first: the log's end and the segments' bases, older than `timestamp`.

    Source: Kafka before 4.0, `legacyFetchOffsetsBefore`.
    """
    if timestamp == EARLIEST_TIMESTAMP:
        return [partition.log_start_offset][:count]
    newest = timestamp == LATEST_TIMESTAMP
    starts = [found.base_offset for found in partition.log.segments if newest or found.modified_ms() <= timestamp]
    offsets = sorted({max(base, partition.log_start_offset) for base in starts}, reverse=True)
    if newest:
        offsets = sorted({*offsets, partition.high_watermark}, reverse=True)
    return offsets[: max(count, 0)]

"""ListOffsets (key 2), v0-v11: the offset of a point in time, or of the log's ends.

Behaviour: each partition has its own code; a client with a stale leader epoch is fenced. What a search by time misses
    in memory is loaded by other threads while the answer waits. Replica id -2, a tool that compares replicas, is
    answered by followers too, and told the log's end instead of what is committed.
Versions: v0 lists segment starts, highest first, before a time; v1 one offset and timestamp; v2 isolation level; v4
    leader epochs (KIP-320); v7 max timestamp (KIP-734); v8, v9, v11 positions of tiered storage, which an untiered log
    answers as earliest, none and none.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.page_cache import NotResident
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
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

FIRST_VERSION_WITH_NOT_AVAILABLE = 5
"""Before it a client is told LEADER_NOT_AVAILABLE, which it retries as well. Source: KIP-207."""

_DEBUGGING_REPLICA = -2
"""Source: ListOffsetsRequest.DEBUGGING_REPLICA_ID, of Kafka's ReplicaVerificationTool."""

_FIRST_VERSION_OF = {
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL_TIMESTAMP: 8,
    LATEST_TIERED_TIMESTAMP: 9,
    EARLIEST_PENDING_UPLOAD_TIMESTAMP: 11,
}
"""Special timestamps and the request version that brought them; before it they are UNSUPPORTED_VERSION."""


def handle(
    services: Services, context: RequestContext, request: ListOffsetsRequest
) -> ListOffsetsResponse | Pending[ListOffsetsResponse]:
    """Answer every partition asked for, at once where nothing has to be read from the disk."""
    listing = _Listing(services, context, request)
    listing.go_on()
    return listing.answer.value if listing.answer.done else listing.answer


class _Listing:
    """One request on its way: the answers found, and the partitions that wait for the disk."""

    def __init__(self, services: Services, context: RequestContext, request: ListOffsetsRequest) -> None:
        self.answer: Pending[ListOffsetsResponse] = Pending()
        self._services = services
        self._version = context.api_version
        self._isolation = request.isolation_level
        self._is_debugging = request.replica_id == _DEBUGGING_REPLICA
        self._scope = services.cold_reads.scope()
        self._topics: list[tuple[str, list[ListOffsetsPartitionResponse | None]]] = []
        self._waiting: list[_Place] = []
        self._broken: dict[tuple[int, int], StorageError] = {}
        self._loading = 0
        asked_twice = _asked_twice(request)
        refused: set[tuple[str, int]] = set()
        for topic in request.topics:
            answers: list[ListOffsetsPartitionResponse | None] = []
            self._topics.append((topic.name, answers))
            for asked in topic.partitions:
                key = (topic.name, asked.partition_index)
                if key not in asked_twice:
                    self._waiting.append(_Place(topic.name, len(self._topics) - 1, len(answers), asked))
                    answers.append(None)
                elif key not in refused:
                    refused.add(key)
                    answers.append(_failed(asked, ErrorCode.INVALID_REQUEST))

    def go_on(self) -> None:
        """Answer the partitions that wait; what they miss in memory is loaded, and they are tried again."""
        waiting, self._waiting = self._waiting, []
        pieces: list[tuple[_Place, NotResident]] = []
        with self._scope:
            for place in waiting:
                try:
                    self._topics[place.topic_index][1][place.answer_index] = self._look_up(place)
                except NotResident as missing:
                    pieces.append((place, missing))
        if not pieces:
            topics = [
                ListOffsetsTopicResponse(name, [found for found in answers if found is not None])
                for name, answers in self._topics
            ]
            self.answer.complete(ListOffsetsResponse(topics=topics))
            return
        self._waiting = [place for place, _ in pieces]
        self._loading = len(pieces)
        for place, piece in pieces:
            self._services.cold_reads.load(piece, partial(self._on_loaded, place, piece))

    def _on_loaded(self, place: _Place, piece: NotResident, error: OSError | None) -> None:
        if error is not None:
            self._broken[place.topic_index, place.answer_index] = StorageError("read", str(piece.path), error)
        self._loading -= 1
        if not self._loading:
            self.go_on()

    def _look_up(self, place: _Place) -> ListOffsetsPartitionResponse:
        asked = place.asked
        try:
            broken = self._broken.get((place.topic_index, place.answer_index))
            if broken is not None:
                raise broken
            partition = self._replica(place.topic, asked.partition_index)
            partition.check_leader_epoch(asked.current_leader_epoch)
            if self._is_debugging and asked.timestamp == LATEST_TIMESTAMP and self._version > 0:
                return ListOffsetsPartitionResponse(
                    asked.partition_index, 0, -1, partition.log_end_offset, partition.leader_epoch
                )
            return _answer(partition, self._version, self._isolation, asked)
        except KafkaError as error:
            if error.code is ErrorCode.OFFSET_NOT_AVAILABLE and self._version < FIRST_VERSION_WITH_NOT_AVAILABLE:
                return _failed(asked, ErrorCode.LEADER_NOT_AVAILABLE)
            return _failed(asked, error.code)
        except StorageError as error:
            self._services.on_storage_error(error)
            return _failed(asked, ErrorCode.KAFKA_STORAGE_ERROR)

    def _replica(self, topic: str, index: int) -> Partition:
        """The partition, led here; for a tool that compares replicas, followed too."""
        partitions = self._services.partitions
        followed = partitions.get_followed(TopicPartition(topic, index)) if self._is_debugging else None
        return followed or partitions.of(topic, index)


class _Place(NamedTuple):
    """Where the answer for one partition goes."""

    topic: str
    topic_index: int
    answer_index: int
    asked: ListOffsetsPartition


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

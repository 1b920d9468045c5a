"""What members say of records they acquired: checked, handed to the share partitions, answered when it is kept.

The same for ShareFetch, which brings such words along, and ShareAcknowledge, which brings nothing else.
Source: Kafka KafkaApis.handleAcknowledgements, SharePartitionManager.acknowledge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicId
from tailrace.broker.services import Services
from tailrace.broker.share.live_partition import Outcome
from tailrace.broker.share.requests import Acknowledgements, AcknowledgeType
from tailrace.broker.share.share_sessions import TopicIdPartition

Outcomes = dict[TopicIdPartition, KafkaError | None]


class _Batch(Protocol):
    first_offset: int
    last_offset: int
    acknowledge_types: list[int]


class _Partition(Protocol):
    partition_index: int

    @property
    def acknowledgement_batches(self) -> Sequence[_Batch]: ...


class _Topic(Protocol):
    topic_id: TopicId

    @property
    def partitions(self) -> Sequence[_Partition]: ...


class AcknowledgeRequest(Protocol):
    """What ShareFetch and ShareAcknowledge have in common."""

    group_id: str | None
    member_id: str | None
    is_renew_ack: bool

    @property
    def topics(self) -> Sequence[_Topic]: ...


def says_anything(request: AcknowledgeRequest) -> bool:
    """Whether the request acknowledges anything."""
    return any(asked.acknowledgement_batches for topic in request.topics for asked in topic.partitions)


def acknowledge(services: Services, request: AcknowledgeRequest) -> Pending[Outcomes]:
    """Completes with what became of each partition that the request acknowledges in: None, or why it was refused."""
    waiting: list[tuple[TopicIdPartition, Outcome]] = []
    outcomes: Outcomes = {}
    for topic in request.topics:
        for asked in topic.partitions:
            if asked.acknowledgement_batches:
                key = (topic.topic_id, asked.partition_index)
                try:
                    waiting.append((key, _acknowledge_one(services, request, key, asked.acknowledgement_batches)))
                except KafkaError as error:
                    outcomes[key] = error
                except StorageError as error:
                    services.on_storage_error(error)
                    outcomes[key] = KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)
    return _joined(outcomes, waiting)


def _acknowledge_one(
    services: Services, request: AcknowledgeRequest, key: TopicIdPartition, batches: Sequence[_Batch]
) -> Outcome:
    name = services.partitions.name_of(key[0])
    if name is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
    said = _checked(batches, request.is_renew_ack)
    live = services.share.find(request.group_id or "", *key)
    if live is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return live.acknowledge(request.member_id or "", said)


def _checked(batches: Iterable[_Batch], may_renew: bool) -> list[Acknowledgements]:
    """Raises INVALID_REQUEST for what makes no sense."""
    said = []
    highest = AcknowledgeType.RENEW if may_renew else AcknowledgeType.REJECT
    for batch in batches:
        types = batch.acknowledge_types
        if batch.first_offset > batch.last_offset:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "Acknowledged offsets must rise.")
        if not types or len(types) not in (1, batch.last_offset - batch.first_offset + 1):
            raise KafkaError(ErrorCode.INVALID_REQUEST, "There must be one acknowledge type, or one for each offset.")
        if not all(0 <= kind <= highest for kind in types):
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Acknowledge types are 0 to {highest:d}.")
        said.append(Acknowledgements(batch.first_offset, batch.last_offset, types))
    return said


def _joined(outcomes: Outcomes, waiting: list[tuple[TopicIdPartition, Outcome]]) -> Pending[Outcomes]:
    joined: Pending[Outcomes] = Pending()
    open_count = len(waiting)

    def note(key: TopicIdPartition, error: KafkaError | None) -> None:
        nonlocal open_count
        outcomes[key] = error
        open_count -= 1
        if not open_count:
            joined.complete(outcomes)

    for key, outcome in waiting:
        outcome.on_complete(partial(note, key))
    if not waiting:
        joined.complete(outcomes)
    return joined

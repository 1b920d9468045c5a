"""TxnOffsetCommit (key 28), v0-v6: how far a group has read, true when the producer's transaction commits.

Behaviour: partitions that do not exist are answered UNKNOWN_TOPIC_OR_PARTITION (UNKNOWN_TOPIC_ID by id) and the rest is
    committed. The partition that keeps the group must be a part of the transaction (KIP-890).
Versions:  before v2 clients know COORDINATOR_NOT_AVAILABLE in the place of COORDINATOR_LOAD_IN_PROGRESS; v3 group
    membership is checked (KIP-447); v4 TRANSACTION_ABORTABLE; v5 adds the group's partition to the transaction, where
    clients sent AddOffsetsToTxn; v6 topic ids, and STALE_MEMBER_EPOCH and GROUP_ID_NOT_FOUND in the place of
    ILLEGAL_GENERATION (KIP-1319).
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.transaction_entry import Entrant, Entry, enter
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
from tailrace.replication.verification import NO_SEQUENCE
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

_LOADING_FROM: Final = 2
_ABORTABLE_FROM: Final = 4
_ADDS_FROM: Final = 5
_TOPIC_IDS_FROM: Final = 6

Codes = dict[tuple[str, int], int]


def handle(
    services: Services, context: RequestContext, request: TxnOffsetCommitRequest
) -> TxnOffsetCommitResponse | Pending[TxnOffsetCommitResponse]:
    """Commit what exists; answer in the order of the request."""
    names = [_name(services, context, topic) for topic in request.topics]
    existing = _existing(services, request, names)
    version = context.api_version
    if not existing.topics:
        return _answer(request, names, {}, version)
    later: Pending[TxnOffsetCommitResponse] = Pending()

    def refuse(code: ErrorCode) -> None:
        if code is ErrorCode.NETWORK_EXCEPTION:  # older clients know no such answer; after this one they ask again
            code = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        if code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and version < _LOADING_FROM:
            code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        codes: Codes = {
            (topic.name, each.partition_index): code for topic in existing.topics for each in topic.partitions
        }
        later.complete(_answer(request, names, codes, version))

    def commit(entry: Entry) -> None:
        if entry.refused:
            refuse(next(iter(entry.refused.values())))
            return
        (verification,) = entry.verifications.values()
        services.groups.commit_transactional_offsets(existing, version, verification).on_complete(committed)

    def committed(response: TxnOffsetCommitResponse) -> None:
        codes: Codes = {}
        for topic in response.topics:
            codes.update(((topic.name, each.partition_index), each.error_code) for each in topic.partitions)
        later.complete(_answer(request, names, codes, version))

    try:
        partition = services.partitions.of(GROUP_METADATA_TOPIC, services.groups.partition_for(request.group_id))
    except KafkaError:
        refuse(ErrorCode.NOT_COORDINATOR)
        return later
    producer = ProducerIdAndEpoch(request.producer_id, request.producer_epoch)
    entrant = Entrant(request.transactional_id, producer, version >= _ADDS_FROM, version >= _ABORTABLE_FROM)
    enter(services, entrant, [(partition, NO_SEQUENCE)]).on_complete(commit)
    return later


def _name(services: Services, context: RequestContext, topic: TxnOffsetCommitRequestTopic) -> str | None:
    """The topic's name; None for an id nobody has."""
    if context.api_version < _TOPIC_IDS_FROM:
        return topic.name
    found = services.metadata.image.topic_by_id(topic.topic_id)
    return None if found is None else found.name


def _existing(services: Services, request: TxnOffsetCommitRequest, names: list[str | None]) -> TxnOffsetCommitRequest:
    """The request for what exists, by name and id."""
    topics = []
    for name, topic in zip(names, request.topics, strict=True):
        found = None if name is None else services.metadata.image.topic(name)
        if found is None:
            continue
        known = range(len(found.partitions))
        partitions = [each for each in topic.partitions if each.partition_index in known]
        if partitions:
            topics.append(TxnOffsetCommitRequestTopic(found.name, found.topic_id, partitions))
    return TxnOffsetCommitRequest(
        request.transactional_id,
        request.group_id,
        request.producer_id,
        request.producer_epoch,
        request.generation_id_or_member_epoch,
        request.member_id,
        request.group_instance_id,
        topics,
    )


def _answer(
    request: TxnOffsetCommitRequest, names: list[str | None], codes: Codes, version: int
) -> TxnOffsetCommitResponse:
    """`codes` in the request's order; what has none does not exist."""
    response = TxnOffsetCommitResponse()
    for name, topic in zip(names, request.topics, strict=True):
        missing = ErrorCode.UNKNOWN_TOPIC_ID if name is None else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        partitions = [
            TxnOffsetCommitResponsePartition(
                each.partition_index, missing if name is None else codes.get((name, each.partition_index), missing)
            )
            for each in topic.partitions
        ]
        shown = "" if version >= _TOPIC_IDS_FROM else topic.name
        response.topics.append(TxnOffsetCommitResponseTopic(shown, topic.topic_id, partitions))
    return response

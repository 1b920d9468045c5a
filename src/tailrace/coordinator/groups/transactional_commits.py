"""TxnOffsetCommit, decided: offsets that are committed when, and only if, the producer's transaction is.

Who may: a member of the present generation, in whatever state the group is (the producer's fence is what counts then,
KIP-447); anybody with generation -1 and no ids, for producers older than KIP-447 say no more than that.
A member of a consumer group may not commit for a partition that another one owns, though its epoch be the present one:
librdkafka may report that it owns nothing while it is taking up what it was given, so that the coordinator gives it to
somebody else, and then reads it for a moment; both would process the same records. Kafka accepts such a commit.
Source: Kafka's `OffsetMetadataManager.validateTransactionalOffsetCommit`, `ClassicGroup.validateOffsetCommit`.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.groups.classic_group import NO_MEMBER_ID, ClassicGroup
from tailrace.coordinator.groups.commits import check_keeps_offsets, places_of
from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.groups.records import offset_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

_NEWER_CODES_FROM: Final = 6


def check_transactional_commit(
    group: ClassicGroup | None, request: TxnOffsetCommitRequest, api_version: int, image: MetadataImage
) -> None:
    """Raise KafkaError unless the commit is allowed.

    Before v6 an epoch that is not the present one is ILLEGAL_GENERATION: a Java producer ends itself at a newer code.
    """
    generation, member_id = request.generation_id_or_member_epoch, request.member_id
    tells_more = api_version >= _NEWER_CODES_FROM
    check_keeps_offsets(group)
    if group is None:
        if generation >= 0:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND if tells_more else ErrorCode.ILLEGAL_GENERATION)
        return
    is_nobody = member_id == NO_MEMBER_ID and request.group_instance_id is None
    if generation < 0 and (is_nobody or not group.has_members):
        return
    if group.consumer is None:
        member = group.validate_member(member_id, request.group_instance_id)
        group.validate_generation(member, generation)
        return
    try:
        group.consumer.check_commit(member_id, generation, lambda: places_of(image, request))
        group.consumer.check_owner(member_id, places_of(image, request))
    except KafkaError as error:
        if error.code is ErrorCode.STALE_MEMBER_EPOCH and not tells_more:
            raise KafkaError(ErrorCode.ILLEGAL_GENERATION) from None
        raise


def transactional_commit_records(
    settings: GroupSettings, now_ms: int, request: TxnOffsetCommitRequest
) -> tuple[list[CoordinatorRecord], TxnOffsetCommitResponse]:
    """The records of a commit, and its answer once they are in the log."""
    records: list[CoordinatorRecord] = []
    response = TxnOffsetCommitResponse()
    for topic in request.topics:
        answered = TxnOffsetCommitResponseTopic(topic.name, topic.topic_id)
        for partition in topic.partitions:
            metadata = partition.committed_metadata or ""
            code = ErrorCode.NONE
            if len(metadata) > settings.offset_metadata_max_bytes:
                code = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                committed = CommittedOffset(
                    partition.committed_offset,
                    partition.committed_leader_epoch,
                    metadata,
                    now_ms,
                    topic_id=topic.topic_id,
                )
                records.append(offset_record(request.group_id, topic.name, partition.partition_index, committed))
            answered.partitions.append(TxnOffsetCommitResponsePartition(partition.partition_index, code))
        response.topics.append(answered)
    return records, response


def refused_transactional_commit(request: TxnOffsetCommitRequest, code: ErrorCode) -> TxnOffsetCommitResponse:
    """The same error for every partition of a commit."""
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                topic.name,
                topic.topic_id,
                [TxnOffsetCommitResponsePartition(partition.partition_index, code) for partition in topic.partitions],
            )
            for topic in request.topics
        ]
    )

"""DeleteRecords (key 21), v0-v2: move the start of partitions up.

Behaviour: each partition has its own code; -1 means up to the high watermark. The answer's low watermark is the new
    start of the log, -1 on error. Beyond the high watermark, or below -1: OFFSET_OUT_OF_RANGE; a compacted topic:
    POLICY_VIOLATION; an internal topic: INVALID_TOPIC_EXCEPTION. Where there are followers the answer waits until those
    that are active have deleted as well; after `timeout_ms` such a partition is REQUEST_TIMED_OUT, and deletes yet.
    Kafka notes the new starts once a minute; here the answer waits until they are noted: a crash brings nothing back.
    Where they cannot be noted it is given all the same, and the disk's failure goes its own way.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.delayed_delete_records import FollowerWaits
from tailrace.broker.services import Services, Trouble
from tailrace.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)


def handle(
    services: Services, context: RequestContext, request: DeleteRecordsRequest
) -> DeleteRecordsResponse | Pending[DeleteRecordsResponse]:
    """Delete what is before the given offsets. A partition named twice: the last offset counts, as in Kafka."""
    asked: dict[str, dict[int, DeleteRecordsPartition]] = {}
    for topic in request.topics:
        partitions = asked.setdefault(topic.name, {})
        partitions.update((partition.partition_index, partition) for partition in topic.partitions)
    waits = FollowerWaits()
    topics = [
        DeleteRecordsTopicResult(name, [_delete(services, name, partition, waits) for partition in partitions.values()])
        for name, partitions in asked.items()
    ]
    response = DeleteRecordsResponse(topics=topics)
    noted: Pending[DeleteRecordsResponse] = Pending()

    def answer(_: StorageError | None) -> None:
        noted.complete(response)

    def on_written(error: StorageError | None) -> None:
        if error is not None and services.on_storage_error(error) is Trouble.NO_SPACE:
            services.logs.write_log_start_offsets(answer)  # the reserve is given up by now
        else:
            answer(error)

    services.logs.write_log_start_offsets(on_written)
    if not waits.all_told:
        return _when_both(noted, waits.begin(services.timers, request.timeout_ms), response)
    return response if noted.done else noted


def _when_both(
    noted: Pending[DeleteRecordsResponse], followed: Pending[None], response: DeleteRecordsResponse
) -> Pending[DeleteRecordsResponse]:
    answer: Pending[DeleteRecordsResponse] = Pending()
    noted.on_complete(lambda _: followed.on_complete(lambda _: answer.complete(response)))
    return answer


def _delete(
    services: Services, topic: str, asked: DeleteRecordsPartition, waits: FollowerWaits
) -> DeleteRecordsPartitionResult:
    index = asked.partition_index
    try:
        partition = services.partitions.of(topic, index)
        if topic in services.internal_topics:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION)
        if asked.offset < -1:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
        start_offset = services.logs.with_reserve(lambda: partition.delete_records(asked.offset))
        result = DeleteRecordsPartitionResult(index, start_offset, ErrorCode.NONE)
        if partition.followers is not None:
            waits.add(partition.followers, result)
        return result
    except KafkaError as error:
        return DeleteRecordsPartitionResult(index, -1, error.code)
    except StorageError as error:
        services.on_storage_error(error)
        return DeleteRecordsPartitionResult(index, -1, ErrorCode.KAFKA_STORAGE_ERROR)

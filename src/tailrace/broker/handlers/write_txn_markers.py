"""WriteTxnMarkers (key 27), v1-v2: end a transaction in the partitions named, whatever its coordinator thinks.

Behaviour: brokers send it to each other, and administrators end a hanging transaction with it (KIP-664). Each
    partition has its own code, REQUEST_TIMED_OUT where the marker is in the log and not replicated in time: who asks
    again then has it written twice, which does no harm.
Versions: v2 the version of transactions, for how the epoch is checked (KIP-1228).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.limits import MARKER_WAIT_MAX_MS
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.context import RequestContext
from tailrace.broker.markers import write_marker
from tailrace.broker.services import Services
from tailrace.replication.transactional import Marker
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


def handle(
    services: Services, context: RequestContext, request: WriteTxnMarkersRequest
) -> WriteTxnMarkersResponse | Pending[WriteTxnMarkersResponse]:
    """Write every marker to every partition it names; answered when the last one is committed, or will not be."""
    later: Pending[WriteTxnMarkersResponse] = Pending()
    response = WriteTxnMarkersResponse()
    waiting: set[int] = set()
    results: list[tuple[Marker, str, WritableTxnMarkerPartitionResult]] = []
    for asked in request.markers:
        marker = Marker(
            asked.producer_id,
            asked.producer_epoch,
            asked.transaction_result,
            asked.coordinator_epoch,
            asked.transaction_version,
        )
        answered = WritableTxnMarkerResult(asked.producer_id)
        for topic in asked.topics:
            partitions = [WritableTxnMarkerPartitionResult(index) for index in topic.partition_indexes]
            answered.topics.append(WritableTxnMarkerTopicResult(topic.name, partitions))
            results += [(marker, topic.name, each) for each in partitions]
        response.markers.append(answered)

    def note(number: int, code: ErrorCode | None) -> None:
        if number in waiting:
            results[number][2].error_code = ErrorCode.NONE if code is None else code
            waiting.discard(number)
            if not waiting:
                later.complete(response)

    def give_up() -> None:
        for number in list(waiting):
            note(number, ErrorCode.REQUEST_TIMED_OUT)

    waiting.update(range(len(results)))
    for number, (marker, name, result) in enumerate(results):
        _write(services, marker, TopicPartition(name, result.partition_index), partial(note, number))
    if waiting:
        timer = services.timers.schedule(MARKER_WAIT_MAX_MS, give_up)
        later.on_complete(lambda _: timer.cancel())
    return later if results else response


def _write(services: Services, marker: Marker, to: TopicPartition, told: Callable[[ErrorCode | None], None]) -> None:
    try:
        partition = services.partitions.of(*to)
        write_marker(partition, services.groups, marker, services.clock.wall_ms(), told)
    except KafkaError as error:
        told(error.code)
    except StorageError as error:
        services.on_storage_error(error)
        told(ErrorCode.KAFKA_STORAGE_ERROR)

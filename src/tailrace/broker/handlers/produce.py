"""Produce (key 0), v0-v13.

Behaviour: every partition is appended on its own and answered with its own code; acks 0 gets no answer, and an error
    then closes the connection, the only sign a client can see. acks 1 is answered after the append, acks all when
    the high watermark has passed it, or else with REQUEST_TIMED_OUT when the request's timeout has. With one replica
    the high watermark follows the append, unless the topic's settings ask for a flush first.
Versions: v0-v2 carry message sets of magic 0 and 1, converted to a batch; v3 transactional id; v7 zstd; v8 record
    errors (KIP-467); v10 current leader (KIP-951); v13 topic ids (KIP-516).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, InvalidRecords, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.delayed_produce import CommitWait, delay
from tailrace.broker.services import CloseConnection, Services
from tailrace.records.batch import (
    ATTRIBUTES_OFFSET,
    LOG_OVERHEAD,
    MAGIC,
    MAGIC_OFFSET,
    TRANSACTIONAL_MASK,
    RecordBatch,
)
from tailrace.records.compression import Codec
from tailrace.records.legacy import up_convert
from tailrace.wire.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)

ADMIN_CLIENT_ID = "__admin_client"
"""The one client id that may write to internal topics. Source: Kafka `AdminUtils.ADMIN_CLIENT_ID`."""

_WITHOUT_LOG_START = frozenset(
    {
        ErrorCode.CORRUPT_MESSAGE,
        ErrorCode.MESSAGE_TOO_LARGE,
        ErrorCode.RECORD_LIST_TOO_LARGE,
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    }
)
"""Refusals of the log in which Kafka does not tell where it starts. Source: `ReplicaManager.appendToLocalLog`."""


def handle(
    services: Services, context: RequestContext, request: ProduceRequest
) -> ProduceResponse | Pending[ProduceResponse] | None:
    """Append every partition's records; None for acks 0."""
    version = context.api_version
    topics: list[TopicProduceResponse] = []
    waits: list[CommitWait] = []
    failed = False
    refusal = _refusal(request)
    for topic in request.topic_data:
        name = topic.name if version < 13 else services.partitions.name_of(topic.topic_id)
        answers: list[PartitionProduceResponse] = []
        for data in topic.partition_data:
            if refusal is not None:
                answer = PartitionProduceResponse(data.index, refusal, base_offset=-1)
            else:
                answer = _append(services, context, name, data, request.acks, waits)
            failed = failed or answer.error_code != 0
            answers.append(answer)
        topics.append(TopicProduceResponse(topic.name, topic.topic_id, answers))
    if request.acks == 0:
        if failed:
            raise CloseConnection("a Produce with acks=0 was refused")
        return None
    response = ProduceResponse(topics)
    return delay(response, waits, services.timers, request.timeout_ms) if waits else response


def _refusal(request: ProduceRequest) -> ErrorCode | None:
    """A reason to refuse the whole request. Nobody may write in transactions, for they are not served."""
    if request.acks not in (-1, 0, 1):
        return ErrorCode.INVALID_REQUIRED_ACKS
    if request.transactional_id is not None or _has_transactional_records(request):
        return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    return None


def _has_transactional_records(request: ProduceRequest) -> bool:
    return any(_is_transactional(data.records) for topic in request.topic_data for data in topic.partition_data)


def _is_transactional(records: bytes | bytearray | memoryview | None) -> bool:
    low_attributes = ATTRIBUTES_OFFSET + 1
    if records is None or len(records) <= low_attributes or records[MAGIC_OFFSET] != MAGIC:
        return False
    return records[low_attributes] & TRANSACTIONAL_MASK != 0


def _append(
    services: Services,
    context: RequestContext,
    name: str | None,
    data: PartitionProduceData,
    acks: int,
    waits: list[CommitWait],
) -> PartitionProduceResponse:
    """Append one partition's records; every refusal becomes its answer. One that must wait is added to `waits`."""
    log_start_offset = -1
    try:
        if name is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        partition = services.partitions.of(name, data.index)
        if name in services.internal_topics and context.client_id != ADMIN_CLIENT_ID:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Cannot append to internal topic {name}.")
        records = _batch_of(data, context.api_version)
        log_start_offset = partition.log_start_offset
        info = partition.append(records)
    except KafkaError as error:
        return _refused(data.index, error, log_start_offset)
    except StorageError as error:
        services.on_storage_error(error)
        return PartitionProduceResponse(data.index, ErrorCode.KAFKA_STORAGE_ERROR, base_offset=-1)
    answer = PartitionProduceResponse(data.index, 0, info.first_offset, info.log_append_time_ms, info.log_start_offset)
    if partition.must_wait(info.last_offset + 1, acks):
        waits.append(CommitWait(partition, info.last_offset + 1, answer))
    return answer


def _refused(index: int, error: KafkaError, log_start_offset: int) -> PartitionProduceResponse:
    """The answer to a refused partition. Where the log starts is told when the log itself refused, as Kafka does."""
    answer = PartitionProduceResponse(index, error.code, base_offset=-1, error_message=error.message)
    if error.code not in _WITHOUT_LOG_START:
        answer.log_start_offset = log_start_offset
    if isinstance(error, InvalidRecords):
        answer.record_errors = [BatchIndexAndErrorMessage(record, why) for record, why in error.record_errors]
    return answer


def _batch_of(data: PartitionProduceData, version: int) -> memoryview:
    """The batch to append: the client's own bytes, or its old message set converted."""
    records = data.records
    view = memoryview(b"" if records is None else records)
    batch_size = LOG_OVERHEAD + int.from_bytes(view[8:LOG_OVERHEAD], "big", signed=True)
    if len(view) <= MAGIC_OFFSET or len(view) < batch_size:
        raise KafkaError(ErrorCode.INVALID_RECORD, "The partition's records hold no whole batch.")
    magic = view[MAGIC_OFFSET]
    if version < 3:
        if magic < MAGIC:
            return memoryview(up_convert(view))
        raise KafkaError(ErrorCode.INVALID_RECORD, "A Produce request before v3 holds messages of magic 0 or 1.")
    if magic > MAGIC:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"Batches of magic {magic} do not exist.")
    if magic < MAGIC or batch_size < len(view):
        raise KafkaError(ErrorCode.INVALID_RECORD, "A partition's records are one batch of magic 2, and nothing more.")
    if version < 7 and RecordBatch.parse(view).codec == Codec.ZSTD:
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce v7 or later.")
    return view

"""Produce (key 0), v0-v13.

Behaviour: every partition is appended on its own and answered with its own code; acks 0 gets no answer, and an error
    then closes the connection, the only sign a client can see. acks 1 is answered after the append, acks all when
    the high watermark has passed it, or else with REQUEST_TIMED_OUT when the request's timeout has, and refused with
    NOT_ENOUGH_REPLICAS while fewer replicas are in sync than `min.insync.replicas`. With one replica the high watermark
    follows the append, unless the topic's settings ask for a flush first.
    Transactional records need their coordinator's word first.
    While the volume is full everything is refused with KAFKA_STORAGE_ERROR, after which clients try again.
Versions: v0-v2 carry message sets of magic 0 and 1, converted to a batch; v3 transactional id; v7 zstd; v8 record
    errors (KIP-467); v10 current leader (KIP-951); v12 adds to transactions (KIP-890); v13 topic ids (KIP-516).
"""

from __future__ import annotations

from contextlib import suppress

from tailrace.base.errors import ErrorCode, InvalidRecords, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.delayed_produce import CommitWait, delay
from tailrace.broker.leader_hints import LeaderHints
from tailrace.broker.services import CloseConnection, Services
from tailrace.broker.transaction_entry import Entry
from tailrace.broker.transactional_produce import enter_transaction, has_transactional_records, is_transactional
from tailrace.records.batch import LOG_OVERHEAD, MAGIC, MAGIC_OFFSET, RecordBatch
from tailrace.records.compression import Codec
from tailrace.records.legacy import up_convert
from tailrace.replication.partition import Partition
from tailrace.replication.transactional import append_transactional
from tailrace.replication.verification import NONE_NEEDED
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)

FIRST_VERSION_WITH_LEADERS = 10

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


class Appends:
    """What the appends of one request have in common, and which of them are to be waited for."""

    __slots__ = ("acks", "entry", "waits")

    def __init__(self, acks: int, entry: Entry | None) -> None:
        self.acks = acks
        self.entry = entry
        """What the transaction's coordinator said; None outside of transactions."""
        self.waits: list[CommitWait] = []


def handle(
    services: Services, context: RequestContext, request: ProduceRequest
) -> ProduceResponse | Pending[ProduceResponse] | None:
    """Append every partition's records; None for acks 0."""
    if request.acks not in (-1, 0, 1):
        return _append_all(services, context, request, ErrorCode.INVALID_REQUIRED_ACKS)
    if not has_transactional_records(request):
        return _append_all(services, context, request)
    if request.transactional_id is None:
        return _append_all(services, context, request, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    entered = enter_transaction(services, context, request)
    if entered.done:
        return _append_all(services, context, request, entry=entered.value)
    return _append_later(services, context, request, entered)


def _append_later(
    services: Services, context: RequestContext, request: ProduceRequest, entered: Pending[Entry]
) -> Pending[ProduceResponse] | None:
    """Append when the coordinator's log has taken the partitions. Until then the request outlives its frame."""
    for topic in request.topic_data:
        for data in topic.partition_data:
            data.records = None if data.records is None else bytearray(data.records)
    later: Pending[ProduceResponse] = Pending()

    def append(entry: Entry) -> None:
        with suppress(CloseConnection):  # the connection of a refused acks=0 is not in our hand by now
            response = _append_all(services, context, request, entry=entry)
            if isinstance(response, Pending):
                response.on_complete(later.complete)
            elif response is not None:
                later.complete(response)

    entered.on_complete(append)
    return None if request.acks == 0 else later


def _append_all(
    services: Services,
    context: RequestContext,
    request: ProduceRequest,
    refusal: ErrorCode | None = None,
    entry: Entry | None = None,
) -> ProduceResponse | Pending[ProduceResponse] | None:
    version = context.api_version
    topics: list[TopicProduceResponse] = []
    appends = Appends(request.acks, entry)
    failed = False
    for topic in request.topic_data:
        name = topic.name if version < 13 else services.partitions.name_of(topic.topic_id)
        answers: list[PartitionProduceResponse] = []
        for data in topic.partition_data:
            if refusal is not None:
                answer = PartitionProduceResponse(data.index, refusal, base_offset=-1)
            else:
                answer = _append(services, context, name, data, appends)
            if answer.error_code:
                failed = True
                _count_failure(services, name, answer.error_code)
            answers.append(answer)
        topics.append(TopicProduceResponse(topic.name, topic.topic_id, answers))
    if request.acks == 0:
        if failed:
            raise CloseConnection("a Produce with acks=0 was refused")
        return None
    response = ProduceResponse(topics)
    if failed and version >= FIRST_VERSION_WITH_LEADERS:
        _add_leaders(services, context, response)
    waits = appends.waits
    return delay(response, waits, services.timers, request.timeout_ms) if waits else response


def _count_failure(services: Services, name: str | None, code: int) -> None:
    services.requests.note_error(ApiKey.PRODUCE, code)
    if name is not None and name in services.metadata.image.topics:  # else clients could have us keep any name
        services.partitions.traffic.of(name).failed_produces += 1


def _add_leaders(services: Services, context: RequestContext, response: ProduceResponse) -> None:
    """Say who leads the partitions that this broker does not."""
    hints = LeaderHints(services, context)
    for topic in response.responses:
        name = topic.name or services.partitions.name_of(topic.topic_id)
        for answer in topic.partition_responses:
            if answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER and name is not None:
                leader = hints.of(name, answer.index)
                if leader is not None:
                    answer.current_leader = LeaderIdAndEpoch(*leader)
    response.node_endpoints = [NodeEndpoint(*address[:4]) for address in hints.addresses()]


def _append(
    services: Services, context: RequestContext, name: str | None, data: PartitionProduceData, appends: Appends
) -> PartitionProduceResponse:
    """Append one partition's records; every refusal becomes its answer. One that must wait is noted."""
    log_start_offset = -1
    try:
        if name is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
        partition = services.partitions.of(name, data.index)
        if name in services.internal_topics and context.client_id != ADMIN_CLIENT_ID:
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Cannot append to internal topic {name}.")
        records = _batch_of(data, context.api_version)
        if partition.followers is not None and appends.acks == -1:
            partition.followers.check_enough_replicas()
        if services.logs.space.is_short:
            services.logs.space.check_append(services.logs.directory_of(partition.topic_partition))
        if appends.entry is not None and is_transactional(records):
            verification = _verification(partition, appends.entry)
            log_start_offset = partition.log_start_offset
            info = append_transactional(partition, records, verification)
        else:
            log_start_offset = partition.log_start_offset
            info = partition.append(records)
    except KafkaError as error:
        return _refused(data.index, error, log_start_offset)
    except StorageError as error:
        services.on_storage_error(error)
        return PartitionProduceResponse(data.index, ErrorCode.KAFKA_STORAGE_ERROR, base_offset=-1)
    answer = PartitionProduceResponse(data.index, 0, info.first_offset, info.log_append_time_ms, info.log_start_offset)
    if partition.must_wait(info.last_offset + 1, appends.acks):
        appends.waits.append(CommitWait(partition, info.last_offset + 1, answer))
    return answer


def _verification(partition: Partition, entry: Entry) -> int:
    """The partition's word that the coordinator lets the batch in; raises why it does not."""
    code = entry.refused.get(partition.topic_partition)
    if code is ErrorCode.INVALID_TXN_STATE:
        raise KafkaError(code, "Partition was not added to the transaction")
    if code is not None:
        raise KafkaError(code)
    return entry.verifications.get(partition.topic_partition, NONE_NEEDED)


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

"""The part of a Produce request that is about its transaction: whose it is, and which partitions it may write to.

Behaviour: all batches of a request with transactional records are of one producer, else the whole request is
    INVALID_PRODUCER_ID_MAPPING. A coordinator that is not ready is NOT_ENOUGH_REPLICAS, which old clients try again.
Versions: v11 TRANSACTION_ABORTABLE; v12 adds partitions to the transaction (KIP-890).
Source: Kafka `ReplicaManager.handleProduceAppend`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.transaction_entry import Entrant, Entry, enter
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
from tailrace.records.batch import ATTRIBUTES_OFFSET, HEADER_SIZE, MAGIC, MAGIC_OFFSET, TRANSACTIONAL_MASK
from tailrace.replication.partition import Partition
from tailrace.wire.messages.produce import ProduceRequest

_PRODUCER: Final = Struct(">qhi")
_PRODUCER_OFFSET: Final = 43
"""Where a batch says its producer id, epoch and first sequence."""
_ABORTABLE_FROM: Final = 11
_ADDS_FROM: Final = 12
_TOPIC_IDS_FROM: Final = 13
_TRANSIENT: Final = frozenset(
    {
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)

Records = bytes | bytearray | memoryview


def is_transactional(records: Records | None) -> bool:
    """Whether these are a batch of a transaction."""
    if records is None or len(records) < HEADER_SIZE or records[MAGIC_OFFSET] != MAGIC:
        return False
    return records[ATTRIBUTES_OFFSET + 1] & TRANSACTIONAL_MASK != 0


def has_transactional_records(request: ProduceRequest) -> bool:
    """Whether any partition's records are of a transaction. Asked of each request: a generator costs as much again."""
    for topic in request.topic_data:
        for data in topic.partition_data:
            if is_transactional(data.records):
                return True
    return False


def enter_transaction(services: Services, context: RequestContext, request: ProduceRequest) -> Pending[Entry]:
    """Ask the coordinator about every partition with transactional records.

    Raises INVALID_PRODUCER_ID_MAPPING for the whole request.
    """
    producers: set[ProducerIdAndEpoch] = set()
    partitions: list[tuple[Partition, int]] = []
    for topic in request.topic_data:
        name: str | None = topic.name
        if context.api_version >= _TOPIC_IDS_FROM:
            name = services.partitions.name_of(topic.topic_id)
        for data in topic.partition_data:
            if data.records is None or not is_transactional(data.records):
                continue
            *identity, base_sequence = _PRODUCER.unpack_from(data.records, _PRODUCER_OFFSET)
            producer = ProducerIdAndEpoch(*identity)
            if producer.producer_id >= 0:
                producers.add(producer)
                partition = None if name is None else services.partitions.get(name, data.index)
                if partition is not None:
                    partitions.append((partition, base_sequence))
    if len(producers) > 1:
        raise KafkaError(
            ErrorCode.INVALID_PRODUCER_ID_MAPPING, "Transactional records contained more than one producer ID"
        )
    later: Pending[Entry] = Pending()
    if not partitions:
        later.complete(Entry({}, {}))
        return later
    version = context.api_version
    assert request.transactional_id is not None
    entrant = Entrant(request.transactional_id, producers.pop(), version >= _ADDS_FROM, version >= _ABORTABLE_FROM)
    enter(services, entrant, partitions).on_complete(
        lambda entry: later.complete(_to_producers(entry, entrant.adds_partitions))
    )
    return later


def _to_producers(entry: Entry, adds_partitions: bool) -> Entry:
    """The coordinator's codes as a producer is told them."""
    for partition, code in entry.refused.items():
        is_ending = code is ErrorCode.CONCURRENT_TRANSACTIONS and not adds_partitions
        if code in _TRANSIENT or is_ending:
            entry.refused[partition] = ErrorCode.NOT_ENOUGH_REPLICAS
    return entry

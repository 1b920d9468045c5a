"""Kafka's own metadata, as a `__cluster_metadata` log tells it: which topics, partitions, settings there are.

The log holds one Kafka metadata record in the value of each record, framed:

    frame version uvarint = 1 | kind uvarint | version uvarint | fields      kind: the apiKey in schema/metadata/*.json

A snapshot `<end offset>-<epoch>.checkpoint` has the same batches between a snapshot header and footer, which are
control records. Records between "begin" and "end of transaction" count when the end is there, not after "abort".
Invariant: the result is that of every whole batch, in order; the first batch that is cut or fails its CRC ends the log,
as after a crash. What this package has no place for (ACLs, quotas, users) is counted in `left_out`.
Not its business: files, and which of it a broker takes over. Source: Kafka MetadataRecordSerde, TopicsImage, KIP-868.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from tailrace.base.errors import KafkaError, TailraceError
from tailrace.cluster.records import ResourceType
from tailrace.records.batch import RecordBatch
from tailrace.wire.metadata_records.config import ConfigRecord
from tailrace.wire.metadata_records.partition import PartitionRecord
from tailrace.wire.metadata_records.partition_change import PartitionChangeRecord
from tailrace.wire.metadata_records.producer_ids import ProducerIdsRecord
from tailrace.wire.metadata_records.remove_topic import RemoveTopicRecord
from tailrace.wire.metadata_records.topic import TopicRecord
from tailrace.wire.primitives import DecodeError, decode_whole, read_uvarint

FRAME_VERSION: Final = 1
SNAPSHOT_FOOTER: Final = 4
"""Type of the control record that ends a snapshot."""
_UNCHANGED_LEADER: Final = -2


class Kind(IntEnum):
    """Kinds of metadata records that are looked into."""

    TOPIC = 2
    PARTITION = 3
    CONFIG = 4
    PARTITION_CHANGE = 5
    REMOVE_TOPIC = 9
    DELEGATION_TOKEN = 10
    USER_SCRAM_CREDENTIAL = 11
    FEATURE_LEVEL = 12
    CLIENT_QUOTA = 14
    PRODUCER_IDS = 15
    ACCESS_CONTROL_ENTRY = 18
    BEGIN_TRANSACTION = 23
    END_TRANSACTION = 24
    ABORT_TRANSACTION = 25


_LEFT_OUT: Final = {
    Kind.DELEGATION_TOKEN: "delegation tokens",
    Kind.USER_SCRAM_CREDENTIAL: "SCRAM users",
    Kind.CLIENT_QUOTA: "client quotas",
    Kind.ACCESS_CONTROL_ENTRY: "ACLs",
}

_TYPES: Final[dict[int, Any]] = {  # Any: each generated class has its own `decode`
    Kind.TOPIC: TopicRecord,
    Kind.PARTITION: PartitionRecord,
    Kind.CONFIG: ConfigRecord,
    Kind.PARTITION_CHANGE: PartitionChangeRecord,
    Kind.REMOVE_TOPIC: RemoveTopicRecord,
    Kind.PRODUCER_IDS: ProducerIdsRecord,
}


class KafkaPartition(NamedTuple):
    """One partition as Kafka knows it. `leader` -1: none at the moment."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    directories: tuple[UUID, ...] = ()
    """Ids of the log directories of the replicas, in their order; empty where Kafka did not keep them (before 3.7)."""

    def directory_on(self, node_id: int) -> UUID | None:
        """The log directory of the replica on a node; None where that is not known."""
        if node_id not in self.replicas or len(self.directories) != len(self.replicas):
            return None
        return self.directories[self.replicas.index(node_id)]


class KafkaTopic(NamedTuple):
    """One topic; its partitions by number."""

    name: str
    topic_id: UUID
    partitions: dict[int, KafkaPartition]


class _Framed(NamedTuple):
    """A metadata record, its fields not decoded yet."""

    kind: int
    version: int
    fields: memoryview


class KafkaMetadata:
    """What the replayed part of a metadata log says: a snapshot, then the log after it."""

    def __init__(self) -> None:
        self.topics: dict[UUID, KafkaTopic] = {}
        self.configs: dict[tuple[int, str], dict[str, str]] = {}
        """(resource type, resource name) -> settings set on it."""
        self.next_producer_id = 0
        self.left_out: Counter[str] = Counter()
        self.next_offset = 0
        """Offset after the last batch replayed; batches below it are passed over."""
        self._transaction: list[_Framed] | None = None
        """Records of a metadata transaction that has not ended."""
        self._replayers: dict[int, Callable[[Any], None]] = {
            Kind.TOPIC: self._replay_topic,
            Kind.PARTITION: self._replay_partition,
            Kind.CONFIG: self._replay_config,
            Kind.PARTITION_CHANGE: self._replay_partition_change,
            Kind.REMOVE_TOPIC: self._replay_remove_topic,
            Kind.PRODUCER_IDS: self._replay_producer_ids,
        }

    def replay_snapshot(self, data: memoryview, end_offset: int) -> None:
        """Replay a snapshot of everything below `end_offset`. TailraceError where it is damaged or too new."""
        last = None
        for batch in _whole_batches(data):
            self._replay_batch(batch)
            last = batch
        if last is None or not _is_footer(last):
            raise TailraceError(f"the snapshot of Kafka's metadata at offset {end_offset} is damaged")
        self.next_offset = end_offset

    def replay_log(self, data: memoryview) -> None:
        """Replay one segment, the oldest first. TailraceError for a gap, or a record of an unknown version."""
        for batch in _whole_batches(data):
            if batch.base_offset >= self.next_offset:
                if batch.base_offset > self.next_offset:
                    raise TailraceError(f"Kafka's metadata lacks offsets {self.next_offset} to {batch.base_offset - 1}")
                self._replay_batch(batch)
                self.next_offset = batch.next_offset

    def _replay_batch(self, batch: RecordBatch) -> None:
        if batch.is_control:
            return
        for record in batch.records():
            if record.value is None:
                raise TailraceError(f"Kafka's metadata has a record without a value at offset {record.offset}")
            self._replay(_unframed(record.value, record.offset))

    def _replay(self, record: _Framed) -> None:
        match record.kind:
            case Kind.BEGIN_TRANSACTION:
                self._transaction = []
            case Kind.ABORT_TRANSACTION:
                self._transaction = None
            case Kind.END_TRANSACTION:
                ended, self._transaction = self._transaction or [], None
                for framed in ended:
                    self._apply(framed)
            case _ if self._transaction is not None:
                self._transaction.append(record)
            case _:
                self._apply(record)

    def _apply(self, record: _Framed) -> None:
        what = _LEFT_OUT.get(record.kind)  # type: ignore[call-overload] # a plain int finds its IntEnum key
        if what is not None:
            self.left_out[what] += 1
        replayer = self._replayers.get(record.kind)
        if replayer is None:
            return  # brokers, features, controllers: they are the quorum's, not the data's
        message = _TYPES[record.kind]
        if not message.MIN_VERSION <= record.version <= message.MAX_VERSION:
            raise TailraceError(
                f"Kafka's metadata has a {message.__name__} of version {record.version}; "
                f"known are {message.MIN_VERSION} to {message.MAX_VERSION}"
            )
        try:
            replayer(decode_whole(message, record.fields, record.version))
        except (DecodeError, KeyError) as error:
            raise TailraceError(f"Kafka's metadata has a {message.__name__} that makes no sense: {error}") from error

    def _replay_topic(self, record: TopicRecord) -> None:
        self.topics[record.topic_id] = KafkaTopic(record.name, record.topic_id, {})

    def _replay_partition(self, record: PartitionRecord) -> None:
        self.topics[record.topic_id].partitions[record.partition_id] = KafkaPartition(
            tuple(record.replicas),
            tuple(record.isr),
            record.leader,
            record.leader_epoch,
            record.partition_epoch,
            tuple(record.directories),
        )

    def _replay_partition_change(self, record: PartitionChangeRecord) -> None:
        partitions = self.topics[record.topic_id].partitions
        before = partitions[record.partition_id]
        leader_moved = record.leader != _UNCHANGED_LEADER
        partitions[record.partition_id] = KafkaPartition(
            before.replicas if record.replicas is None else tuple(record.replicas),
            before.isr if record.isr is None else tuple(record.isr),
            record.leader if leader_moved else before.leader,
            before.leader_epoch + leader_moved,
            before.partition_epoch + 1,
            before.directories if record.directories is None else tuple(record.directories),
        )

    def _replay_remove_topic(self, record: RemoveTopicRecord) -> None:
        topic = self.topics.pop(record.topic_id)
        self.configs.pop((ResourceType.TOPIC, topic.name), None)

    def _replay_config(self, record: ConfigRecord) -> None:
        resource = (record.resource_type, record.resource_name)
        configs = self.configs.setdefault(resource, {})
        if record.value is None:
            configs.pop(record.name, None)
        else:
            configs[record.name] = record.value
        if not configs:
            del self.configs[resource]

    def _replay_producer_ids(self, record: ProducerIdsRecord) -> None:
        self.next_producer_id = record.next_producer_id


def _whole_batches(data: memoryview) -> Iterator[RecordBatch]:
    """Every batch up to the first that is cut or fails its CRC."""
    position = 0
    while position < len(data):
        try:
            batch = RecordBatch.parse(data, position)
        except KafkaError:
            return
        if not batch.crc_valid():
            return
        yield batch
        position += batch.size


def _is_footer(batch: RecordBatch) -> bool:
    """Whether a control batch ends a snapshot: everything before it is there."""
    record = next(batch.records(), None) if batch.is_control else None
    return record is not None and record.key is not None and record.key[2:4] == SNAPSHOT_FOOTER.to_bytes(2, "big")


def _unframed(value: bytes, offset: int) -> _Framed:
    view = memoryview(value)
    try:
        frame_version, position = read_uvarint(view, 0)
        kind, position = read_uvarint(view, position)
        version, position = read_uvarint(view, position)
    except (IndexError, DecodeError) as error:
        raise TailraceError(f"Kafka's metadata has a record without a frame at offset {offset}") from error
    if frame_version != FRAME_VERSION:
        raise TailraceError(f"Kafka's metadata has a frame of version {frame_version} at offset {offset}")
    return _Framed(kind, version, view[position:])

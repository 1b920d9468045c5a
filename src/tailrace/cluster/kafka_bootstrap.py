"""What a Kafka controller starts from: our metadata, written as Kafka's bootstrap files.

    bootstrap.checkpoint                                            features, topics, partitions, settings, producer ids
    __cluster_metadata-0/00000000000000000000-0000000000.checkpoint who votes, where the quorum is a dynamic one

Both are snapshots: a header control record, data records (framed as `kafka_metadata` draws it), a footer. A controller
whose metadata log is empty appends the records of the first to it and goes on from there.
A control record's key is | version i16 = 0 | type i16 |, its value:

    3 snapshot header   version i16 | last contained log timestamp i64 | tags
    4 snapshot footer   version i16 | tags
    5 kraft version     version i16 | kraft.version i16 | tags
    6 voters            version i16 | [ id i32 | directory uuid | [ name | host | port u16 | tags ]
                                        | first, last supported kraft.version i16 i16 | tags | tags ] | tags

Invariant: partitions are written without a leader, in sync on this node, so that Kafka elects it in a new leader epoch
as soon as the broker is there. Source: Kafka BootstrapMetadata, BatchFileWriter, RecordsSnapshotWriter, KIP-853.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.cluster.broker_configs import BROKER_CONFIGS
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.kafka_metadata import FRAME_VERSION, SNAPSHOT_FOOTER, Kind
from tailrace.cluster.own_configs import OWN_CONFIGS
from tailrace.cluster.records import ResourceType
from tailrace.cluster.topic_configs import TOPIC_CONFIGS
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.metadata_records.config import ConfigRecord
from tailrace.wire.metadata_records.feature_level import FeatureLevelRecord
from tailrace.wire.metadata_records.partition import PartitionRecord
from tailrace.wire.metadata_records.producer_ids import ProducerIdsRecord
from tailrace.wire.metadata_records.topic import TopicRecord
from tailrace.wire.primitives import Message, write_compact_string, write_uvarint

BOOTSTRAP_FILE: Final = "bootstrap.checkpoint"
VOTERS_FILE: Final = "00000000000000000000-0000000000.checkpoint"

FEATURES: Final[Mapping[str, int]] = {"metadata.version": 25, "group.version": 1, "transaction.version": 2}
"""Those of Kafka 4.0 (4.0-IV3), which every Kafka 4 reads; `kafka-features.sh upgrade` raises them."""

UNASSIGNED_DIRECTORY: Final = ZERO_TOPIC_ID
_PARTITION_VERSION: Final = 1
"""With directories (KIP-858), which 4.0-IV3 asks for."""
_BATCH_RECORDS: Final = 1000

_HEADER_KIND, _KRAFT_VERSION_KIND, _VOTERS_KIND = 3, 5, 6
_INT16: Final = struct.Struct(">h")


class Voter(NamedTuple):
    """The one controller of the new cluster."""

    node_id: int
    directory_id: UUID
    listener: str
    host: str
    port: int


def bootstrap_snapshot(
    image: MetadataImage, node_id: int, directories: Mapping[TopicPartition, UUID], now_ms: int
) -> bytes:
    """The bytes of `bootstrap.checkpoint`: everything in `image` that Kafka knows too.

    `directories`: the id of the log directory each partition lies in; those that are not named have none yet.
    """
    values = [_framed(Kind.FEATURE_LEVEL, FeatureLevelRecord(name, level), 0) for name, level in FEATURES.items()]
    for topic in image.topics.values():
        values.append(_framed(Kind.TOPIC, TopicRecord(topic.name, topic.topic_id), 0))
        for index, partition in enumerate(topic.partitions):
            directory = directories.get(TopicPartition(topic.name, index), UNASSIGNED_DIRECTORY)
            record = PartitionRecord(
                partition_id=index,
                topic_id=topic.topic_id,
                replicas=[node_id],
                isr=[node_id],
                leader=-1,
                leader_epoch=partition.leader_epoch,
                partition_epoch=partition.partition_epoch,
                directories=[directory],
            )
            values.append(_framed(Kind.PARTITION, record, _PARTITION_VERSION))
    for config in exported_configs(image):
        values.append(_framed(Kind.CONFIG, config, 0))
    if image.next_producer_id:
        record_of_ids = ProducerIdsRecord(node_id, -1, image.next_producer_id)
        values.append(_framed(Kind.PRODUCER_IDS, record_of_ids, 0))
    return _snapshot([], values, now_ms)


def exported_configs(image: MetadataImage) -> list[ConfigRecord]:
    """Every setting that was set on a topic, a broker or a group, but those that only this package knows."""
    known = {ResourceType.TOPIC: TOPIC_CONFIGS, ResourceType.BROKER: BROKER_CONFIGS}
    return [
        ConfigRecord(kind, name, setting, value)
        for kind in (ResourceType.TOPIC, ResourceType.BROKER, ResourceType.GROUP)
        for name in image.resources_with_configs(kind)
        for setting, value in image.configs(kind, name).items()
        if setting not in OWN_CONFIGS and (kind not in known or known[kind].get(setting) is not None)
    ]


def voters_snapshot(voter: Voter, now_ms: int) -> bytes:
    """The bytes of the first snapshot of a metadata log whose quorum is `voter` alone."""
    value = bytearray(_INT16.pack(0))
    write_uvarint(value, 2)  # one voter
    value += struct.pack(">i", voter.node_id)
    value += voter.directory_id.bytes
    write_uvarint(value, 2)  # one endpoint
    write_compact_string(value, voter.listener)
    write_compact_string(value, voter.host)
    value += struct.pack(">H", voter.port)
    value += b"\0" + struct.pack(">hh", 0, 1) + b"\0" + b"\0" + b"\0"
    kraft_version = _control(_KRAFT_VERSION_KIND, _INT16.pack(0) + _INT16.pack(1) + b"\0")
    return _snapshot([kraft_version, _control(_VOTERS_KIND, bytes(value))], [], now_ms)


def _framed(kind: Kind, message: Message, version: int) -> bytes:
    out = bytearray()
    for number in (FRAME_VERSION, kind, version):
        write_uvarint(out, number)
    encode: Any = message.encode  # type: ignore[attr-defined] # every generated class has it
    encode(out, version)
    return bytes(out)


def _control(kind: int, value: bytes) -> tuple[bytes, bytes]:
    return _INT16.pack(0) + _INT16.pack(kind), value


def _snapshot(controls: Sequence[tuple[bytes, bytes]], values: Sequence[bytes], now_ms: int) -> bytes:
    header = _control(_HEADER_KIND, _INT16.pack(0) + struct.pack(">q", 0) + b"\0")
    footer = _control(SNAPSHOT_FOOTER, _INT16.pack(0) + b"\0")
    out = bytearray()
    offset = 0

    def add(rows: Sequence[tuple[bytes | None, bytes]], is_control: bool) -> None:
        nonlocal offset
        records = [Record(offset + index, now_ms, key, value, ()) for index, (key, value) in enumerate(rows)]
        out.extend(build_batch(records, base_offset=offset, leader_epoch=0, is_control=is_control))
        offset += len(records)

    add([header, *controls], True)
    for start in range(0, len(values), _BATCH_RECORDS):
        add([(None, value) for value in values[start : start + _BATCH_RECORDS]], False)
    add([footer], True)
    return bytes(out)

"""Kafka's metadata log read and written: framing, changes, transactions, what a crash leaves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tailrace.base.errors import TailraceError
from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.kafka_bootstrap import FEATURES, Voter, bootstrap_snapshot, voters_snapshot
from tailrace.cluster.kafka_metadata import KafkaMetadata, KafkaPartition, Kind
from tailrace.cluster.records import ClusterRecord, ProducerIdsRecord, ResourceType
from tailrace.cluster.records import ConfigRecord as OurConfigRecord
from tailrace.cluster.records import PartitionRecord as OurPartitionRecord
from tailrace.cluster.records import TopicRecord as OurTopicRecord
from tailrace.records.batch import iter_batches
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.metadata_records.config import ConfigRecord
from tailrace.wire.metadata_records.partition import PartitionRecord
from tailrace.wire.metadata_records.partition_change import PartitionChangeRecord
from tailrace.wire.metadata_records.remove_topic import RemoveTopicRecord
from tailrace.wire.metadata_records.topic import TopicRecord

TOPIC_ID = UUID(int=7)
DIRECTORY_ID = UUID(int=8)


def framed(kind: int, message: Any = None, version: int = 0) -> bytes:
    out = bytearray([1, kind, version])
    if message is None:
        out.append(0)
    else:
        message.encode(out, version)
    return bytes(out)


def log_of(*values: bytes, base_offset: int = 0) -> bytes:
    """Each value in a batch of its own."""
    return b"".join(
        bytes(build_batch([Record(base_offset + index, 0, None, value, ())], base_offset=base_offset + index))
        for index, value in enumerate(values)
    )


def replayed(data: bytes) -> KafkaMetadata:
    kafka = KafkaMetadata()
    kafka.replay_log(memoryview(data))
    return kafka


CREATED = (
    framed(Kind.TOPIC, TopicRecord("t", TOPIC_ID)),
    framed(Kind.PARTITION, PartitionRecord(0, TOPIC_ID, [1], [1], leader=1, leader_epoch=4, partition_epoch=6)),
    framed(Kind.CONFIG, ConfigRecord(2, "t", "retention.ms", "5")),
)


FOOTER = bytes(build_batch([Record(9, 0, b"\0\0\0\x04", b"\0\0\0", ())], base_offset=9, is_control=True))


@pytest.mark.parametrize("data", [log_of(*CREATED), FOOTER[:-1], b""])
def test_a_snapshot_without_its_end_is_refused(data: bytes) -> None:
    with pytest.raises(TailraceError, match="at offset 7 is damaged"):
        KafkaMetadata().replay_snapshot(memoryview(data), 7)


def test_a_gap_is_refused() -> None:
    with pytest.raises(TailraceError, match="lacks offsets 0 to 4"):
        replayed(log_of(*CREATED, base_offset=5))


def test_a_topic_its_partition_and_its_setting() -> None:
    kafka = replayed(log_of(*CREATED))
    topic = kafka.topics[TOPIC_ID]
    assert (topic.name, topic.partitions) == ("t", {0: KafkaPartition((1,), (1,), 1, 4, 6)})
    assert kafka.configs == {(2, "t"): {"retention.ms": "5"}}
    assert kafka.next_offset == 3


def test_a_new_leader_raises_the_leader_epoch_and_a_new_isr_does_not() -> None:
    moved = framed(Kind.PARTITION_CHANGE, PartitionChangeRecord(0, TOPIC_ID, leader=2, replicas=[2, 1]), 2)
    shrunk = framed(Kind.PARTITION_CHANGE, PartitionChangeRecord(0, TOPIC_ID, isr=[2]), 1)
    kafka = replayed(log_of(*CREATED, moved, shrunk))
    assert kafka.topics[TOPIC_ID].partitions[0] == KafkaPartition((2, 1), (2,), 2, 5, 8)


def test_a_removed_topic_takes_its_settings_with_it() -> None:
    kafka = replayed(log_of(*CREATED, framed(Kind.REMOVE_TOPIC, RemoveTopicRecord(TOPIC_ID))))
    assert (kafka.topics, kafka.configs) == ({}, {})


def test_a_setting_that_is_removed_is_gone() -> None:
    kafka = replayed(log_of(*CREATED, framed(Kind.CONFIG, ConfigRecord(2, "t", "retention.ms", None))))
    assert kafka.configs == {}


@pytest.mark.parametrize(
    ("end", "there"), [(Kind.END_TRANSACTION, True), (Kind.ABORT_TRANSACTION, False), (None, False)]
)
def test_a_metadata_transaction_counts_when_it_ended_well(end: Kind | None, there: bool) -> None:
    ended = [] if end is None else [framed(end)]
    kafka = replayed(log_of(framed(Kind.BEGIN_TRANSACTION), *CREATED, *ended))
    assert (TOPIC_ID in kafka.topics) is there


def test_what_lies_below_the_snapshot_is_passed_over() -> None:
    kafka = KafkaMetadata()
    kafka.replay_snapshot(memoryview(log_of(*CREATED) + FOOTER), 100)
    kafka.replay_log(memoryview(log_of(framed(Kind.REMOVE_TOPIC, RemoveTopicRecord(TOPIC_ID)), base_offset=99)))
    assert TOPIC_ID in kafka.topics
    kafka.replay_log(memoryview(log_of(framed(Kind.REMOVE_TOPIC, RemoveTopicRecord(TOPIC_ID)), base_offset=100)))
    assert TOPIC_ID not in kafka.topics


def test_a_torn_or_rotten_tail_ends_the_log() -> None:
    whole = log_of(*CREATED)
    last = len(log_of(*CREATED[:2]))
    for cut in range(last, len(whole)):
        assert replayed(whole[:cut]).next_offset == 2
    for at in range(last + 12, len(whole)):
        if not last + 12 <= at < last + 16:  # the leader epoch is outside the CRC
            rotten = bytearray(whole)
            rotten[at] ^= 1
            assert replayed(bytes(rotten)).next_offset == 2, at


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (framed(Kind.TOPIC, TopicRecord("t", TOPIC_ID))[:2] + b"\x09rest", "TopicRecord of version 9"),
        (b"\x02" + CREATED[0][1:], "frame of version 2"),
        (b"\xff", "without a frame"),
        (CREATED[0][:9], "makes no sense"),
        (framed(Kind.REMOVE_TOPIC, RemoveTopicRecord(UUID(int=9))), "makes no sense"),
    ],
)
def test_what_cannot_be_understood_is_refused_not_guessed(value: bytes, said: str) -> None:
    with pytest.raises(TailraceError, match=said):
        replayed(log_of(value))


def test_what_has_no_place_here_is_counted() -> None:
    kafka = replayed(log_of(framed(Kind.ACCESS_CONTROL_ENTRY), framed(Kind.ACCESS_CONTROL_ENTRY), framed(20)))
    assert kafka.left_out == {"ACLs": 2}


def image_of_one_topic() -> MetadataImage:
    image = MetadataImage()
    image.replay(
        [
            ClusterRecord("c"),
            OurTopicRecord("t", TOPIC_ID),
            *(OurPartitionRecord(TOPIC_ID, index, 3, 5, (3,), (3,), 2) for index in range(2500)),
            OurConfigRecord(ResourceType.TOPIC, "t", "retention.ms", "5"),
            OurConfigRecord(ResourceType.TOPIC, "t", "a.setting.of.ours", "5"),
            OurConfigRecord(ResourceType.TOPIC, "t", "flush.before.ack", "true"),
            OurConfigRecord(ResourceType.BROKER, "", "log.retention.ms", "7"),
            ProducerIdsRecord(3, 4000),
        ],
        1,
    )
    return image


def test_our_metadata_written_for_kafka_reads_back() -> None:
    data = bootstrap_snapshot(image_of_one_topic(), 3, {TopicPartition("t", 0): DIRECTORY_ID}, now_ms=1)
    kafka = KafkaMetadata()
    kafka.replay_snapshot(memoryview(data), 0)
    topic = kafka.topics[TOPIC_ID]
    assert (topic.name, len(topic.partitions)) == ("t", 2500)
    assert topic.partitions[0] == KafkaPartition((3,), (3,), -1, 5, 2, (DIRECTORY_ID,))
    assert set(list(topic.partitions.values())[1:]) == {KafkaPartition((3,), (3,), -1, 5, 2, (UUID(int=0),))}
    assert kafka.configs == {(2, "t"): {"retention.ms": "5"}, (4, ""): {"log.retention.ms": "7"}}
    assert kafka.next_producer_id == 4000


def test_a_snapshot_begins_with_a_header_and_ends_with_a_footer() -> None:
    batches = list(iter_batches(memoryview(bootstrap_snapshot(image_of_one_topic(), 3, {}, now_ms=1))))
    assert all(batch.crc_valid() for batch in batches)
    assert [batch.is_control for batch in batches] == [True, False, False, False, True]
    assert sum(batch.record_count for batch in batches) == 2 + len(FEATURES) + 1 + 2500 + 2 + 1
    offsets = [record.offset for batch in batches for record in batch.records()]
    assert offsets == list(range(len(offsets)))


def test_the_voters_are_those_kafka_itself_writes() -> None:
    """Against the bytes of a snapshot that `kafka-storage.sh format --standalone` of Kafka 4.3.1 made."""
    directory_id = UUID(bytes=bytes.fromhex("056b101c7abb434cbabea72b8538dfb4"))
    data = voters_snapshot(Voter(1, directory_id, "CONTROLLER", "127.0.0.1", 41853), now_ms=0)
    values = [record.value for batch in iter_batches(memoryview(data)) for record in batch.records()]
    assert values[1] == bytes.fromhex("0000000100")
    assert values[2] == bytes.fromhex(
        "00000200000001056b101c7abb434cbabea72b8538dfb4020b434f4e54524f4c4c45520a3132372e302e302e31a37d0000000001000000"
    )

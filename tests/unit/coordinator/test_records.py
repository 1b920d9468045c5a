"""Records of `__consumer_offsets`: the same bytes as Kafka's, and a clear refusal of bytes that are not."""

from __future__ import annotations

from uuid import UUID

import pytest

from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.groups.records import (
    GroupEntry,
    OffsetEntry,
    group_record,
    group_tombstone,
    offset_record,
    offset_tombstone,
    read_record,
)
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.primitives import DecodeError

# Written by Apache Kafka 4.3.1 for a group of two members, and for a commit with metadata "by-hand".
KAFKA_GROUP = CoordinatorRecord(
    b"\x00\x02\x00\ng.bdd895ad",
    b"\x00\x03\x00\x08consumer\x00\x00\x00\x02\x00\x05range\x00,clientA-c82d4786-f906-4598-a2ec-28037553c337"
    b"\x00\x00\x01\xa1\xfcD\nT\x00\x00\x00\x02\x00,clientA-c82d4786-f906-4598-a2ec-28037553c337\xff\xff\x00\x07clientA"
    b"\x00\n/127.0.0.1\x00\x00u0\x00\x00'\x10\x00\x00\x00\x0e\x00\x00\x00\x00\x00\x01\x00\x02t1\xff\xff\xff\xff"
    b"\x00\x00\x00\x04t1-0\x00,clientB-2371bc13-f0f4-40b7-a2b6-8dfcb5b35817\xff\xff\x00\x07clientB\x00\n/127.0.0.1"
    b"\x00\x00u0\x00\x00'\x10\x00\x00\x00\x0e\x00\x00\x00\x00\x00\x01\x00\x02t1\xff\xff\xff\xff\x00\x00\x00\x04t1-1",
)
KAFKA_OFFSET = CoordinatorRecord(
    b"\x00\x01\x00\x0fsimple.75967bae\x00\x02t1\x00\x00\x00\x00",
    b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x07\xff\xff\xff\xff\x08by-hand\x00\x00\x01\xa1\xfcD\xc8\x9c\x01\x00\x10"
    b"/1\xef\xe7W\xc4F\xba\xb9\x9d\xc0\xfe\x04\xe8@\xac",
)


def test_group_record_has_kafkas_bytes() -> None:
    """Read and written again, a group's record of Kafka is the same to the byte."""
    entry = read_record(KAFKA_GROUP)
    assert isinstance(entry, GroupEntry) and entry.value is not None
    assert entry.value.generation == 2
    assert [member.assignment for member in entry.value.members] == [b"t1-0", b"t1-1"]
    assert group_record(entry.group_id, entry.value) == KAFKA_GROUP


def test_offset_record_of_kafka_is_read() -> None:
    """Kafka 4.3 writes version 4, with the topic's id; read and written again it is the same to the byte."""
    entry = read_record(KAFKA_OFFSET)
    assert isinstance(entry, OffsetEntry) and entry.committed is not None
    assert entry[:3] == ("simple.75967bae", "t1", 0)
    assert entry.committed == CommittedOffset(
        7, -1, "by-hand", 1795233728668, topic_id=UUID("2f31efe7-57c4-46ba-b99d-c0fe04e840ac")
    )
    assert offset_record(*entry[:3], entry.committed) == KAFKA_OFFSET


@pytest.mark.parametrize(
    ("committed", "version"),
    [(CommittedOffset(5, 2, "note", 1000), 4), (CommittedOffset(5, -1, "note", 1000, 2000), 1)],
)
def test_offset_round_trip(committed: CommittedOffset, version: int) -> None:
    """Version 4 has no expiry and version 1 no leader epoch; each keeps what it can say."""
    record = offset_record("g", "topic", 7, committed)
    assert record.value is not None and record.value[:2] == version.to_bytes(2, "big")
    assert read_record(record) == OffsetEntry("g", "topic", 7, committed)


def test_tombstones() -> None:
    """A key without a value deletes."""
    assert read_record(offset_tombstone("g", "t", 1)) == OffsetEntry("g", "t", 1, None)
    assert read_record(group_tombstone("g")) == GroupEntry("g", None)


def test_legacy_offset_record() -> None:
    """Type and value version 0, of Kafka before 0.9."""
    key = b"\0\0\0\1g\0\1t\0\0\0\3"
    value = b"\0\0" + (9).to_bytes(8, "big") + b"\0\1m" + (77).to_bytes(8, "big")
    assert read_record(CoordinatorRecord(key, value)) == OffsetEntry("g", "t", 3, CommittedOffset(9, -1, "m", 77))


def test_other_types_are_passed_over() -> None:
    """Records of the consumer protocol (KIP-848) belong to groups this coordinator does not run."""
    assert read_record(CoordinatorRecord(b"\0\3\0\1g", b"\0\0whatever")) is None


@pytest.mark.parametrize("record", [KAFKA_GROUP, KAFKA_OFFSET], ids=["group", "offset"])
def test_every_truncation_is_refused(record: CoordinatorRecord) -> None:
    """Cut at any byte, key or value is a DecodeError and nothing else."""
    assert record.value is not None
    for end in range(len(record.key)):
        with pytest.raises(DecodeError):
            read_record(CoordinatorRecord(record.key[:end], record.value))
    for end in range(len(record.value)):
        with pytest.raises(DecodeError):
            read_record(CoordinatorRecord(record.key, record.value[:end]))


@pytest.mark.parametrize("key", [KAFKA_GROUP.key, KAFKA_OFFSET.key], ids=["group", "offset"])
def test_unknown_value_version_is_refused(key: bytes) -> None:
    """A version from the future is not guessed at."""
    with pytest.raises(DecodeError, match="version 9"):
        read_record(CoordinatorRecord(key, b"\0\x09" + bytes(100)))

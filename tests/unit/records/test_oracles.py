"""Batches of other implementations are read, and theirs read ours: aiokafka's builders and readers, every codec."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatch, LegacyRecordBatchBuilder
from kafka.record import MemoryRecords
from tests.support.log_support import ALL_CODECS

from tailrace.records.batch import RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.legacy import append_message, down_convert, up_convert
from tailrace.records.record import Record

RECORDS = [
    Record(0, 1_000, b"k0", b"v0" * 500, (("h", b"x"),)),
    Record(1, 1_500, None, b"v1"),
    Record(2, 1_200, b"k2", None),
]
LEGACY_CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_aiokafka_batches_are_read(codec: Codec) -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=5,
        producer_epoch=1,
        base_sequence=3,
        batch_size=1 << 20,
    )
    for r in RECORDS:
        builder.append(r.offset, timestamp=r.timestamp, key=r.key, value=r.value, headers=list(r.headers))
    batch = RecordBatch.parse(memoryview(bytearray(builder.build())))
    assert batch.crc_valid()
    assert list(batch.records()) == RECORDS
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.codec) == (5, 1, 3, codec)


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_aiokafka_reads_ours(codec: Codec) -> None:
    batch = DefaultRecordBatch(bytearray(build_batch(RECORDS, codec=codec)))
    assert batch.validate_crc()
    assert [Record(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in batch] == RECORDS


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
def test_kafka_python_reads_ours(codec: Codec) -> None:
    records = MemoryRecords(bytes(build_batch(RECORDS, codec=codec)))
    batch = records.next_batch()
    assert batch.validate_crc()
    assert [(r.offset, r.timestamp, r.key, r.value) for r in batch] == [tuple(r)[:4] for r in RECORDS]


@pytest.mark.parametrize(
    ("magic", "codec"),  # aiokafka does not write lz4 in magic 0; test_legacy does
    [(magic, codec) for magic in (0, 1) for codec in LEGACY_CODECS if (magic, codec) != (0, Codec.LZ4)],
)
def test_aiokafka_message_sets_are_converted_up(codec: Codec, magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for r in RECORDS:
        builder.append(r.offset, timestamp=r.timestamp if magic else None, key=r.key, value=r.value)
    batch = RecordBatch.parse(memoryview(up_convert(memoryview(builder.build()))))
    assert batch.crc_valid()
    assert batch.codec is codec
    times = [r.timestamp if magic else -1 for r in RECORDS]
    assert list(batch.records()) == [
        Record(r.offset, time, r.key, r.value) for r, time in zip(RECORDS, times, strict=True)
    ]


@pytest.mark.parametrize("codec", ALL_CODECS)
@pytest.mark.parametrize("magic", [0, 1])
def test_aiokafka_reads_what_is_converted_down(codec: Codec, magic: int) -> None:
    records = [r._replace(offset=r.offset + 40) for r in RECORDS]
    converted = down_convert(memoryview(build_batch(records, base_offset=40, codec=codec)), magic)
    read = []
    position = 0
    for record in records:
        size = 12 + int.from_bytes(converted[position + 8 : position + 12], "big")
        message = LegacyRecordBatch(bytearray(converted[position : position + size]), magic)
        assert message.validate_crc()
        read += [(r.offset, r.timestamp, r.key, r.value) for r in message]
        position += size
        assert read[-1] == (record.offset, record.timestamp if magic else None, record.key, record.value)
    assert position == len(converted)
    assert len(read) == len(records)


def test_our_messages_are_kafka_pythons() -> None:
    out = bytearray()
    append_message(out, Record(3, 1234, b"k", b"v"), 1)
    (record,) = list(MemoryRecords(bytes(out)).next_batch())
    assert (record.offset, record.timestamp, record.key, record.value) == (3, 1234, b"k", b"v")

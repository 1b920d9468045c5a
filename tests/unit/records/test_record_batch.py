"""The view of a batch of magic 2: fields, bounds, checksums, records."""

from __future__ import annotations

import struct

import pytest
from tests.support.log_support import ALL_CODECS, START_MS, batch_of

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.batch import (
    HEADER_SIZE,
    RecordBatch,
    iter_batches,
    iter_whole_batches,
    stamp,
    stamp_append_time,
)
from tailrace.records.builder import BatchBuilder, build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record


def test_header_fields_come_back() -> None:
    view = batch_of(
        3,
        base_offset=0,
        codec=Codec.ZSTD,
        producer_id=9,
        producer_epoch=2,
        base_sequence=(1 << 31) - 2,
        leader_epoch=4,
        is_transactional=True,
    )
    batch = RecordBatch.parse(view)
    assert (batch.magic, batch.size, batch.batch_length) == (2, len(view), len(view) - 12)
    assert (batch.base_offset, batch.last_offset, batch.next_offset, batch.record_count) == (0, 2, 3, 3)
    assert (batch.producer_id, batch.producer_epoch, batch.partition_leader_epoch) == (9, 2, 4)
    assert batch.last_sequence == 0, "sequences wrap after 2^31-1"
    assert (batch.base_timestamp, batch.max_timestamp) == (START_MS, START_MS + 2)
    assert batch.is_transactional
    assert not batch.is_control
    assert batch.codec is Codec.ZSTD
    assert batch.timestamp_type == 0
    assert batch.crc_valid()


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_records_come_back(codec: Codec) -> None:
    records = [
        Record(0, 1000, b"k", b"v", (("h", b"1"), ("empty", b""), ("null", None))),
        Record(1, 999, None, b"x" * 100_000),
        Record(2, 5000, b"", None),
        Record(3, 5000, None, b"", (("ключ", "значение".encode()),)),
    ]
    batch = RecordBatch.parse(memoryview(build_batch(records, codec=codec)))
    assert list(batch.records()) == records
    assert batch.max_timestamp == 5000


def test_builder_numbers_records() -> None:
    builder = BatchBuilder()
    builder.append(10, b"a", b"1")
    builder.append(20, None, None, [("h", None)])
    batch = RecordBatch.parse(memoryview(builder.build(Codec.GZIP)))
    assert list(batch.records()) == [Record(0, 10, b"a", b"1"), Record(1, 20, None, None, (("h", None),))]
    assert len(builder) == 2


def test_stamp_changes_offset_and_epoch_and_keeps_the_crc() -> None:
    view = batch_of(2)
    stamp(view, 1 << 40, 7)
    batch = RecordBatch.parse(view)
    assert (batch.base_offset, batch.last_offset, batch.partition_leader_epoch) == (1 << 40, (1 << 40) + 1, 7)
    assert batch.crc_valid()
    assert [r.offset for r in batch.records()] == [1 << 40, (1 << 40) + 1]


def test_append_time_replaces_every_timestamp() -> None:
    view = batch_of(2)
    stamp_append_time(view, 77)
    batch = RecordBatch.parse(view)
    assert batch.crc_valid()
    assert (batch.timestamp_type, batch.max_timestamp, batch.base_timestamp) == (1, 77, START_MS)
    assert [r.timestamp for r in batch.records()] == [77, 77]


def test_every_truncation_is_refused() -> None:
    view = batch_of(2)
    for size in range(len(view)):
        with pytest.raises(KafkaError) as refused:
            RecordBatch.parse(view[:size])
        assert refused.value.code is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("length", [-(1 << 31), -1, 0, 48, (1 << 31) - 1])
def test_impossible_lengths_are_refused(length: int) -> None:
    view = batch_of(1)
    struct.pack_into(">i", view, 8, length)
    with pytest.raises(KafkaError):
        RecordBatch.parse(view)


@pytest.mark.parametrize("magic", [-1, 0, 1, 3])
def test_other_formats_are_refused(magic: int) -> None:
    view = batch_of(1)
    struct.pack_into(">b", view, 16, magic)
    with pytest.raises(KafkaError):
        RecordBatch.parse(view)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_unknown_codecs_are_refused(codec: int) -> None:
    view = batch_of(1)
    struct.pack_into(">h", view, 21, codec)
    with pytest.raises(KafkaError):
        _ = RecordBatch.parse(view).codec


def test_crc_covers_everything_after_it() -> None:
    view = batch_of(1)
    for position in range(21, len(view)):
        view[position] ^= 1
        assert not RecordBatch.parse(view).crc_valid(), position
        view[position] ^= 1
    assert RecordBatch.parse(view).crc_valid()


def test_batches_of_a_view_in_order_and_a_cut_one_last() -> None:
    first, second = batch_of(2), batch_of(3)
    stamp(second, 2, 0)
    both = memoryview(bytes(first) + bytes(second))
    assert [b.base_offset for b in iter_batches(both)] == [0, 2]
    for cut in range(1, len(second)):
        cut_view = both[:-cut]
        assert [b.base_offset for b in iter_whole_batches(cut_view)] == [0]
        with pytest.raises(KafkaError):
            list(iter_batches(cut_view))


def test_header_alone_is_enough_to_walk() -> None:
    view = batch_of(2)
    batch = RecordBatch.parse_header(view[:HEADER_SIZE])
    assert (batch.size, batch.last_offset) == (len(view), 1)
    with pytest.raises(KafkaError):
        RecordBatch.parse_header(view[: HEADER_SIZE - 1])


@pytest.mark.parametrize("count", [0, 1, 3, 1000, (1 << 31) - 1, -1])
def test_a_lying_record_count_is_refused(count: int) -> None:
    view = batch_of(2)
    struct.pack_into(">i", view, 57, count)
    with pytest.raises(KafkaError) as refused:
        list(RecordBatch.parse(view).records())
    assert refused.value.code is ErrorCode.CORRUPT_MESSAGE

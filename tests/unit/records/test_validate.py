"""What a leader refuses, with which code. Source of the rules: Kafka LogValidator; wants B18."""

from __future__ import annotations

import struct

import pytest
from tests.support.log_support import START_MS, batch_of

from tailrace.base.errors import ErrorCode, InvalidRecords, KafkaError
from tailrace.records.batch import ATTRIBUTES_OFFSET, CRC_OFFSET, RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.crc import crc32c
from tailrace.records.record import Record
from tailrace.records.validate import BatchRules, recompressed, single_batch, validate_client_batch

HOUR_MS = 3600 * 1000


def refused(view: memoryview, rules: BatchRules = BatchRules(), now_ms: int = START_MS) -> KafkaError:
    with pytest.raises(KafkaError) as caught:
        validate_client_batch(single_batch(view), rules, now_ms)
    return caught.value


def patched(view: memoryview, layout: str, position: int, value: int) -> memoryview:
    """The batch with one field changed and its CRC right again."""
    struct.pack_into(layout, view, position, value)
    struct.pack_into(">I", view, CRC_OFFSET, crc32c(view[ATTRIBUTES_OFFSET:]))
    return view


def test_an_honest_batch_passes() -> None:
    for codec in Codec:
        validate_client_batch(single_batch(batch_of(5, codec=codec)), BatchRules(), START_MS)


def test_exactly_one_batch() -> None:
    two = memoryview(bytes(batch_of()) * 2)
    for view in (memoryview(b""), two):
        with pytest.raises(KafkaError) as caught:
            single_batch(view)
        assert caught.value.code is ErrorCode.INVALID_RECORD
    with pytest.raises(KafkaError) as caught:
        single_batch(batch_of()[:-1])
    assert caught.value.code is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("magic", [0, 1])
def test_older_formats_are_invalid_records(magic: int) -> None:
    with pytest.raises(KafkaError) as caught:
        single_batch(patched(batch_of(), ">b", 16, magic))
    assert caught.value.code is ErrorCode.INVALID_RECORD


def test_size_limit() -> None:
    view = batch_of()
    validate_client_batch(single_batch(view), BatchRules(max_message_bytes=len(view)), START_MS)
    assert refused(view, BatchRules(max_message_bytes=len(view) - 1)).code is ErrorCode.MESSAGE_TOO_LARGE


def test_crc() -> None:
    view = batch_of()
    view[-1] ^= 1
    assert refused(view).code is ErrorCode.CORRUPT_MESSAGE


def test_header_rules() -> None:
    assert refused(patched(batch_of(), ">q", 0, 5)).code is ErrorCode.INVALID_RECORD  # base offset
    assert refused(patched(batch_of(), ">h", 21, 0x20)).code is ErrorCode.INVALID_RECORD  # control
    assert refused(patched(batch_of(3), ">i", 23, 1)).code is ErrorCode.INVALID_RECORD  # last offset delta
    assert refused(patched(batch_of(1), ">i", 23, -1)).code is ErrorCode.INVALID_RECORD
    assert refused(patched(batch_of(3), ">i", 57, 4)).code is ErrorCode.INVALID_RECORD  # record count
    assert refused(patched(batch_of(1), ">i", 57, 0)).code is ErrorCode.INVALID_RECORD
    assert refused(batch_of(producer_id=5, producer_epoch=0)).code is ErrorCode.INVALID_RECORD  # no sequence
    assert refused(batch_of(producer_id=5, base_sequence=0)).code is ErrorCode.INVALID_RECORD  # no epoch
    assert refused(batch_of(is_transactional=True)).code is ErrorCode.INVALID_RECORD
    assert refused(patched(batch_of(), ">h", 21, 5)).code is ErrorCode.INVALID_RECORD  # codec
    assert refused(patched(batch_of(), ">h", 21, 8)).code is ErrorCode.INVALID_TIMESTAMP  # append time


def test_keyless_records_of_a_compacted_topic_are_named() -> None:
    """KIP-467; librdkafka test 0011."""
    records = [Record(0, START_MS, b"k", b"v"), Record(1, START_MS, None, b"v"), Record(2, START_MS, None, b"v")]
    view = memoryview(build_batch(records, codec=Codec.LZ4))
    error = refused(view, BatchRules(is_compacted=True))
    assert isinstance(error, InvalidRecords)
    assert error.code is ErrorCode.INVALID_RECORD
    assert [index for index, _ in error.record_errors] == [1, 2]
    validate_client_batch(single_batch(batch_of(3)), BatchRules(is_compacted=True), START_MS)


def test_timestamps_too_far_ahead_are_named() -> None:
    records = [Record(0, START_MS, b"k", b"v"), Record(1, START_MS + HOUR_MS + 1, b"k", b"v")]
    view = memoryview(build_batch(records))
    error = refused(view, BatchRules(timestamp_after_max_ms=HOUR_MS))
    assert isinstance(error, InvalidRecords)
    assert (error.code, [i for i, _ in error.record_errors]) == (ErrorCode.INVALID_TIMESTAMP, [1])
    validate_client_batch(single_batch(view), BatchRules(timestamp_after_max_ms=HOUR_MS), START_MS + 1)
    validate_client_batch(single_batch(view), BatchRules(is_append_time=True), START_MS)


def test_timestamps_too_old_are_named() -> None:
    records = [Record(0, START_MS, b"k", b"v"), Record(1, START_MS - 11, b"k", b"v"), Record(2, -1, b"k", b"v")]
    error = refused(memoryview(build_batch(records)), BatchRules(timestamp_before_max_ms=10))
    assert isinstance(error, InvalidRecords)
    assert [i for i, _ in error.record_errors] == [1]


@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd", "uncompressed"])
@pytest.mark.parametrize("source", list(Codec))
def test_a_topics_own_codec(name: str, source: Codec) -> None:
    view = batch_of(5, codec=source, producer_id=3, producer_epoch=1, base_sequence=9)
    before = RecordBatch.parse(view)
    rebuilt = recompressed(before, name)
    if rebuilt is None:
        assert before.codec.name.lower() == name or (source is Codec.NONE and name == "uncompressed")
        return
    after = RecordBatch.parse(memoryview(rebuilt))
    assert after.crc_valid()
    assert after.codec is not source
    assert list(after.records()) == list(before.records())
    assert (after.producer_id, after.producer_epoch, after.base_sequence) == (3, 1, 9)


def test_the_producers_codec_is_kept() -> None:
    assert recompressed(RecordBatch.parse(batch_of(codec=Codec.ZSTD)), "producer") is None

"""Message sets of formats 0 and 1: bounds, wrappers, the lz4 header of format 0, what down-conversion leaves out."""

from __future__ import annotations

import struct
import zlib

import pytest
from tests.support.log_support import batch_of

from tailrace.base import limits
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records import legacy
from tailrace.records.batch import RecordBatch, stamp
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec, compress
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.legacy import append_message, down_convert, read_message_set, up_convert
from tailrace.records.record import Record
from tailrace.records.xxhash import xxh32


def message_set(magic: int, count: int = 3) -> bytearray:
    out = bytearray()
    for i in range(count):
        append_message(out, Record(i, 1000 + i, b"k%d" % i, b"v%d" % i), magic)
    return out


def wrapper(magic: int, codec: Codec, value: bytes) -> bytearray:
    out = bytearray()
    append_message(out, Record(2, 1002, None, value), magic, attributes=codec)
    return out


@pytest.mark.parametrize("magic", [0, 1])
def test_plain_messages_become_one_batch(magic: int) -> None:
    batch = RecordBatch.parse(memoryview(up_convert(memoryview(message_set(magic)))))
    assert batch.crc_valid()
    assert (batch.base_offset, batch.last_offset_delta, batch.record_count) == (0, 2, 3)
    assert [(r.key, r.value) for r in batch.records()] == [(b"k%d" % i, b"v%d" % i) for i in range(3)]
    assert [r.timestamp for r in batch.records()] == ([1000, 1001, 1002] if magic else [-1, -1, -1])


def test_lz4_of_format_0_with_its_wrong_header_checksum() -> None:
    """KIP-57: those clients hash the magic number too."""
    frame = bytearray(compress(Codec.LZ4, message_set(0)))
    assert frame[6] == (xxh32(bytes(frame[4:6])) >> 8) & 0xFF, "the checksum lz4 itself writes"
    frame[6] = (xxh32(bytes(frame[:6])) >> 8) & 0xFF
    batch = RecordBatch.parse(memoryview(up_convert(memoryview(wrapper(0, Codec.LZ4, bytes(frame))))))
    assert batch.codec is Codec.LZ4
    assert [r.value for r in batch.records()] == [b"v0", b"v1", b"v2"]


@pytest.mark.parametrize(("data", "hashed"), [(b"", 0x02CC5D05), (b"a", 0x550D7456), (b"abc", 0x32D153FF)])
def test_xxh32_known_answers(data: bytes, hashed: int) -> None:
    assert xxh32(data) == hashed


@pytest.mark.parametrize("magic", [0, 1])
def test_every_cut_is_refused(magic: int) -> None:
    whole = message_set(magic, 2)
    boundary = len(whole) // 2
    for size in range(len(whole)):
        if size == boundary:
            assert len(list(read_message_set(memoryview(whole)[:size]))) == 1
            continue
        with pytest.raises(KafkaError):
            up_convert(memoryview(whole)[:size])


@pytest.mark.parametrize("magic", [0, 1])
def test_every_flipped_bit_after_the_offset_is_refused(magic: int) -> None:
    whole = message_set(magic, 1)
    for position in range(8, len(whole)):
        for bit in range(8):
            whole[position] ^= 1 << bit
            with pytest.raises(KafkaError):
                up_convert(memoryview(whole))
            whole[position] ^= 1 << bit


def test_wrappers_do_not_nest() -> None:
    inner = wrapper(1, Codec.GZIP, compress(Codec.GZIP, message_set(1)))
    with pytest.raises(KafkaError) as refused:
        up_convert(memoryview(wrapper(1, Codec.GZIP, compress(Codec.GZIP, inner))))
    assert refused.value.code is ErrorCode.CORRUPT_MESSAGE


def test_zstd_and_emptiness_are_refused() -> None:
    with pytest.raises(KafkaError) as refused:
        up_convert(memoryview(wrapper(1, Codec.ZSTD, compress(Codec.ZSTD, message_set(1)))))
    assert refused.value.code is ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    with pytest.raises(KafkaError) as refused:
        up_convert(memoryview(wrapper(1, Codec.GZIP, compress(Codec.GZIP, b""))))
    assert refused.value.code is ErrorCode.INVALID_RECORD


def test_lengths_inside_a_message_are_bounded() -> None:
    for length in (-2, 1 << 30):
        body = struct.pack(">bbi", 0, 0, length) + struct.pack(">i", -1)
        raw = struct.pack(">qi", 0, len(body) + 4) + zlib.crc32(body).to_bytes(4, "big") + body
        with pytest.raises(KafkaError):
            up_convert(memoryview(raw))


def test_down_conversion_leaves_out_markers_headers_and_a_cut_tail() -> None:
    data = build_batch([Record(0, 5, b"k", b"v", (("h", b"x"),))])
    marker = build_end_txn_marker(1, 0, EndTxnMarker(True, 0), 9, base_offset=1)
    last = batch_of(2)
    stamp(last, 2, 0)
    view = memoryview(bytes(data) + bytes(marker) + bytes(last))
    expected = bytearray()
    append_message(expected, Record(0, 5, b"k", b"v"), 1)
    assert down_convert(view[:-1], 1) == bytes(expected)
    offsets = [m.offset for m in read_message_set(memoryview(down_convert(view, 1)))]
    assert offsets == [0, 2, 3]


def test_append_time_is_marked_in_format_1() -> None:
    view = memoryview(build_batch([Record(0, 5, None, b"v")], timestamp_type=1))
    assert down_convert(view, 1)[17] == 0x08
    assert down_convert(view, 0)[17] == 0


def test_down_conversion_stops_past_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert legacy.DOWN_CONVERTED_MAX_BYTES == limits.DOWN_CONVERTED_MAX_BYTES
    monkeypatch.setattr(legacy, "DOWN_CONVERTED_MAX_BYTES", 100)
    view = memoryview(b"".join(bytes(build_batch([Record(i, 0, None, b"x" * 90)], base_offset=i)) for i in range(5)))
    assert [m.offset for m in read_message_set(memoryview(down_convert(view, 1)))] == [0]

"""Message sets of formats 0 and 1, which Produce v0-v2 and Fetch v0-v3 carry: converted, never stored.

    offset i64 | size i32 | crc u32 | magic i8 | attributes i8 | [timestamp i64: magic 1]
    | key_length i32 (-1 null) | key | value_length i32 (-1 null) | value

    crc         CRC-32 (zlib's) of magic..end
    attributes  0-2 codec (0 none, 1 gzip, 2 snappy, 3 lz4), 3 timestamp type (magic 1)

A compressed message is a wrapper: its value is a message set, inflated; wrappers do not nest. In magic 1 the inner
offsets count from 0 and the wrapper has the last one's. lz4 in magic 0 has a wrong header checksum (KIP-57).

Who needs it: librdkafka before 0.11, kafkajs with old settings, clients of Kafka 0.8-0.10.
What is lost downwards: headers, control batches, and timestamps in magic 0. Down-converted messages are not
compressed: each of those clients can read them, and not all of them can read lz4, none zstd.
Source: Kafka LegacyRecord, AbstractLegacyRecordBatch, RecordsUtil; KIP-31, KIP-32, KIP-57.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import DOWN_CONVERTED_MAX_BYTES, INFLATED_BATCH_MAX_BYTES
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.records.builder import NO_TIMESTAMP, build_batch
from tailrace.records.compression import Codec, codec_of, decompress
from tailrace.records.record import Record
from tailrace.records.xxhash import xxh32

_ENTRY: Final = struct.Struct(">qiIbb")
_I64: Final = struct.Struct(">q")
_I32: Final = struct.Struct(">i")
_LOG_OVERHEAD: Final = 12
_CRC_END: Final = 16
_MIN_SIZE: Final = (14, 22)
"""Least value of the size field, by magic: crc, magic, attributes, timestamp, two lengths."""


class Message(NamedTuple):
    """One message, or one wrapper: then `value` is compressed. `timestamp` is -1 in magic 0."""

    offset: int
    magic: int
    codec: Codec
    timestamp: int
    key: bytes | None
    value: bytes | None


def read_message_set(view: memoryview) -> Iterator[Message]:
    """The messages and wrappers of a set. Raises KafkaError(CORRUPT_MESSAGE) at the first that is cut or malformed."""
    position = 0
    while position < len(view):
        if len(view) - position < _ENTRY.size:
            raise _corrupt("message set ends inside a header")
        offset, size, crc, magic, attributes = _ENTRY.unpack_from(view, position)
        end = position + _LOG_OVERHEAD + size
        if magic not in (0, 1) or size < _MIN_SIZE[magic] or end > len(view):
            raise _corrupt(f"message of magic {magic} and {size} bytes does not fit {len(view) - position}")
        if zlib.crc32(view[position + _CRC_END : end]) != crc:
            raise _corrupt("message does not match its CRC")
        at = position + _ENTRY.size
        timestamp = NO_TIMESTAMP
        if magic == 1:
            timestamp = _I64.unpack_from(view, at)[0]
            at += _I64.size
        key, at = _read_nullable(view, at, end)
        value, at = _read_nullable(view, at, end)
        if at != end:
            raise _corrupt("message has bytes after its value")
        yield Message(offset, magic, codec_of(attributes), timestamp, key, value)
        position = end


def _read_nullable(view: memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    if at + _I32.size > end:
        raise _corrupt("message ends inside a length")
    length = _I32.unpack_from(view, at)[0]
    at += _I32.size
    if length == -1:
        return None, at
    if length < 0 or at + length > end:
        raise _corrupt(f"message field of {length} bytes does not fit")
    return bytes(view[at : at + length]), at + length


def up_convert(view: memoryview) -> bytearray:
    """One batch of magic 2 with every message of the set, in the codec of its (first) wrapper.

    Raises KafkaError: CORRUPT_MESSAGE where it is cut, malformed, or inflates beyond the bound; INVALID_RECORD where
    it holds no message.
    """
    codec = Codec.NONE
    records: list[Record] = []
    for message in read_message_set(view):
        if message.codec is Codec.NONE:
            records.append(Record(len(records), message.timestamp, message.key, message.value))
            continue
        codec = codec or message.codec
        for inner in _unwrap(message):
            records.append(Record(len(records), inner.timestamp, inner.key, inner.value))
    if not records:
        raise KafkaError(ErrorCode.INVALID_RECORD, "The message set holds no message.")
    return build_batch(records, codec=codec)


def _unwrap(wrapper: Message) -> Iterator[Message]:
    if wrapper.codec is Codec.ZSTD:
        raise KafkaError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs magic 2 and Produce v7.")
    value: bytes | bytearray = wrapper.value or b""
    if wrapper.codec is Codec.LZ4 and wrapper.magic == 0:
        value = _with_lz4_checksum(value)
    inflated = memoryview(decompress(wrapper.codec, value, INFLATED_BATCH_MAX_BYTES))
    for message in read_message_set(inflated):
        if message.codec is not Codec.NONE or message.magic != wrapper.magic:
            raise _corrupt("wrapper inside a wrapper")
        yield message


def _with_lz4_checksum(frame: bytes | bytearray) -> bytearray:
    """The frame with the header checksum the lz4 format asks for: clients of magic 0 count the magic number in."""
    # | magic 4 | flags 1 | block size 1 | [content size 8: flag 3] | [dictionary 4: flag 0] | checksum 1 |
    mended = bytearray(frame)
    if len(mended) < 7:
        raise _corrupt("lz4 frame ends early")
    flags = mended[4]
    end = 6 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    if len(mended) <= end:
        raise _corrupt("lz4 frame ends early")
    mended[end] = (xxh32(bytes(mended[4:end])) >> 8) & 0xFF
    return mended


def down_convert(view: memoryview, magic: int) -> bytes:
    """The records of the batches in `view`, cut at its end or not, as messages of `magic` 0 or 1.

    Stops after the batch that brings it past `DOWN_CONVERTED_MAX_BYTES`; the client asks for the rest.
    Raises KafkaError(CORRUPT_MESSAGE) where a batch or a record does not parse.
    """
    assert magic in (0, 1)
    out = bytearray()
    for batch in iter_whole_batches(view):
        if not batch.is_control:
            _append_messages(out, batch, magic)
        if len(out) > DOWN_CONVERTED_MAX_BYTES:
            break
    return bytes(out)


def _append_messages(out: bytearray, batch: RecordBatch, magic: int) -> None:
    attributes = batch.timestamp_type << 3 if magic == 1 else 0
    for record in batch.records():
        append_message(out, record, magic, attributes)


def append_message(out: bytearray, record: Record, magic: int, attributes: int = 0) -> None:
    """Append one record as a message of `magic` 0 or 1."""
    body = bytearray((magic, attributes))
    if magic == 1:
        body += _I64.pack(record.timestamp)
    for field in (record.key, record.value):
        body += _I32.pack(-1 if field is None else len(field))
        body += field or b""
    out += _I64.pack(record.offset)
    out += _I32.pack(len(body) + 4)
    out += zlib.crc32(body).to_bytes(4, "big")
    out += body


def _corrupt(message: str) -> KafkaError:
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, message)

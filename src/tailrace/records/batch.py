"""Record batch v2 ("magic 2"): a view of the header over bytes that stay where they are.

    off  field                  type   notes
      0  base_offset            i64    stamped by the leader
      8  batch_length           i32    bytes after this field; whole batch = 12 + batch_length
     12  partition_leader_epoch i32    stamped by the leader; outside the CRC
     16  magic                  i8     2
     17  crc                    u32    CRC-32C of bytes 21..end
     21  attributes             i16    0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
     23  last_offset_delta      i32    last offset = base_offset + this; survives compaction
     27  base_timestamp         i64    ms; the delete horizon where bit 6 is set
     35  max_timestamp          i64    ms
     43  producer_id            i64    -1 none
     51  producer_epoch         i16    -1 none
     53  base_sequence          i32    -1 none; wraps after 2^31-1 to 0
     57  record_count           i32
     61  records, as one compressed blob where the codec is not 0

Invariant: a `RecordBatch` lies wholly inside its view and has at least a header. Whether its CRC holds and its
records parse is asked, not assumed. Not its business: offsets' meaning, validation rules, older formats (`legacy`).
Source: Kafka DefaultRecordBatch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import INFLATED_BATCH_MAX_BYTES
from tailrace.records.compression import Buffer, Codec, codec_of, decompress
from tailrace.records.crc import crc32c
from tailrace.records.record import Record, read_records

HEADER_SIZE: Final = 61
LENGTH_OFFSET: Final = 8
LOG_OVERHEAD: Final = 12
"""Bytes of base_offset and batch_length, which batch_length does not count."""
EPOCH_OFFSET: Final = 12
MAGIC_OFFSET: Final = 16
CRC_OFFSET: Final = 17
ATTRIBUTES_OFFSET: Final = 21
MAGIC: Final = 2

CODEC_MASK: Final = 0x07
TIMESTAMP_TYPE_MASK: Final = 0x08
TRANSACTIONAL_MASK: Final = 0x10
CONTROL_MASK: Final = 0x20
DELETE_HORIZON_MASK: Final = 0x40

SEQUENCE_MODULUS: Final = 1 << 31

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_I64: Final = struct.Struct(">q")
_I32: Final = struct.Struct(">i")
_U32: Final = struct.Struct(">I")
_ATTRIBUTES_TO_MAX_TIMESTAMP: Final = struct.Struct(">hiqq")


class RecordBatch:
    """One batch: its header decoded, its bytes in `view`. Valid as long as the memory below `view` is."""

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp",
        "batch_length",
        "crc",
        "last_offset_delta",
        "magic",
        "max_timestamp",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "record_count",
        "size",
        "view",
    )

    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    view: memoryview
    """The whole batch, header first."""
    size: int
    """Bytes of the whole batch, 61.."""

    @classmethod
    def parse(cls, view: memoryview, position: int = 0) -> RecordBatch:
        """The batch at `position`. Raises KafkaError(CORRUPT_MESSAGE) where it does not lie whole inside `view`."""
        available = len(view) - position
        if position < 0 or available < HEADER_SIZE:
            raise _corrupt(f"{available} bytes are too few for a batch header of {HEADER_SIZE}")
        batch = cls()
        batch._decode(view, position)
        if batch.magic != MAGIC:
            raise _corrupt(f"magic {batch.magic} is not {MAGIC}")
        size = LOG_OVERHEAD + batch.batch_length
        if size < HEADER_SIZE or size > available:
            raise _corrupt(f"batch of {size} bytes does not fit {available}")
        batch.size = size
        batch.view = view if position == 0 and size == available else view[position : position + size]
        return batch

    @classmethod
    def parse_header(cls, header: memoryview) -> RecordBatch:
        """A batch of which only the 61 bytes of header are at hand: `view` is those, `size` is the whole batch's.

        Raises KafkaError(CORRUPT_MESSAGE) for a wrong magic or an impossible length.
        """
        if len(header) < HEADER_SIZE:
            raise _corrupt(f"{len(header)} bytes are too few for a batch header of {HEADER_SIZE}")
        batch = cls()
        batch._decode(header, 0)
        batch.size = LOG_OVERHEAD + batch.batch_length
        batch.view = header
        if batch.magic != MAGIC or batch.size < HEADER_SIZE:
            raise _corrupt(f"no batch header: magic {batch.magic}, {batch.size} bytes")
        return batch

    def _decode(self, view: memoryview, position: int) -> None:
        (
            self.base_offset,
            self.batch_length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.record_count,
        ) = HEADER.unpack_from(view, position)

    @property
    def last_offset(self) -> int:
        """Offset of the last record the batch was written with."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Offset after the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> Codec:
        """Compression codec. Raises KafkaError(CORRUPT_MESSAGE) for a number no codec has."""
        return codec_of(self.attributes)

    @property
    def is_transactional(self) -> bool:
        return self.attributes & TRANSACTIONAL_MASK != 0

    @property
    def is_control(self) -> bool:
        return self.attributes & CONTROL_MASK != 0

    @property
    def timestamp_type(self) -> int:
        """0 create time, 1 log append time."""
        return (self.attributes & TIMESTAMP_TYPE_MASK) >> 3

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record, -1 where the batch has none. Sequences wrap after 2^31-1 to 0."""
        if self.base_sequence < 0:
            return -1
        return (self.base_sequence + self.last_offset_delta) % SEQUENCE_MODULUS

    def crc_valid(self) -> bool:
        """Whether the checksum holds."""
        return bool(crc32c(self.view[ATTRIBUTES_OFFSET:]) == self.crc)

    def payload(self, limit: int = INFLATED_BATCH_MAX_BYTES) -> Buffer:
        """The records' bytes, inflated. Raises KafkaError(CORRUPT_MESSAGE) when malformed or beyond `limit` bytes."""
        return decompress(self.codec, self.view[HEADER_SIZE:], limit)

    def records(self) -> Iterator[Record]:
        """The records in order. Raises KafkaError(CORRUPT_MESSAGE) at the first that does not parse, or at the end
        when bytes are left over."""
        append_time = self.max_timestamp if self.attributes & TIMESTAMP_TYPE_MASK else None
        return read_records(self.payload(), self.record_count, self.base_offset, self.base_timestamp, append_time)

    def __repr__(self) -> str:
        return f"RecordBatch({self.base_offset}..{self.last_offset}, {self.size} bytes, attributes={self.attributes})"


def iter_batches(view: memoryview) -> Iterator[RecordBatch]:
    """Every batch of `view` in order. Raises KafkaError(CORRUPT_MESSAGE) at the first that is cut or malformed."""
    position = 0
    while position < len(view):
        batch = RecordBatch.parse(view, position)
        position += batch.size
        yield batch


def iter_whole_batches(view: memoryview) -> Iterator[RecordBatch]:
    """Like `iter_batches`, but a batch cut by the end of `view` ends it in silence, as in a Fetch response."""
    position = 0
    while len(view) - position >= HEADER_SIZE:
        length = _I32.unpack_from(view, position + LENGTH_OFFSET)[0]
        if length >= HEADER_SIZE - LOG_OVERHEAD and position + LOG_OVERHEAD + length > len(view):
            return
        batch = RecordBatch.parse(view, position)
        position += batch.size
        yield batch


def stamp(view: memoryview, base_offset: int, leader_epoch: int) -> None:
    """Write the leader's two fields in place; neither is in the CRC."""
    _I64.pack_into(view, 0, base_offset)
    _I32.pack_into(view, EPOCH_OFFSET, leader_epoch)


def stamp_append_time(view: memoryview, timestamp_ms: int) -> None:
    """Turn the batch to log append time, in place, and compute its CRC again."""
    attributes, last_delta, base_timestamp, _ = _ATTRIBUTES_TO_MAX_TIMESTAMP.unpack_from(view, ATTRIBUTES_OFFSET)
    _ATTRIBUTES_TO_MAX_TIMESTAMP.pack_into(
        view, ATTRIBUTES_OFFSET, attributes | TIMESTAMP_TYPE_MASK, last_delta, base_timestamp, timestamp_ms
    )
    _U32.pack_into(view, CRC_OFFSET, crc32c(view[ATTRIBUTES_OFFSET:]))


def _corrupt(message: str) -> KafkaError:
    return KafkaError(ErrorCode.CORRUPT_MESSAGE, message)

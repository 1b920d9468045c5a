"""Builds batches of magic 2: for coordinators, markers, conversions, tests. Producers' batches pass untouched.

Invariant: what `build_batch` returns parses back to the same records, with a valid CRC.
Source: Kafka MemoryRecordsBuilder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tailrace.records.batch import (
    ATTRIBUTES_OFFSET,
    CONTROL_MASK,
    CRC_OFFSET,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    TIMESTAMP_TYPE_MASK,
    TRANSACTIONAL_MASK,
)
from tailrace.records.compression import Buffer, Codec, compress
from tailrace.records.crc import crc32c
from tailrace.records.record import Header, Record, append_record

NO_TIMESTAMP: Final = -1


def build_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    codec: Codec = Codec.NONE,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    leader_epoch: int = -1,
    is_transactional: bool = False,
    is_control: bool = False,
    timestamp_type: int = 0,
) -> bytearray:
    """One batch of `records`, at least one, by rising offset. A record's offset counts from `base_offset`.

    With `timestamp_type` 1 the largest timestamp of the records is the append time.
    """
    assert records, "a batch has at least one record"
    base_timestamp = records[0].timestamp
    payload = bytearray()
    for record in records:
        append_record(payload, record, record.offset - base_offset, record.timestamp - base_timestamp)
    attributes = int(codec)
    attributes |= TIMESTAMP_TYPE_MASK if timestamp_type else 0
    attributes |= TRANSACTIONAL_MASK if is_transactional else 0
    attributes |= CONTROL_MASK if is_control else 0
    max_timestamp = max(record.timestamp for record in records)
    fields = (
        attributes,
        records[-1].offset - base_offset,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        len(records),
    )
    return seal_batch(base_offset, leader_epoch, fields, compress(codec, payload) if codec else payload)


def seal_batch(
    base_offset: int, leader_epoch: int, fields: tuple[int, int, int, int, int, int, int, int], payload: Buffer
) -> bytearray:
    """Header and payload as one batch, CRC computed. `fields` are the header's from attributes to record_count."""
    out = bytearray(HEADER_SIZE)
    out += payload
    HEADER.pack_into(out, 0, base_offset, len(out) - LOG_OVERHEAD, leader_epoch, MAGIC, 0, *fields)
    out[CRC_OFFSET : CRC_OFFSET + 4] = crc32c(memoryview(out)[ATTRIBUTES_OFFSET:]).to_bytes(4, "big")
    return out


class BatchBuilder:
    """Collects records, gives each the next offset delta, and builds one batch of them."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: list[Record] = []

    def __len__(self) -> int:
        return len(self._records)

    def append(self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Iterable[Header] = ()) -> None:
        """Add one record after those before it."""
        self._records.append(Record(len(self._records), timestamp_ms, key, value, tuple(headers)))

    def build(self, codec: Codec = Codec.NONE) -> bytearray:
        """The batch, base offset 0, no producer id. At least one record must have been added."""
        return build_batch(self._records, codec=codec)

    def build_transactional(self, producer_id: int, producer_epoch: int) -> bytearray:
        """The same as part of a producer's transaction, without a sequence: a coordinator's, not a client's."""
        return build_batch(self._records, producer_id=producer_id, producer_epoch=producer_epoch, is_transactional=True)

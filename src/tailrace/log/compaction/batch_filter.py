"""What is left of one batch: all of it, a part, its empty header, or nothing. Pure: a batch in, bytes out.

A record stays when it lies beyond the map, or is the latest of its key and no tombstone whose time is over. A batch
whose records all stay is passed on byte for byte. Else it keeps base offset, last offset delta, producer, sequences,
epoch, codec and the bytes of the records that stay; the count, the largest timestamp and the CRC are made anew.
The first cleaning that keeps a tombstone, or a marker of an empty transaction, sets bit 6 of the attributes and the
time from which it may go as base timestamp; the records' timestamp deltas are then written against that.

Invariant: offsets never change. Where every record stays on the old base, the records' bytes do too; Kafka writes the
deltas of a thinned batch anew against its first record, which no reader can tell.
Source: Kafka Cleaner.shouldRetainRecord, MemoryRecords.filterTo; KIP-534.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from tailrace.log.compaction.offset_map import OffsetMap
from tailrace.log.compaction.record_scan import no_pause, scan, timestamp_delta, with_timestamp_delta
from tailrace.records.batch import CODEC_MASK, DELETE_HORIZON_MASK, TIMESTAMP_TYPE_MASK, RecordBatch
from tailrace.records.builder import seal_batch
from tailrace.records.compression import Buffer, Codec, compress

NO_HORIZON: Final = -1
_EMPTY_BASE_TIMESTAMP: Final = -1

Range = tuple[int, int]


class Retention(Enum):
    """What becomes of a batch without records. `EMPTY` keeps its header, for the offsets and sequences in it."""

    DROP = "drop"
    EMPTY = "empty"


class Filtered(NamedTuple):
    """What is left of a batch: its bytes (None: nothing) and how many records are in them."""

    data: Buffer | None
    record_count: int


class TombstoneRule(NamedTuple):
    """The time of this cleaning and `delete.retention.ms`."""

    now_ms: int
    delete_retention_ms: int

    def is_over(self, batch: RecordBatch) -> bool:
        """Whether tombstones and markers in `batch` may go."""
        return batch.attributes & DELETE_HORIZON_MASK != 0 and batch.base_timestamp <= self.now_ms

    def horizon_ms(self) -> int:
        """From when on what is kept in this cleaning may go."""
        return self.now_ms + self.delete_retention_ms


def filter_data(
    batch: RecordBatch,
    offsets: OffsetMap,
    rule: TombstoneRule,
    if_empty: Retention,
    breathe: Callable[[], None] = no_pause,
) -> Filtered:
    """What is left of a data batch that belongs to no aborted transaction. Raises KafkaError(CORRUPT_MESSAGE)."""
    payload = bytes(batch.payload())
    base_offset = batch.base_offset
    mapped_until = offsets.latest_offset
    latest = offsets.get
    keeps_tombstones = not rule.is_over(batch)
    kept: list[Range] = []
    has_tombstone = False
    for start, end, delta, key, has_value in scan(payload, batch.record_count, breathe):
        offset = base_offset + delta
        if offset <= mapped_until and (key is None or not (has_value or keeps_tombstones) or offset < latest(key)):
            continue
        kept.append((start, end))
        has_tombstone = has_tombstone or not has_value
    if not kept:
        return filter_all(batch, if_empty)
    horizon_ms = rule.horizon_ms() if has_tombstone and not batch.attributes & DELETE_HORIZON_MASK else NO_HORIZON
    if len(kept) == batch.record_count and horizon_ms == NO_HORIZON:
        return Filtered(batch.view, batch.record_count)
    return Filtered(_rebuilt(batch, payload, kept, horizon_ms), len(kept))


def filter_marker(batch: RecordBatch, is_discardable: bool, rule: TombstoneRule, if_empty: Retention) -> Filtered:
    """What is left of a control batch. `is_discardable`: nothing is left of its transaction."""
    if batch.record_count == 0 or (is_discardable and rule.is_over(batch)):
        return filter_all(batch, if_empty)
    if is_discardable and not batch.attributes & DELETE_HORIZON_MASK:
        payload = bytes(batch.payload())
        kept = [(start, end) for start, end, _, _, _ in scan(payload, batch.record_count, no_pause)]
        return Filtered(_rebuilt(batch, payload, kept, rule.horizon_ms()), len(kept))
    return Filtered(batch.view, batch.record_count)


def filter_all(batch: RecordBatch, if_empty: Retention) -> Filtered:
    """What is left of a batch without its records."""
    if if_empty is Retention.DROP:
        return Filtered(None, 0)
    attributes = batch.attributes & ~(CODEC_MASK | DELETE_HORIZON_MASK)
    fields = (
        attributes,
        batch.last_offset_delta,
        _EMPTY_BASE_TIMESTAMP,
        batch.max_timestamp,
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        0,
    )
    return Filtered(seal_batch(batch.base_offset, batch.partition_leader_epoch, fields, b""), 0)


def _rebuilt(batch: RecordBatch, payload: bytes, kept: list[Range], horizon_ms: int) -> bytearray:
    base_timestamp = batch.base_timestamp
    max_timestamp = batch.max_timestamp
    if not batch.attributes & TIMESTAMP_TYPE_MASK and len(kept) < batch.record_count:
        max_timestamp = base_timestamp + max(timestamp_delta(payload, start) for start, _ in kept)
    attributes = batch.attributes
    if horizon_ms == NO_HORIZON:
        records = b"".join([payload[start:end] for start, end in kept])
    else:
        shift_ms = base_timestamp - horizon_ms
        records = b"".join([with_timestamp_delta(payload, start, end, shift_ms) for start, end in kept])
        base_timestamp = horizon_ms
        attributes |= DELETE_HORIZON_MASK
    fields = (
        attributes,
        batch.last_offset_delta,
        base_timestamp,
        max_timestamp,
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        len(kept),
    )
    codec = batch.codec
    return seal_batch(
        batch.base_offset,
        batch.partition_leader_epoch,
        fields,
        records if codec is Codec.NONE else compress(codec, records),
    )

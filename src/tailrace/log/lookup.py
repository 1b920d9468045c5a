"""Searches of a log by time, and of its aborted transactions. Answers are exact: one batch is read, and inflated.

Source: Kafka UnifiedLog.fetchOffsetByTimestamp, LogSegment.findOffsetByTimestamp, KIP-734; TransactionIndex.
"""

from __future__ import annotations

from typing import NamedTuple

from tailrace.log.config import INT64_MAX
from tailrace.log.segment import Segment
from tailrace.log.segments import Segments
from tailrace.log.txn_index import AbortedTxn


class TimestampAndOffset(NamedTuple):
    """A record found by its time. `leader_epoch` is its batch's, -1 unknown."""

    timestamp: int
    offset: int
    leader_epoch: int


def offset_for_timestamp(segments: Segments, timestamp: int, start_offset: int) -> TimestampAndOffset | None:
    """The first record at or after `start_offset` with at least `timestamp`; None where there is none."""
    for segment in segments.from_offset(start_offset):
        if segment.max_timestamp[0] >= timestamp:
            found = _find_in_segment(segment, timestamp, start_offset)
            if found is not None:
                return found
    return None


def max_timestamp_offset(segments: Segments, start_offset: int) -> TimestampAndOffset | None:
    """The first record with the largest timestamp; None where no record has one."""
    candidates = segments.from_offset(start_offset)
    largest = max((segment.max_timestamp[0] for segment in candidates), default=-1)
    if largest < 0:
        return None
    found = offset_for_timestamp(segments, largest, start_offset)
    if found is not None:
        return found
    # The largest one was deleted with the records below the start offset, though its segment is still there; or
    # compaction left only the header of its batch.
    best: TimestampAndOffset | None = None
    for segment in candidates:
        for position, header in segment.headers(0):
            if header.last_offset < start_offset or header.max_timestamp <= (best.timestamp if best else -1):
                continue
            for record in segment.batch_at(position, header.size).records():
                if record.offset >= start_offset and record.timestamp > (best.timestamp if best else -1):
                    best = TimestampAndOffset(record.timestamp, record.offset, header.partition_leader_epoch)
    return best


def _find_in_segment(segment: Segment, timestamp: int, start_offset: int) -> TimestampAndOffset | None:
    time_index, offset_index = segment.time_index, segment.offset_index
    position = offset_index.lookup(max(time_index.lookup(timestamp), start_offset))
    # Both indexes get their entries at the same batches, so the time rose to that of the first sufficient entry after
    # the offset entry before it, and without one after the last. Where time stood still, the entry below is far behind.
    reached_at = time_index.reached_at(timestamp)
    position = max(position, offset_index.lookup(INT64_MAX if reached_at is None else reached_at - 1))
    for at, header in segment.headers_of_span(position):
        if header.max_timestamp < timestamp or header.last_offset < start_offset:
            continue
        for record in segment.batch_at(at, header.size).records():
            if record.timestamp >= timestamp and record.offset >= start_offset:
                return TimestampAndOffset(record.timestamp, record.offset, header.partition_leader_epoch)
    return None


def aborted_transactions(segments: Segments, start_offset: int, end_offset: int) -> list[AbortedTxn]:
    """Aborted transactions that touch [start_offset, end_offset), by rising marker offset."""
    found: list[AbortedTxn] = []
    for segment in segments.from_offset(start_offset):
        more, is_complete = segment.txn_index.overlapping(start_offset, end_offset)
        found += more
        if is_complete:
            break
    return found

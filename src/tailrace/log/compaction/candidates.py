"""Which log is compacted next, and how far: the dirtiest of those that are dirty enough, or overdue. Looks only.

    0 .. first_dirty_offset           clean: compacted before
      .. first_uncleanable_offset     cleanable
      .. log end                      the active segment, undecided transactions, records younger than
                                      min.compaction.lag.ms

    ratio = cleanable bytes / (clean + cleanable bytes)  >  min.cleanable.dirty.ratio, or max.compaction.lag.ms is over

Invariant: `first_uncleanable_offset` is a segment's base offset, at or below the last stable offset and the active
segment's base. Source: Kafka LogCleanerManager.grabFilthiestCompactedLog, cleanableOffsets; LogToClean; KIP-354.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tailrace.log.compaction.plan import CleaningLimits, CleaningPlan, LastRecord, Source
from tailrace.log.config import INT64_MAX
from tailrace.log.log import Log
from tailrace.log.segment import Segment


class Candidate(NamedTuple):
    """A log with something to clean."""

    log: Log
    first_dirty_offset: int
    first_uncleanable_offset: int
    clean_bytes: int
    cleanable_bytes: int
    is_overdue: bool

    @property
    def ratio(self) -> float:
        """Part of the compactable log that is dirty, 0..1."""
        return self.cleanable_bytes / (self.clean_bytes + self.cleanable_bytes)

    @property
    def is_worth_it(self) -> bool:
        """Whether the log's settings ask for it to be compacted."""
        return self.is_overdue or self.ratio > self.log.config.min_cleanable_dirty_ratio


def dirtiest(logs: Iterable[Log], now_ms: int) -> Candidate | None:
    """The log that is to be compacted first, None where none is. Raises StorageError."""
    best: Candidate | None = None
    for log in logs:
        found = candidate(log, now_ms)
        if found is not None and found.is_worth_it and (best is None or found.ratio > best.ratio):
            best = found
    return best


def candidate(log: Log, now_ms: int) -> Candidate | None:
    """What could be cleaned of `log`, worth it or not; None where that is nothing. Raises StorageError."""
    segments = log.segments
    if len(segments) < 2 or not log.config.compacts:
        return None
    sealed = list(segments)[:-1]
    first_dirty = first_dirty_offset(log)
    uncleanable = _first_uncleanable(log, sealed, first_dirty, now_ms)
    dirty = [
        s for at, s in enumerate(sealed) if segments[at + 1].base_offset > first_dirty and s.base_offset < uncleanable
    ]
    cleanable_bytes = sum(segment.size for segment in dirty)
    if cleanable_bytes == 0 or uncleanable <= first_dirty:
        return None
    clean_bytes = sum(segment.size for segment in sealed if segment.base_offset < first_dirty)
    return Candidate(log, first_dirty, uncleanable, clean_bytes, cleanable_bytes, _is_overdue(log, dirty, now_ms))


def first_dirty_offset(log: Log) -> int:
    """Where the uncompacted part begins; the log's start where what was noted lies outside of the log."""
    noted = log.first_dirty_offset
    return noted if log.log_start_offset <= noted <= log.log_end_offset else log.log_start_offset


def _first_uncleanable(log: Log, sealed: Sequence[Segment], first_dirty: int, now_ms: int) -> int:
    """Base offset of the first segment that must be left alone."""
    segments = log.segments
    bound = log.last_stable_offset
    young_after_ms = now_ms - log.config.min_compaction_lag_ms
    for at, segment in enumerate(sealed):
        end = segments[at + 1].base_offset
        if end > bound:
            return segment.base_offset
        if log.config.min_compaction_lag_ms > 0 and end > first_dirty and segment.max_timestamp[0] > young_after_ms:
            return segment.base_offset
    return segments.active.base_offset


def _is_overdue(log: Log, dirty: Sequence[Segment], now_ms: int) -> bool:
    max_lag_ms = log.config.max_compaction_lag_ms
    if max_lag_ms >= INT64_MAX:
        return False
    earliest = min((t for t in (segment.first_timestamp for segment in dirty) if t > 0), default=INT64_MAX)
    return earliest < now_ms - max_lag_ms


def plan_of(found: Candidate, limits: CleaningLimits, now_ms: int) -> CleaningPlan:
    """What the cleaner's thread must know of a log to clean it."""
    log = found.log
    config = log.config
    segments = list(log.segments)
    below = [segment for segment in segments if segment.base_offset < found.first_uncleanable_offset]
    return CleaningPlan(
        topic_partition=log.topic_partition,
        directory=log.directory,
        first_dirty_offset=found.first_dirty_offset,
        first_uncleanable_offset=found.first_uncleanable_offset,
        sources=tuple(_source(segment) for segment in below),
        later_txn_indexes=tuple(segment.txn_index.path for segment in segments[len(below) : -1]),
        active_aborted=tuple(segments[-1].txn_index.entries()),
        last_records={
            entry.producer_id: LastRecord(entry.last_offset, entry.producer_epoch) for entry in log.active_producers()
        },
        now_ms=now_ms,
        delete_retention_ms=config.delete_retention_ms,
        segment_bytes=config.segment_bytes,
        segment_index_bytes=config.segment_index_bytes,
        index_interval_bytes=config.index_interval_bytes,
        limits=limits,
    )


def _source(segment: Segment) -> Source:
    return Source(
        segment.base_offset,
        segment.size,
        segment.path,
        segment.offset_index.path,
        segment.time_index.path,
        segment.txn_index.path,
    )

"""Which segments retention no longer keeps. Pure: it decides, the log deletes.

Oldest first, and only a run from the oldest: a segment goes when it lies wholly below the log start offset, or (where
`cleanup.policy` has "delete") its newest record is older than `retention.ms`, or the log without it still holds
`retention.bytes`. Never one that reaches above the high watermark. The active one goes too where all of it is too old;
the log then rolls first. Source: Kafka UnifiedLog.deleteOldSegments.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from tailrace.log.config import LogConfig
from tailrace.log.segment import Segment
from tailrace.log.segments import Segments


def segments_to_delete(
    segments: Segments, config: LogConfig, log_start_offset: int, high_watermark: int, now_ms: int
) -> list[Segment]:
    """The segments to delete, oldest first. May be all of them."""
    by_start = _run(segments, high_watermark, lambda _, end: end is not None and end <= log_start_offset)
    if not config.deletes:
        return by_start
    by_time: list[Segment] = []
    if config.retention_ms >= 0:
        by_time = _run(segments, high_watermark, lambda s, _: now_ms - _newest_ms(s) > config.retention_ms)
    by_size: list[Segment] = []
    if config.retention_bytes >= 0:
        by_size = _run(segments, high_watermark, _size_rule(segments, config.retention_bytes))
    return max(by_start, by_time, by_size, key=len)


def next_due_ms(segments: Segments, config: LogConfig) -> float:
    """Wall clock's ms before which `segments_to_delete`, empty now, stays empty if the log does not change."""
    oldest = segments[0]
    if not config.deletes or config.retention_ms < 0 or oldest.size == 0:
        return inf
    return _newest_ms(oldest) + config.retention_ms


def _run(segments: Segments, high_watermark: int, is_obsolete: Callable[[Segment, int | None], bool]) -> list[Segment]:
    """The longest run from the oldest that is obsolete, below the high watermark, and not an empty active segment."""
    chosen: list[Segment] = []
    for index, segment in enumerate(segments):
        end = segments[index + 1].base_offset if index + 1 < len(segments) else None
        if not is_obsolete(segment, end):
            break
        upper = end if end is not None else segment.next_offset()  # which reads the file
        if upper > high_watermark:
            break
        if end is None and segment.size == 0:
            break
        chosen.append(segment)
    return chosen


def _newest_ms(segment: Segment) -> int:
    timestamp = segment.max_timestamp[0]
    return timestamp if timestamp >= 0 else segment.modified_ms()


def _size_rule(segments: Segments, retention_bytes: int) -> Callable[[Segment, int | None], bool]:
    surplus = segments.size_bytes - retention_bytes

    def is_surplus(segment: Segment, _: int | None) -> bool:
        nonlocal surplus
        if surplus - segment.size < 0:
            return False
        surplus -= segment.size
        return True

    return is_surplus

"""What a topic's settings mean for an append: which batches are refused, when a segment is full of time. Pure.

Reckoned once when settings change, so that an append only compares. Source: Kafka LogConfig.
"""

from __future__ import annotations

from tailrace.base.rand import Random
from tailrace.log.config import LogConfig
from tailrace.log.segment import MAX_RELATIVE_OFFSET, Segment
from tailrace.records.batch import RecordBatch
from tailrace.records.validate import BatchRules


def batch_rules(config: LogConfig) -> BatchRules:
    """The rules that a client's batches are held against."""
    return BatchRules(
        max_message_bytes=config.max_message_bytes,
        is_compacted=config.compacts,
        is_append_time=config.message_timestamp_type == "LogAppendTime",
        timestamp_before_max_ms=config.message_timestamp_before_max_ms,
        timestamp_after_max_ms=config.message_timestamp_after_max_ms,
        compression_type=config.compression_type,
    )


def roll_ms(config: LogConfig, random: Random) -> int:
    """How long a segment is appended to, ms, some less for each log so that they do not all roll at once."""
    jitter_ms = random.integer(0, config.segment_jitter_ms) if config.segment_jitter_ms else 0
    segment_ms = min(config.segment_ms, config.max_compaction_lag_ms) if config.compacts else config.segment_ms
    return segment_ms - jitter_ms


def must_roll(segment: Segment, batch: RecordBatch, config: LogConfig, roll_ms: int, now_ms: int) -> bool:
    """Whether `batch` must begin a segment of its own: the active one is full, in bytes, time, index or offsets."""
    if segment.size + batch.size > config.segment_bytes:
        return True
    if segment.size == 0:
        return batch.last_offset - segment.base_offset > MAX_RELATIVE_OFFSET
    first_timestamp = segment.first_timestamp
    if first_timestamp >= 0 and batch.max_timestamp >= 0:
        waited_ms = batch.max_timestamp - first_timestamp
    else:
        waited_ms = now_ms - segment.created_ms
    return (
        waited_ms > roll_ms
        or segment.index_bytes >= config.segment_index_bytes
        or batch.last_offset - segment.base_offset > MAX_RELATIVE_OFFSET
    )

"""What a topic's settings mean for an append: which batches are refused, when a segment is full of time. Pure.

Reckoned once when settings change, so that an append only compares. Source: Kafka LogConfig.
"""

from __future__ import annotations

from tailrace.base.rand import Random
from tailrace.log.config import LogConfig
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

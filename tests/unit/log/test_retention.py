"""Which segments go, and when their files do. Source: Kafka UnifiedLog.deleteOldSegments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.counting_disk import CountingDisk
from tests.support.log_support import START_MS, batch_of, environment, open_log, read_values

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.records.builder import build_batch
from tailrace.records.record import Record

CONFIG = LogConfig(segment_bytes=1000, retention_ms=10_000, file_delete_delay_ms=500)


def filled(path: Path, config: LogConfig = CONFIG, clock: ManualClock | None = None) -> Log:
    log = open_log(path, config, environment(clock=clock))
    for i in range(100):
        log.append_as_leader(batch_of(1, timestamp=START_MS + i * 100, value=b"x" * 50), 0)
    log.high_watermark = log.log_end_offset
    return log


def test_by_time_whole_segments_go_oldest_first(tmp_path: Path) -> None:
    log = filled(tmp_path)
    assert log.apply_retention(START_MS + 10_000) == 0
    now_ms = START_MS + 15_000
    gone = log.apply_retention(now_ms)
    assert gone > 0
    assert log.log_start_offset == log.segments[0].base_offset > 40
    assert now_ms - log.segments[0].max_timestamp[0] <= 10_000
    assert read_values(log)[0][0] == log.log_start_offset
    assert log.leader_epochs.entries == [(0, log.log_start_offset)]


def test_by_time_the_active_segment_rolls_and_goes(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.apply_retention(START_MS + 100_000)
    assert (log.log_start_offset, log.log_end_offset, len(log.segments), log.size_bytes) == (100, 100, 1, 0)
    assert log.apply_retention(START_MS + 200_000) == 0, "an empty active segment stays"
    assert log.append_as_leader(batch_of(), 0).first_offset == 100


def test_by_size_what_is_left_still_holds_the_limit(tmp_path: Path) -> None:
    config = replace(CONFIG, retention_ms=-1, retention_bytes=3000)
    log = filled(tmp_path, config)
    log.apply_retention(START_MS)
    assert 3000 <= log.size_bytes < 3000 + 1000
    log.update_config(replace(config, retention_bytes=0))
    log.apply_retention(START_MS)
    assert log.size_bytes == 0


def test_nothing_above_the_high_watermark_goes(tmp_path: Path) -> None:
    log = filled(tmp_path)
    second = log.segments[1].base_offset
    log._high_watermark = second
    assert log.apply_retention(START_MS + 100_000) == 1
    assert log.log_start_offset == second


def test_a_compacted_topic_keeps_its_age(tmp_path: Path) -> None:
    log = filled(tmp_path, replace(CONFIG, cleanup_policy=frozenset({"compact"})))
    assert log.apply_retention(START_MS + 100_000) == 0
    log.advance_log_start_offset(50)
    assert log.segments[0].base_offset <= 50


@pytest.mark.parametrize("age_ms", [5_000, 20_000])
def test_without_timestamps_the_files_time_counts(tmp_path: Path, age_ms: int) -> None:
    log = open_log(tmp_path, CONFIG)
    for _ in range(30):
        log.append_as_leader(memoryview(build_batch([Record(0, -1, b"k", b"x" * 50)])), 0)
    log.high_watermark = log.log_end_offset
    gone = log.apply_retention(log.segments[0].modified_ms() + age_ms)
    assert (gone > 0) is (age_ms > 10_000)


def test_files_go_after_the_delay(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    log = filled(tmp_path, clock=clock)
    before = len(list(tmp_path.glob("*.log")))
    gone = log.apply_retention(START_MS + 15_000)
    assert len(list(tmp_path.glob("*.log"))) == before - gone
    assert len(list(tmp_path.glob("*.log.deleted"))) == gone
    clock.advance(499)
    log.remove_doomed_files()
    assert len(list(tmp_path.glob("*.log.deleted"))) == gone
    clock.advance(1)
    log.remove_doomed_files()
    assert not list(tmp_path.glob("*.deleted"))


def test_what_went_stays_gone(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.apply_retention(START_MS + 15_000)
    values = read_values(log)
    again = open_log(tmp_path, CONFIG, log_start_offset=log.log_start_offset)
    assert read_values(again) == values
    assert not list(tmp_path.glob("*.deleted"))


def test_age_must_exceed_the_limit_not_reach_it(tmp_path: Path) -> None:
    log = filled(tmp_path)
    newest = log.segments[0].max_timestamp[0]
    assert log.apply_retention(newest + 10_000) == 0
    assert log.apply_retention(newest + 10_001) == 1


def test_minus_one_keeps_for_ever(tmp_path: Path) -> None:
    log = filled(tmp_path, replace(CONFIG, retention_ms=-1))
    assert log.apply_retention(START_MS + 10**12) == 0


def test_by_size_a_segment_goes_when_the_rest_still_holds_the_limit_exactly(tmp_path: Path) -> None:
    log = filled(tmp_path, replace(CONFIG, retention_ms=-1))
    rest = log.size_bytes - log.segments[0].size
    log.update_config(replace(CONFIG, retention_ms=-1, retention_bytes=rest + 1))
    assert log.apply_retention(START_MS) == 0
    log.update_config(replace(CONFIG, retention_ms=-1, retention_bytes=rest))
    assert log.apply_retention(START_MS) == 1
    assert log.size_bytes == rest


def test_a_younger_segment_keeps_the_older_ones_behind_it(tmp_path: Path) -> None:
    """Only a run from the oldest goes: a hole in the middle of a log would be a hole for its readers."""
    log = open_log(tmp_path, replace(CONFIG, message_timestamp_after_max_ms=10**9))
    for index in range(60):
        young = index < 15  # the first segment
        log.append_as_leader(batch_of(1, timestamp=START_MS + (10**7 if young else 0) + index, value=b"x" * 50), 0)
    log.high_watermark = log.log_end_offset
    count = len(log.segments)
    assert count > 3
    assert log.apply_retention(START_MS + 10**6) == 0
    assert log.apply_retention(START_MS + 2 * 10**7) == count


def test_a_segment_of_the_future_stays_until_its_time_has_come(tmp_path: Path) -> None:
    config = replace(CONFIG, message_timestamp_after_max_ms=10**9)
    log = open_log(tmp_path, config)
    for index in range(30):
        log.append_as_leader(batch_of(1, timestamp=START_MS + 10**6 + index, value=b"x" * 50), 0)
    log.high_watermark = log.log_end_offset
    assert log.apply_retention(START_MS + 10**6) == 0
    assert log.apply_retention(START_MS + 10**6 + 20_000) > 0


def test_compact_and_delete_is_retained_like_any_other(tmp_path: Path) -> None:
    log = filled(tmp_path, replace(CONFIG, cleanup_policy=frozenset({"compact", "delete"})))
    assert log.apply_retention(START_MS + 15_000) > 0


@pytest.mark.parametrize("was_clean", [True, False])
def test_a_restart_forgets_no_timestamp(tmp_path: Path, was_clean: bool) -> None:
    filled(tmp_path).close()
    log = open_log(tmp_path, CONFIG, was_clean=was_clean, recovery_point=100 if was_clean else 0)
    log.high_watermark = log.log_end_offset
    untouched = filled(tmp_path / "other")
    assert log.apply_retention(START_MS + 15_000) == untouched.apply_retention(START_MS + 15_000) > 0
    assert log.log_start_offset == untouched.log_start_offset


def test_settings_take_effect_from_one_moment_to_the_next(tmp_path: Path) -> None:
    log = filled(tmp_path, replace(CONFIG, retention_ms=-1))
    assert log.apply_retention(START_MS + 15_000) == 0
    log.update_config(CONFIG)
    assert log.apply_retention(START_MS + 15_000) > 0


def test_a_writers_settings_take_effect_with_the_next_batch(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.update_config(replace(CONFIG, segment_bytes=10**6))
    active = log.segments.active
    for _ in range(50):
        log.append_as_leader(batch_of(1, value=b"x" * 50), 0)
    assert log.segments.active is active
    log.update_config(replace(CONFIG, segment_bytes=1000))
    log.append_as_leader(batch_of(1, value=b"x" * 50), 0)
    assert log.segments.active is not active
    entries = len(log.segments.active.offset_index)
    log.update_config(replace(CONFIG, segment_bytes=10**6, index_interval_bytes=1))
    for _ in range(10):
        log.append_as_leader(batch_of(1, value=b"x" * 50), 0)
    assert len(log.segments.active.offset_index) >= entries + 9
    log.update_config(replace(CONFIG, flush_messages=1))
    end = log.log_end_offset
    assert log.recovery_point < end - 5
    for _ in range(2):
        log.append_as_leader(batch_of(1), 0)
    assert log.recovery_point >= end
    log.update_config(replace(CONFIG, max_message_bytes=100))
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(batch_of(1, value=b"x" * 100), 0)
    assert refused.value.code is ErrorCode.MESSAGE_TOO_LARGE
    log.update_config(replace(CONFIG, message_timestamp_type="LogAppendTime"))
    assert log.append_as_leader(batch_of(1), 0).log_append_time_ms == START_MS
    log.update_config(replace(CONFIG, message_timestamp_before_max_ms=1000))
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(batch_of(1, timestamp=START_MS - 5000), 0)
    assert refused.value.code is ErrorCode.INVALID_TIMESTAMP


def test_a_log_with_nothing_obsolete_costs_retention_no_disk_operation(tmp_path: Path) -> None:
    disk = CountingDisk()
    log = open_log(tmp_path, LogConfig(retention_bytes=1 << 30), environment(disk))
    log.append_as_leader(batch_of(1, timestamp=START_MS), 0)
    log.high_watermark = 1
    disk.operations.clear()
    assert log.apply_retention(START_MS + 1) == 0
    assert disk.operations == []


def test_disk_stays_within_the_sizing_formula(tmp_path: Path) -> None:
    """docs/operations/storage.md: rate * (retention + segment span + check interval + delete delay)."""
    clock = ManualClock(START_MS)
    config = LogConfig(segment_bytes=10_000, retention_ms=120_000, file_delete_delay_ms=5_000)
    log = open_log(tmp_path, config, environment(clock=clock))
    check_s, largest = 20, 0
    batch_bytes = len(batch_of(1, value=b"x" * 200))
    for second in range(600):
        clock.advance(1000)
        log.append_as_leader(batch_of(1, timestamp=clock.wall_ms(), value=b"x" * 200), 0)
        log.high_watermark = log.log_end_offset
        if second % check_s == 0:
            log.apply_retention(clock.wall_ms())
        log.remove_doomed_files()
        largest = max(largest, sum(path.stat().st_size for path in tmp_path.glob("*.log*")))
    segment_span_s = config.segment_bytes / batch_bytes
    formula = batch_bytes * (120 + segment_span_s + check_s + 5) * 1.005
    assert formula * 0.8 < largest <= formula

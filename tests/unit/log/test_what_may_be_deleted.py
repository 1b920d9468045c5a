"""What docs/operations/storage.md says may be deleted below a stopped broker, and what happens then.

The log here has everything a log can have: several segments, indexes, producers that can be recognised, an aborted and
a committed transaction, two leader epochs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.log_support import START_MS, batch_of, environment, idempotent_batch, open_log, read_values

from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.records.batch import stamp
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

CONFIG = LogConfig(segment_bytes=2000, index_interval_bytes=100)


def filled(path: Path) -> Log:
    log = open_log(path, CONFIG, environment())
    offset = 0
    for number in range(120):
        producer = {"producer_id": 40 + number, "producer_epoch": 0, "base_sequence": 0, "is_transactional": True}
        batch = batch_of(2, timestamp=START_MS + number * 10, **(producer if number % 10 == 5 else {}))
        stamp(batch, offset, number // 60)
        log.append_as_follower(batch)
        offset += 2
        if number % 10 == 8:  # three batches after a transaction's data
            marker = EndTxnMarker(number % 20 == 8, 0)
            data = memoryview(build_end_txn_marker(37 + number, 0, marker, START_MS, offset))
            stamp(data, offset, number // 60)
            log.append_as_follower(data)
            offset += 1
    log.append_as_leader(idempotent_batch(0, 3), 1)
    log.high_watermark = log.log_end_offset
    return log


def seen(log: Log) -> dict[str, Any]:
    """All that a client can learn of a log."""
    log.high_watermark = log.log_end_offset
    end = log.log_end_offset
    duplicate = log.append_as_leader(idempotent_batch(0, 3), 1)
    assert log.log_end_offset == end, "a retry was appended"
    return {
        "records": read_values(log),
        "bounds": (log.log_start_offset, end, log.last_stable_offset),
        "retry": (duplicate.duplicate, duplicate.first_offset),
        "aborted": log.aborted_transactions(0, end),
        "times": [log.offset_for_timestamp(START_MS + ms) for ms in range(0, 1300, 37)],
        "epochs": [log.end_offset_for_epoch(epoch) for epoch in range(3)],
        "newest": log.max_timestamp_offset(),
    }


@pytest.mark.parametrize("was_clean", [True, False], ids=["stopped", "crashed"])
@pytest.mark.parametrize(
    "pattern", ["*.index", "*.timeindex", "*.snapshot", "leader-epoch-checkpoint", "partition.metadata", "*.*index"]
)
def test_what_can_be_made_again_may_be_deleted(tmp_path: Path, pattern: str, was_clean: bool) -> None:
    log = filled(tmp_path)
    before = seen(log)
    assert before["aborted"] and before["retry"][0]
    end = log.log_end_offset
    log.close()
    doomed = [path for path in tmp_path.glob(pattern) if was_clean is False or path.suffix != ".txnindex"]
    assert doomed or pattern == "partition.metadata"
    for path in doomed:
        path.unlink()
    known = {"recovery_point": end} if was_clean else {"recovery_point": 0}
    again = open_log(tmp_path, CONFIG, environment(), was_clean=was_clean, **known)
    assert seen(again) == before


def test_an_index_of_aborted_transactions_is_not_made_again_below_the_recovery_point(tmp_path: Path) -> None:
    """The exception, and why the documentation says to leave `.txnindex` alone."""
    log = filled(tmp_path)
    before = seen(log)
    end = log.log_end_offset
    log.close()
    for path in tmp_path.glob("*.txnindex"):
        path.unlink()
    again = open_log(tmp_path, CONFIG, environment(), was_clean=True, recovery_point=end)
    assert seen(again)["aborted"] != before["aborted"]


def test_without_its_checkpoint_every_batch_of_a_crashed_log_is_checked(tmp_path: Path) -> None:
    log = filled(tmp_path)
    before = seen(log)
    log.close()
    for path in tmp_path.glob("*.*index"):
        path.unlink()
    assert seen(open_log(tmp_path, CONFIG, environment(), recovery_point=0)) == before


def test_oldest_segments_may_be_deleted_whole(tmp_path: Path) -> None:
    log = filled(tmp_path)
    before = read_values(log)
    bases = [segment.base_offset for segment in log.segments]
    assert len(bases) > 4
    end = log.log_end_offset
    log.close()
    for base in bases[:2]:
        for path in tmp_path.glob(f"{base:020d}.*"):
            path.unlink()
    again = open_log(tmp_path, CONFIG, environment(), was_clean=True, recovery_point=end)
    assert again.log_start_offset == bases[2]
    assert read_values(again) == [row for row in before if row[0] >= bases[2]]


def test_without_the_checkpoint_of_log_starts_deleted_records_of_the_first_segment_are_back(tmp_path: Path) -> None:
    log = filled(tmp_path)
    before = read_values(log)
    log.advance_log_start_offset(5)
    end = log.log_end_offset
    log.close()
    kept = open_log(tmp_path, CONFIG, environment(), was_clean=True, recovery_point=end, log_start_offset=5)
    assert kept.log_start_offset == 5
    kept.abandon()
    again = open_log(tmp_path, CONFIG, environment(), was_clean=True, recovery_point=end)
    assert (again.log_start_offset, read_values(again)) == (0, before)


@pytest.mark.parametrize("value_bytes", [10, 900, 5000])
def test_indexes_take_what_the_sizing_formula_says(tmp_path: Path, value_bytes: int) -> None:
    config = replace(CONFIG, segment_bytes=1 << 20, index_interval_bytes=4096)
    log = open_log(tmp_path, config, environment())
    for number in range(1_500_000 // (value_bytes + 70)):
        log.append_as_leader(batch_of(1, timestamp=START_MS + number, value=b"x" * value_bytes), 0)
    log.close()
    indexes = sum(path.stat().st_size for path in tmp_path.glob("*index"))
    assert indexes <= log.size_bytes * 20 / 4096 + 12 * len(log.segments)

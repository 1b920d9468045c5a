"""Apache Kafka's DumpLogSegments accepts every file of a log, whatever the log has lived through."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.compat.dumping import assert_kafka_accepts, holes
from tests.support.log_support import ALL_CODECS, START_MS, batch_of, environment, idempotent_batch, open_log

from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin, Log
from tailrace.records.batch import TRANSACTIONAL_MASK
from tailrace.records.builder import seal_batch
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

CONFIG = LogConfig(segment_bytes=3000, index_interval_bytes=200, retention_ms=-1, file_delete_delay_ms=0)


def write(log: Log, first: int = 0, rounds: int = 6) -> None:
    """Batches of every kind; several segments of them. Leader epochs begin with `first`, as do producer ids."""
    for number in range(first, first + rounds):
        now_ms = START_MS + number * 1000
        for codec in ALL_CODECS:
            log.append_as_leader(batch_of(5, timestamp=now_ms, codec=codec, value=b"value " * 10), number)
        log.append_as_leader(idempotent_batch((number - first) * 3, 3, producer_id=7 + first), number)
        producer = {"producer_id": 70 + first, "producer_epoch": 0, "base_sequence": (number - first) * 2}
        log.append_as_leader(batch_of(2, timestamp=now_ms, is_transactional=True, **producer), number)
        marker = build_end_txn_marker(70 + first, 0, EndTxnMarker(number % 2 == 0, 1), now_ms)
        log.append_as_leader(memoryview(marker), number, AppendOrigin.COORDINATOR)
        log.update_config(replace(CONFIG, message_timestamp_type="LogAppendTime"))
        log.append_as_leader(batch_of(2, timestamp=now_ms), number)
        log.update_config(CONFIG)
        log.append_as_leader(batch_of(1, timestamp=-1), number)
    log.high_watermark = log.log_end_offset


def empty_batch(log: Log) -> None:
    """What compaction leaves of a producer's last batch: its header alone."""
    fields = (TRANSACTIONAL_MASK, 4, START_MS, START_MS + 4, 99, 0, 0, 0)
    log.append_as_follower(memoryview(seal_batch(log.log_end_offset, log.leader_epochs.latest_epoch, fields, b"")))
    marker = build_end_txn_marker(99, 0, EndTxnMarker(True, 1), START_MS, log.log_end_offset)
    log.append_as_follower(memoryview(marker))


def names(directory: Path) -> set[str]:
    return {path.suffix for path in directory.iterdir()}


@pytest.mark.parametrize("was_clean", [True, False], ids=["stopped", "crashed"])
def test_every_file_after_every_event_of_a_life(tmp_path: Path, was_clean: bool) -> None:
    directory = tmp_path / "topic-0"
    log = open_log(directory, CONFIG, environment())
    write(log)
    empty = log.log_end_offset
    empty_batch(log)
    end = log.log_end_offset
    _end(log, was_clean)
    said = assert_kafka_accepts(tmp_path)
    assert holes(said) == [(empty - 1, empty + 5)]
    assert {".log", ".index", ".timeindex", ".txnindex", ".snapshot"} <= names(directory)
    assert set(re.findall(r"compresscodec: (\w+)", said)) == {"none", "gzip", "snappy", "lz4", "zstd"}
    for word in ("endTxnMarker: COMMIT", "endTxnMarker: ABORT", "LogAppendTime:", "count: 0", "producerId: 70 "):
        assert word in said, word

    log = open_log(directory, CONFIG, environment(), was_clean=was_clean, recovery_point=end if was_clean else 0)
    log.truncate_to(end // 2)
    write(log, first=100, rounds=2)
    end = log.log_end_offset
    _end(log, was_clean)
    assert holes(assert_kafka_accepts(tmp_path)) == []

    kept = replace(CONFIG, retention_bytes=4000)
    log = open_log(directory, kept, environment(), was_clean=was_clean, recovery_point=end if was_clean else 0)
    log.high_watermark = end
    assert log.apply_retention(START_MS) > 0
    log.delete_records_before(log.log_start_offset + 3)
    start = log.log_start_offset
    _end(log, was_clean)
    assert holes(assert_kafka_accepts(tmp_path)) == []

    newest = max(directory.glob("*.log"))
    with newest.open("ab") as file:
        file.write(b"torn" * 30)
    again = open_log(directory, CONFIG, environment(), log_start_offset=start)
    assert again.log_end_offset == end
    again.close()
    assert holes(assert_kafka_accepts(tmp_path)) == []


def _end(log: Log, was_clean: bool) -> None:
    if was_clean:
        log.close()
    else:
        for segment in log.segments:
            segment.seal()  # a crash leaves what was written; what waits in memory is not a file's
        log.abandon()

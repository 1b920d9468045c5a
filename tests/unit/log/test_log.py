"""One log: append, read, reopen, roll, truncate, delete records. Source of the rules: Kafka UnifiedLog; wants B17."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.log_support import (
    ALL_CODECS,
    START_MS,
    batch_of,
    environment,
    idempotent_batch,
    open_log,
    read_batches,
    read_values,
)

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, InvalidRecords, KafkaError
from tailrace.log.config import LogConfig
from tailrace.log.log import AppendInfo, AppendOrigin, Log
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.control import EndTxnMarker, build_end_txn_marker
from tailrace.records.record import Record

SMALL = LogConfig(segment_bytes=2000, index_interval_bytes=200)


def fill(log: Log, batch_count: int, records_each: int = 2) -> None:
    for i in range(batch_count):
        log.append_as_leader(batch_of(records_each, timestamp=START_MS + i * 10), 0)
    log.high_watermark = log.log_end_offset


def test_offsets_are_dense_and_the_batch_is_stamped_in_place(tmp_path: Path) -> None:
    log = open_log(tmp_path / "t-0")
    first, second = batch_of(3), batch_of(2)
    assert log.append_as_leader(first, 4) == AppendInfo(0, 2, -1, 0, False)
    assert log.append_as_leader(second, 4) == AppendInfo(3, 4, -1, 0, False)
    assert log.log_end_offset == 5
    stamped = RecordBatch.parse(second)
    assert (stamped.base_offset, stamped.partition_leader_epoch, stamped.crc_valid()) == (3, 4, True)
    assert (tmp_path / "t-0" / f"{0:020d}.log").read_bytes() == bytes(first) + bytes(second)
    assert log.leader_epochs.entries == [(4, 0)]


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_what_is_written_is_read(tmp_path: Path, codec: Codec) -> None:
    log = open_log(tmp_path)
    for _ in range(3):
        log.append_as_leader(batch_of(4, codec=codec), 0)
    assert read_values(log) == [(i, b"value") for i in range(12)]


def test_an_offset_inside_a_batch_gets_the_whole_batch(tmp_path: Path) -> None:
    """wants B17: leaving it out makes consumers hang."""
    log = open_log(tmp_path)
    fill(log, 3, records_each=10)
    fetched = log.read(15, 1 << 20, log.log_end_offset, min_one_batch=True)
    assert fetched.first_offset == 10
    assert [b.base_offset for b in iter_whole_batches(memoryview(log.read_bytes(fetched)))] == [10, 20]


def test_reading_outside_is_refused_and_at_the_end_is_empty(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    fill(log, 2)
    assert log.read(4, 100, 4, min_one_batch=True).size == 0
    for offset in (-1, 5):
        with pytest.raises(KafkaError) as refused:
            log.read(offset, 100, 4, min_one_batch=True)
        assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE


def test_nothing_at_or_above_the_bound_is_read(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    for bound in range(0, log.log_end_offset + 1, 2):
        for offset in range(bound):
            fetched = log.read(offset, 1 << 20, bound, min_one_batch=True)
            offsets = [b.last_offset for b in iter_whole_batches(memoryview(log.read_bytes(fetched)))]
            assert offsets
            assert max(offsets) < bound


def test_the_first_batch_is_whole_only_where_asked(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(batch_of(1, value=b"x" * 5000), 0)
    size = log.size_bytes
    assert log.read(0, 100, 1, min_one_batch=True).size == size
    assert log.read(0, 100, 1, min_one_batch=False).size == 100
    assert log.read(0, 0, 1, min_one_batch=False).size == 0


def test_a_long_read_ends_with_a_whole_batch(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(index_interval_bytes=0))
    fill(log, 50)
    fetched = log.read(10, 1000, log.log_end_offset, min_one_batch=True)
    assert 0 < fetched.size <= 1000
    sizes = [b.size for b in iter_whole_batches(memoryview(log.read_bytes(fetched)))]
    assert sum(sizes) == fetched.size


def test_a_slice_is_the_segments_own_file(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    fill(log, 1)
    fetched = log.read(0, 1 << 20, 2, min_one_batch=True)
    assert fetched.file is not None
    assert os.pread(fetched.file.fileno(), fetched.size, fetched.position) == log.read_bytes(fetched)


def test_a_slice_outlives_the_deletion_of_its_segment(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    fetched = log.read(0, 1 << 20, log.log_end_offset, min_one_batch=True)
    before = log.read_bytes(fetched)
    log.delete_records_before(-1)
    log._env.clock.advance(120_000)  # type: ignore[attr-defined]
    log.remove_doomed_files()
    assert len(log.segments) == 1
    assert log.read_bytes(fetched) == before


@pytest.mark.parametrize("clean", [True, False])
def test_reopening_finds_everything(tmp_path: Path, clean: bool) -> None:
    log = open_log(tmp_path, SMALL)
    log.set_topic_id(log._env.random.uuid())
    fill(log, 80)
    for sequence in range(3):
        log.append_as_leader(idempotent_batch(sequence), 3)
    before = (read_values(log), log.leader_epochs.entries, log.topic_id, len(log.segments))
    if clean:
        log.close()
    again = open_log(tmp_path, SMALL, was_clean=clean)
    assert (read_values(again), again.leader_epochs.entries, again.topic_id, len(again.segments)) == before
    duplicate = again.append_as_leader(idempotent_batch(2), 3)
    assert (duplicate.duplicate, duplicate.first_offset) == (True, again.log_end_offset - 1)
    assert again.append_as_leader(idempotent_batch(3), 3).first_offset == log.log_end_offset


def test_segments_roll_by_size_and_keep_their_names(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    bases = [segment.base_offset for segment in log.segments]
    assert len(bases) > 2
    assert bases == sorted(set(bases))
    assert all(segment.size <= 2000 for segment in log.segments)
    names = {p.name for p in tmp_path.iterdir()}
    for base in bases[:-1]:
        assert {f"{base:020d}{s}" for s in (".log", ".index", ".timeindex")} <= names
    assert {f"{base:020d}.snapshot" for base in bases[1:]} <= names


def test_segments_roll_by_record_time(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(segment_ms=1000, message_timestamp_after_max_ms=1 << 60))
    for delta in (0, 1000, 1001, 1500, 2002):
        log.append_as_leader(batch_of(timestamp=START_MS + delta), 0)
    assert [segment.base_offset for segment in log.segments] == [0, 2, 4]


def test_segments_without_timestamps_roll_by_age(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    log = open_log(tmp_path, LogConfig(segment_ms=1000), environment(clock=clock))
    for _ in range(2):
        log.append_as_leader(memoryview(build_batch([Record(0, -1, None, b"v")])), 0)
    clock.advance(1001)
    log.append_as_leader(memoryview(build_batch([Record(0, -1, None, b"v")])), 0)
    assert [segment.base_offset for segment in log.segments] == [0, 2]


def test_a_batch_larger_than_a_segment_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(segment_bytes=100))
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(batch_of(1, value=b"x" * 100), 0)
    assert refused.value.code is ErrorCode.RECORD_LIST_TOO_LARGE
    assert log.log_end_offset == 0


def test_settings_change_while_it_lives(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append_as_leader(batch_of(), 0)
    log.update_config(LogConfig(max_message_bytes=10))
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(batch_of(), 0)
    assert refused.value.code is ErrorCode.MESSAGE_TOO_LARGE
    log.update_config(LogConfig(cleanup_policy=frozenset({"compact"})))
    with pytest.raises(InvalidRecords):
        log.append_as_leader(memoryview(build_batch([Record(0, START_MS, None, b"v")])), 0)
    log.update_config(LogConfig(compression_type="zstd"))
    log.append_as_leader(batch_of(3), 0)
    assert [b.codec for b in read_batches(log)] == [Codec.NONE, Codec.ZSTD]


def test_log_append_time(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(message_timestamp_type="LogAppendTime"))
    info = log.append_as_leader(batch_of(2, timestamp=5), 0)
    assert info.log_append_time_ms == START_MS
    (batch,) = read_batches(log)
    assert batch.crc_valid()
    assert [r.timestamp for r in batch.records()] == [START_MS, START_MS]
    assert log.max_timestamp_offset() == (START_MS, 0, 0)


def test_time_lookups_are_exact(tmp_path: Path) -> None:
    """wants B19."""
    log = open_log(tmp_path, SMALL)
    fill(log, 100, records_each=3)
    times = [r.timestamp for b in read_batches(log) for r in b.records()]
    for timestamp in range(START_MS - 5, max(times) + 5):
        expected = next(((t, o) for o, t in enumerate(times) if t >= timestamp), None)
        found = log.offset_for_timestamp(timestamp)
        assert (None if found is None else found[:2]) == expected
    assert log.max_timestamp_offset() == (max(times), times.index(max(times)), 0)
    assert open_log(tmp_path / "empty").max_timestamp_offset() is None


def test_a_lookup_reads_one_index_interval(tmp_path: Path) -> None:
    """systems B2 (b): counted, not guessed."""
    log = open_log(tmp_path, LogConfig(index_interval_bytes=1000))
    fill(log, 500)
    segment = log.segments.active
    size = segment.header_at(0).size
    for offset in range(log.log_end_offset):
        found = segment.find(offset)
        assert found is not None
        start = segment.offset_index.lookup(offset)
        assert found.position - start <= 1000 + size


def test_truncation_drops_whole_batches_and_reopens(tmp_path: Path) -> None:
    for target in (0, 1, 7, 8, 50, 119, 120, 500):
        log = open_log(tmp_path / str(target), SMALL)
        fill(log, 60)
        log.truncate_to(target)
        assert log.log_end_offset == min(target - target % 2, 120)
        expected = [(i, b"value") for i in range(log.log_end_offset)]
        assert read_values(log) == expected
        log.append_as_leader(batch_of(2), 1)
        expected += [(len(expected) + i, b"value") for i in range(2)]
        for clean in (False, True):
            again = open_log(tmp_path / str(target), SMALL, was_clean=False)
            assert read_values(again) == expected
            if clean:
                again.close()
                assert read_values(open_log(tmp_path / str(target), SMALL, was_clean=True)) == expected


def test_truncation_takes_producers_and_epochs_back(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    for sequence in range(60):
        log.append_as_leader(idempotent_batch(sequence), sequence // 20)
    log.truncate_to(30)
    assert log.leader_epochs.entries == [(0, 0), (1, 20)]
    entry = log.producer_states.get(7)
    assert entry is not None
    assert (entry.last_sequence, entry.last_offset) == (29, 29)
    assert log.append_as_leader(idempotent_batch(30), 2).first_offset == 30


def test_starting_over_at_an_offset(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    log.truncate_fully_and_start_at(1000)
    assert (log.log_start_offset, log.log_end_offset, log.high_watermark) == (1000, 1000, 1000)
    assert log.append_as_leader(batch_of(), 0).first_offset == 1000
    again = open_log(tmp_path, SMALL)
    assert read_values(again) == [(1000, b"value")]


def test_delete_records(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    log.high_watermark = 100
    assert log.delete_records_before(33) == 33
    assert read_values(log, 33)[0][0] == 33
    assert log.segments[0].base_offset <= 33 < log.segments[1].base_offset
    assert log.delete_records_before(10) == 33, "never moves back"
    with pytest.raises(KafkaError) as refused:
        log.delete_records_before(101)
    assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE
    assert log.delete_records_before(-1) == 100
    with pytest.raises(KafkaError):
        log.read(99, 100, 120, min_one_batch=True)
    assert log.end_offset_for_epoch(0) == (0, 120)
    log.update_config(LogConfig(cleanup_policy=frozenset({"compact"})))
    with pytest.raises(KafkaError) as refused:
        log.delete_records_before(100)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION


def test_a_log_start_beyond_the_end_starts_over(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 10)
    log.close()
    again = open_log(tmp_path, SMALL, log_start_offset=50, was_clean=True)
    assert (again.log_start_offset, again.log_end_offset) == (50, 50)
    assert again.append_as_leader(batch_of(), 0).first_offset == 50


def test_epochs(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for epoch in (2, 2, 5):
        log.append_as_leader(batch_of(2), epoch)
    log.assign_leader_epoch(7)
    assert [log.end_offset_for_epoch(e) for e in (1, 2, 3, 4, 5, 6, 7, 8)] == [
        (1, 0),
        (2, 4),
        (2, 4),
        (2, 4),
        (5, 6),
        (5, 6),
        (7, 6),
        (-1, -1),
    ]


@pytest.mark.parametrize("clean", [True, False])
def test_transactions_hold_the_stable_offset_back(tmp_path: Path, clean: bool) -> None:
    log = open_log(tmp_path, SMALL)

    def produce(producer_id: int, sequence: int) -> None:
        view = batch_of(1, producer_id=producer_id, producer_epoch=0, base_sequence=sequence, is_transactional=True)
        log.append_as_leader(view, 0)

    def end(producer_id: int, commit: bool) -> None:
        marker = build_end_txn_marker(producer_id, 0, EndTxnMarker(commit, 0), START_MS)
        log.append_as_leader(memoryview(marker), 0, AppendOrigin.COORDINATOR)

    log.append_as_leader(batch_of(), 0)
    produce(1, 0)
    produce(2, 0)
    log.high_watermark = 3
    assert log.last_stable_offset == 1
    end(1, commit=False)
    assert log.last_stable_offset == 1, "the marker is not below the high watermark"
    log.high_watermark = 4
    assert log.last_stable_offset == 2
    end(2, commit=True)
    log.high_watermark = 5
    assert log.last_stable_offset == 5
    expected = [(1, 1, 3, 2)]
    assert log.aborted_transactions(0, 5) == expected
    assert log.aborted_transactions(4, 5) == []
    if clean:
        log.close()
    for was_clean in (clean, False):
        again = open_log(tmp_path, SMALL, was_clean=was_clean)
        again.high_watermark = 5
        assert (again.aborted_transactions(0, 5), again.last_stable_offset) == (expected, 5)


def test_a_non_transactional_batch_inside_a_transaction_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    fields = {"producer_id": 1, "producer_epoch": 0}
    log.append_as_leader(batch_of(base_sequence=0, is_transactional=True, **fields), 0)
    with pytest.raises(KafkaError) as refused:
        log.append_as_leader(batch_of(base_sequence=1, **fields), 0)
    assert refused.value.code is ErrorCode.INVALID_TXN_STATE


def test_a_follower_takes_the_leaders_batches_as_they_are(tmp_path: Path) -> None:
    leader, follower = open_log(tmp_path / "a", SMALL), open_log(tmp_path / "b", SMALL)
    for sequence in range(30):
        leader.append_as_leader(idempotent_batch(sequence * 2, 2), sequence // 10)
    data = b"".join(bytes(b.view) for b in read_batches(leader))
    info = follower.append_as_follower(memoryview(data))
    assert (info.first_offset, info.last_offset) == (0, 59)
    assert follower.leader_epochs.entries == leader.leader_epochs.entries
    assert b"".join(bytes(b.view) for b in read_batches(follower)) == data
    with pytest.raises(KafkaError) as refused:
        follower.append_as_follower(memoryview(data))
    assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_flush_of_all_moves_the_recovery_point_and_one_of_batches_does_not(tmp_path: Path) -> None:
    clock = ManualClock(START_MS)
    log = open_log(tmp_path, LogConfig(flush_messages=3, flush_ms=1000), environment(clock=clock))
    log.append_as_leader(batch_of(2), 0)
    assert log.recovery_point == 0
    log.append_as_leader(batch_of(2), 0)
    assert (log.flushed_offset, log.recovery_point) == (4, 0)
    log.append_as_leader(batch_of(1), 0)
    assert not log.is_flush_due
    clock.advance(1000)
    assert log.is_flush_due
    log.begin_flush()
    assert log.recovery_point == 5


def test_rolling_flushes_what_is_sealed(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    fill(log, 60)
    assert log.recovery_point == log.segments.active.base_offset


def test_idle_logs_hold_no_descriptor(tmp_path: Path) -> None:
    for i in range(20):
        log = open_log(tmp_path / str(i))
        fill(log, 1)
        log.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    logs = [open_log(tmp_path / str(i), was_clean=True) for i in range(20)]
    opened = len(list(Path("/proc/self/fd").iterdir())) - before
    assert opened <= 20
    del logs, log
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_an_epoch_is_written_with_its_first_batch(tmp_path: Path) -> None:
    """A broker of 10,000 partitions writes no 10,000 files when it enters a new epoch after a crash."""
    log = open_log(tmp_path)
    path = tmp_path / "leader-epoch-checkpoint"
    log.assign_leader_epoch(3)
    assert not path.exists()
    assert log.leader_epochs.entries == [(3, 0)]
    log.append_as_leader(batch_of(2), 3)
    assert path.read_text() == "0\n1\n3 0\n"
    log.assign_leader_epoch(5)
    assert log.end_offset_for_epoch(3) == (3, 2)
    assert log.end_offset_for_epoch(5) == (5, 2)
    assert path.read_text() == "0\n1\n3 0\n"
    log.append_as_leader(batch_of(1), 5)
    assert path.read_text() == "0\n2\n3 0\n5 2\n"
    log.abandon()
    assert open_log(tmp_path).leader_epochs.entries == [(3, 0), (5, 2)]

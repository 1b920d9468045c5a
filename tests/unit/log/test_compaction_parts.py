"""The parts of compaction by themselves: the offset map, the record scan, the choice of logs, the pace."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.compaction_support import COMPACTED, Compacted
from tests.support.log_support import PARTITION, batch_of

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.log.compaction.candidates import candidate, dirtiest, plan_of
from tailrace.log.compaction.cleaning import Cleaning
from tailrace.log.compaction.offset_map import SLOT_BYTES, OffsetMap
from tailrace.log.compaction.pace import CleaningInterrupted, Pace
from tailrace.log.compaction.record_scan import no_pause, scan, timestamp_delta, with_timestamp_delta
from tailrace.records.batch import HEADER_SIZE, RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.record import Record

# The offset map


def test_the_map_remembers_the_latest_offset_of_each_key() -> None:
    offsets = OffsetMap(1000, 1 << 20, 0.9)
    for offset in range(3000):
        offsets.put(b"%d" % (offset % 1000), offset)
    assert offsets.size == 1000
    assert [offsets.get(b"%d" % key) for key in range(1000)] == list(range(2000, 3000))
    assert offsets.get(b"absent") == -1
    offsets.close()


@pytest.mark.parametrize("slots", [3, 4, 5, 97, 1000])
def test_the_map_takes_its_capacity_and_stays_within_its_memory(slots: int) -> None:
    offsets = OffsetMap(1 << 40, slots * SLOT_BYTES, 0.9)
    assert 0 < offsets.capacity <= slots * 0.9 or offsets.capacity == slots - 1
    for key in range(offsets.capacity):
        offsets.put(b"%d" % key, key)
    assert [offsets.get(b"%d" % key) for key in range(offsets.capacity + 50)] == [
        *range(offsets.capacity),
        *[-1] * 50,
    ]


# The record scan

records = st.lists(
    st.builds(
        Record,
        st.integers(0, 0),
        st.integers(0, 1 << 45),
        st.none() | st.binary(max_size=200),
        st.none() | st.binary(max_size=9000),
        st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=100,
)


@given(records, st.integers(-(1 << 40), 1 << 40))
def test_the_scan_sees_what_read_records_sees(made: list[Record], shift_ms: int) -> None:
    made = [record._replace(offset=offset) for offset, record in enumerate(made)]
    batch = RecordBatch.parse(memoryview(build_batch(made)))
    data = bytes(batch.payload())
    scanned = list(scan(data, batch.record_count, no_pause))
    assert [(delta, key, has_value) for _, _, delta, key, has_value in scanned] == [
        (record.offset, record.key, record.value is not None) for record in batch.records()
    ]
    assert [start for start, *_ in scanned] == [0, *[end for _, end, *_ in scanned[:-1]]]
    assert [batch.base_timestamp + timestamp_delta(data, start) for start, *_ in scanned] == [r.timestamp for r in made]
    shifted = b"".join(with_timestamp_delta(data, start, end, shift_ms) for start, end, *_ in scanned)
    assert [(s[2:], timestamp_delta(shifted, s[0])) for s in scan(shifted, len(made), no_pause)] == [
        (s[2:], timestamp_delta(data, s[0]) + shift_ms) for s in scanned
    ]


@given(st.binary(max_size=60), st.integers(0, 5))
def test_the_scan_of_anything_ends_or_is_corrupt(data: bytes, count: int) -> None:
    try:
        found = list(scan(data, count, no_pause))
    except KafkaError as error:
        assert error.code is ErrorCode.CORRUPT_MESSAGE
    else:
        assert len(found) == count


# Which log, and how far


@pytest.fixture
def compacted(tmp_path: Path) -> Compacted:
    return Compacted(tmp_path)


def fill(compacted: Compacted, count: int = 1) -> None:
    for _ in range(count):
        compacted.append((b"k", b"x" * 100))
    compacted.log.roll()


def test_a_log_is_chosen_above_its_dirty_ratio(compacted: Compacted) -> None:
    fill(compacted, 3)
    compacted.cleaner.tick()
    assert candidate(compacted.log, 0) is None, "clean"
    compacted.configure(min_cleanable_dirty_ratio=0.5)
    fill(compacted)
    found = candidate(compacted.log, 0)
    assert found is not None and found.ratio == 0.5
    assert not found.is_worth_it
    fill(compacted)
    assert dirtiest([compacted.log], 0) is not None


def test_max_compaction_lag_makes_a_log_overdue(compacted: Compacted) -> None:
    """KIP-354."""
    compacted.configure(min_cleanable_dirty_ratio=1.0, max_compaction_lag_ms=5000)
    written_ms = compacted.clock.wall_ms()
    fill(compacted)
    assert dirtiest([compacted.log], written_ms + 5000) is None
    assert dirtiest([compacted.log], written_ms + 5001) is not None


def test_min_compaction_lag_keeps_young_segments(compacted: Compacted) -> None:
    compacted.configure(min_compaction_lag_ms=1000)
    fill(compacted)
    compacted.clock.advance(600)
    fill(compacted)
    compacted.clock.advance(500)
    found = candidate(compacted.log, compacted.clock.wall_ms())
    assert found is not None and found.first_uncleanable_offset == 1


def test_nothing_is_cleaned_beyond_the_last_stable_offset(compacted: Compacted) -> None:
    fill(compacted)
    compacted.append((b"k", b"t"), producer_id=1, producer_epoch=0, base_sequence=0, is_transactional=True)
    fill(compacted)
    found = candidate(compacted.log, 0)
    assert found is not None and found.first_uncleanable_offset == 1
    compacted.end_txn(1, commit=True)
    compacted.log.roll()
    found = candidate(compacted.log, 0)
    assert found is not None and found.first_uncleanable_offset == 4


def test_a_checkpoint_outside_of_the_log_counts_from_its_start(compacted: Compacted) -> None:
    fill(compacted, 2)
    compacted.log.first_dirty_offset = 1000
    found = candidate(compacted.log, 0)
    assert found is not None and found.first_dirty_offset == 0


# What goes wrong


def test_a_corrupt_log_is_left_alone(compacted: Compacted, caplog: pytest.LogCaptureFixture) -> None:
    fill(compacted, 2)
    path = compacted.log.segments[0].path
    data = bytearray(path.read_bytes())
    data[HEADER_SIZE + 20] ^= 1
    path.write_bytes(data)
    before = path.read_bytes()
    compacted.cleaner.tick()
    assert compacted.cleaner.uncleanable == [PARTITION]
    assert "fails its CRC" in caplog.text
    assert path.read_bytes() == before
    caplog.clear()
    compacted.cleaner.tick()
    assert not caplog.text, "said once"


def test_a_map_too_small_for_a_batch_is_said_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compacted = Compacted(tmp_path, map_slots=5)
    compacted.append(*((b"%d" % key, b"v") for key in range(10)))
    compacted.clean()
    assert "log.cleaner.dedupe.buffer.size" in caplog.text
    assert not compacted.cleaner.uncleanable
    assert len(compacted.records()) == 10


@pytest.mark.parametrize("what", ["truncate", "delete records", "policy", "close", "delete"])
def test_whoever_changes_the_log_interrupts_its_cleaning(compacted: Compacted, what: str) -> None:
    fill(compacted, 2)
    fill(compacted, 2)
    compacted.configure(cleanup_policy=frozenset({"compact", "delete"}))
    log = compacted.log
    found = candidate(log, 0)
    assert found is not None
    cleaning = Cleaning(plan_of(found, compacted.settings.limits(), 0), compacted.env.disk, compacted.clock)
    log.cleaning = cleaning
    assert log.apply_retention(1 << 60) == 0, "waits"
    acts = {
        "truncate": lambda: log.truncate_to(3),
        "delete records": lambda: log.delete_records_before(2),
        "policy": lambda: compacted.configure(cleanup_policy=frozenset({"delete"})),
        "close": log.close,
        "delete": lambda: compacted.logs.delete(PARTITION),
    }
    acts[what]()
    with pytest.raises(CleaningInterrupted):
        cleaning.step()


class Deferred:
    """A background that works when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[[], object], done: Callable[[object], None]) -> None:
        def run() -> None:
            result = work()
            self.waiting.insert(0, lambda: done(result))

        self.waiting.append(run)

    def run_next(self) -> None:
        self.waiting.pop(0)()


def test_what_an_interrupted_cleaning_wrote_is_not_put_in_place(tmp_path: Path) -> None:
    """The log is truncated while the result is on its way from the thread to the loop."""
    background = Deferred()
    compacted = Compacted(tmp_path, background=background)
    fill(compacted, 2)
    fill(compacted, 2)
    compacted.cleaner.tick()
    background.run_next()
    assert list(compacted.log.directory.glob("*.cleaned"))
    compacted.log.truncate_to(3)
    before = compacted.records()
    while background.waiting:
        background.run_next()
    assert compacted.records() == before
    assert compacted.log.cleaning is None
    assert not [p for p in compacted.log.directory.iterdir() if p.suffix in (".cleaned", ".swap")]
    compacted.clean()
    while background.waiting:
        background.run_next()
    assert [offset for offset, _, _ in compacted.records()] == [2], "the next cleaning finds what is left"


def test_as_many_logs_are_cleaned_at_once_as_there_are_threads(tmp_path: Path) -> None:
    background = Deferred()
    compacted = Compacted(tmp_path, background=background)
    for number in range(1, 4):
        log = compacted.logs.create(TopicPartition("topic", number), compacted.env.random.uuid())
        for _ in range(2):
            log.append_as_leader(batch_of(3), 0)
            log.roll()
        log.high_watermark = log.log_end_offset
    compacted.settings = compacted.settings._replace(threads=2)
    compacted.cleaner.tick()
    compacted.cleaner.tick()
    assert sum(log.cleaning is not None for log in compacted.logs) == 2
    while background.waiting:
        background.run_next()
    assert [log.first_dirty_offset for log in compacted.logs] == [-1, 6, 6, 6]


def test_the_pace_keeps_the_limit() -> None:
    clock = ManualClock()

    class Waited(Event):
        seconds = 0.0

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            Waited.seconds += timeout
            clock.advance(timeout * 1000)
            return False

    pace = Pace(1000.0, clock, Waited())
    for _ in range(50):
        pace.spend(100)
    assert 3.9 <= Waited.seconds <= 5.0, "5000 bytes at 1000 a second, less one second of credit"


def test_settings_are_shared_by_the_threads(compacted: Compacted) -> None:
    settings = compacted.settings._replace(
        threads=4, dedupe_buffer_bytes=400, io_buffer_bytes=800, bytes_per_second=40.0
    )
    assert settings.limits() == (100, 0.9, 100, 10.0)


def test_disabled_means_disabled(compacted: Compacted) -> None:
    compacted.settings = compacted.settings._replace(is_enabled=False)
    fill(compacted, 2)
    compacted.cleaner.tick()
    assert len(compacted.records()) == 2


def test_records_without_timestamps_keep_the_files_age(tmp_path: Path) -> None:
    compacted = Compacted(tmp_path, COMPACTED)
    view = build_batch([Record(0, -1, b"k", b"1")])
    compacted.log.append_as_leader(memoryview(view), 0)
    compacted.log.roll()
    compacted.log.high_watermark = compacted.log.log_end_offset
    compacted.env.disk.set_modified(compacted.log.segments[0].path, 1_000_000)
    compacted.cleaner.tick()
    assert compacted.log.first_dirty_offset == 1
    assert compacted.log.segments[0].modified_ms() == 1_000_000


def test_a_cleaned_index_finds_every_batch(compacted: Compacted) -> None:
    for number in range(60):
        compacted.append((b"%d" % (number % 50), b"x" * 20))
    compacted.configure(segment_bytes=1 << 20)
    compacted.clean()
    segment = compacted.log.segments[0]
    assert len(segment.offset_index) > 5
    assert segment.has_plausible_indexes()
    for offset, key, _ in compacted.records():
        found = compacted.log.read(offset, 1, compacted.log.log_end_offset, min_one_batch=True)
        batch = RecordBatch.parse(memoryview(compacted.log.read_bytes(found)))
        assert offset in [record.offset for record in batch.records()], key
    assert struct.calcsize(">ii") * len(segment.offset_index) == segment.offset_index.file_size()

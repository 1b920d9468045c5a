"""Compaction as Kafka does it: Cleaner, LogCleanerManager, MemoryRecords.filterTo; KIP-534, KIP-354."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.compaction_support import Compacted
from tests.support.log_support import ALL_CODECS, PARTITION

from tailrace.log.filenames import CLEANED_SUFFIX, SWAP_SUFFIX
from tailrace.records.batch import DELETE_HORIZON_MASK
from tailrace.records.builder import build_batch
from tailrace.records.compression import Codec
from tailrace.records.record import Record

A, B, C = b"a", b"b", b"c"


@pytest.fixture
def compacted(tmp_path: Path) -> Compacted:
    return Compacted(tmp_path)


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_the_latest_record_of_each_key_stays_at_its_offset(compacted: Compacted, codec: Codec) -> None:
    compacted.append((A, b"1"), (B, b"1"), (A, b"2"), codec=codec)
    compacted.append((C, b"1"), (B, b"2"), codec=codec)
    compacted.clean()
    assert compacted.records() == [(2, A, b"2"), (3, C, b"1"), (4, B, b"2")]
    first, second = compacted.batches()
    assert (first.base_offset, first.last_offset_delta, first.record_count, first.codec) == (0, 2, 1, codec)
    assert (second.base_offset, second.record_count) == (3, 2)
    assert all(batch.crc_valid() for batch in compacted.batches())


def test_the_active_segment_is_left_alone(compacted: Compacted) -> None:
    compacted.append((A, b"1"))
    compacted.log.roll()
    compacted.append((A, b"2"))
    compacted.cleaner.tick()
    assert compacted.records() == [(0, A, b"1"), (1, A, b"2")]


def test_a_batch_that_keeps_all_its_records_is_copied_byte_for_byte(compacted: Compacted) -> None:
    compacted.append((A, b"1"), (B, b"1"), codec=Codec.GZIP)
    compacted.append((C, b"1"))
    compacted.append((C, b"2"))
    before = [bytes(batch.view) for batch in compacted.batches()]
    compacted.clean()
    after = [bytes(batch.view) for batch in compacted.batches()]
    assert after == [before[0], before[2]]


def test_a_tombstone_goes_after_delete_retention_from_when_it_was_first_cleaned(compacted: Compacted) -> None:
    """KIP-534: the horizon is set by the first cleaning, not by the record's age."""
    compacted.append((A, b"1"))
    compacted.append((A, None), (B, b"1"))
    compacted.clock.advance(100_000)
    compacted.clean()
    assert compacted.records() == [(1, A, None), (2, B, b"1")]
    batch = compacted.batches()[0]
    assert batch.attributes & DELETE_HORIZON_MASK
    assert batch.base_timestamp == compacted.clock.wall_ms() + 1000
    assert {r.timestamp for r in batch.records()} == {compacted.clock.wall_ms() - 100_000}
    compacted.clock.advance(999)
    compacted.append((C, b"1"))
    compacted.clean()
    assert (1, A, None) in compacted.records()
    assert compacted.batches()[0].base_timestamp == compacted.clock.wall_ms() + 1, "set once"
    compacted.clock.advance(1)
    compacted.append((C, b"2"))
    compacted.clean()
    assert compacted.records() == [(2, B, b"1"), (4, C, b"2")]


def test_a_small_map_takes_several_rounds(tmp_path: Path) -> None:
    compacted = Compacted(tmp_path, map_slots=5)
    for number in range(40):
        compacted.append((b"%d" % (number % 10), b"%d" % number), (b"%d" % (number % 7), b"x%d" % number))
    latest = {key: (offset, value) for offset, key, value in compacted.records()}
    compacted.clean()
    assert compacted.records() == sorted((offset, key, value) for key, (offset, value) in latest.items())
    assert compacted.log.first_dirty_offset == compacted.log.log_end_offset


def test_data_of_an_aborted_transaction_goes_and_its_marker_later(compacted: Compacted) -> None:
    compacted.append((A, b"0"))
    compacted.append((A, b"1"), producer_id=7, producer_epoch=0, base_sequence=0, is_transactional=True)
    compacted.append((B, b"1"))
    marker = compacted.end_txn(7, commit=False)
    compacted.append((B, b"2"), producer_id=7, producer_epoch=0, base_sequence=1, is_transactional=True)
    compacted.end_txn(7, commit=True)
    compacted.clean()
    assert compacted.records() == [(0, A, b"0"), (4, B, b"2")]
    assert [b.base_offset for b in compacted.batches() if b.is_control] == [marker, 5]
    assert compacted.log.aborted_transactions(0, 100) != [], "the marker still tells of a batch read in this cleaning"
    for _ in range(3):
        compacted.clock.advance(1000)
        compacted.append((C, b"1"))
        compacted.clean()
    assert [b.base_offset for b in compacted.batches() if b.is_control] == [5], "data of the commit is still there"
    assert compacted.log.aborted_transactions(0, 100) == []


def test_the_last_batch_of_an_active_producer_is_kept_empty(compacted: Compacted) -> None:
    compacted.append((A, b"1"), (A, b"2"), producer_id=7, producer_epoch=3, base_sequence=10)
    compacted.append((A, b"3"))
    compacted.clean()
    empty, full = compacted.batches()
    assert (empty.record_count, empty.producer_id, empty.producer_epoch, empty.last_sequence) == (0, 7, 3, 11)
    assert next(full.records()).value == b"3"
    compacted.reopen(clean=False)
    state = compacted.log.producer_states.get(7)
    assert state is not None and (state.producer_epoch, state.last_sequence) == (3, 11)


def test_the_checkpoint_is_kafkas(compacted: Compacted) -> None:
    compacted.append((A, b"1"))
    compacted.clean()
    path = compacted.directory / "cleaner-offset-checkpoint"
    assert path.read_text() == "0\n1\ntopic 0 1\n"
    compacted.reopen()
    assert compacted.log.first_dirty_offset == 1
    compacted.logs.delete(PARTITION)
    compacted.logs.write_checkpoints()
    assert path.read_text() == "0\n0\n", "a log of its name was never compacted"


def test_small_segments_become_one_and_nothing_is_left_beside_them(compacted: Compacted) -> None:
    for number in range(30):
        compacted.append((A, b"%d" % number))
    compacted.clean()
    assert len(compacted.log.segments) == 5, "what is cleaned into one fits one before it is cleaned"
    compacted.append((B, b"1"))
    compacted.clean()
    assert len(compacted.log.segments) == 2
    assert compacted.records() == [(29, A, b"29"), (30, B, b"1")]
    compacted.log.remove_doomed_files()
    names = [path.name for path in compacted.log.directory.iterdir()]
    assert not [name for name in names if name.endswith((CLEANED_SUFFIX, SWAP_SUFFIX, ".deleted"))]


def test_the_largest_timestamp_is_found_beyond_an_emptied_batch(compacted: Compacted) -> None:
    """KIP-734: the header that stays of an active producer's last batch still has its timestamp."""
    compacted.clock.advance(1000)
    compacted.append((A, b"1"), producer_id=7, producer_epoch=0, base_sequence=0)
    newest_ms = compacted.clock.wall_ms()
    view = build_batch([Record(0, newest_ms - 500, A, b"2")])
    compacted.log.append_as_leader(memoryview(view), 0)
    compacted.log.high_watermark = compacted.log.log_end_offset
    compacted.clean()
    assert compacted.records() == [(1, A, b"2")]
    assert compacted.log.segments[0].max_timestamp[0] == newest_ms
    found = compacted.log.max_timestamp_offset()
    assert found is not None and (found.timestamp, found.offset) == (newest_ms - 500, 1)

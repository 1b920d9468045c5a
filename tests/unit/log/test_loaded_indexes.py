"""The indexes in memory are bounded, and those that are appended to stay."""

from __future__ import annotations

import gc
from pathlib import Path

from tests.support.log_support import PARTITION, batch_of

from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.loaded_indexes import LoadedIndexes
from tailrace.log.log import Log
from tailrace.log.open_files import OpenFiles

MAX_BYTES = 100
CONFIG = LogConfig(segment_bytes=2000, index_interval_bytes=100, segment_index_bytes=10_000)


class Holder:
    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


def test_the_longest_loaded_goes_and_one_alone_may_be_larger() -> None:
    indexes = LoadedIndexes(100)
    first, second, third = Holder(), Holder(), Holder()
    indexes.hold(first, 60)
    indexes.hold(second, 40)
    assert (indexes.size, first.released) == (100, 0)
    indexes.hold(first, 60)  # loaded again: it is the youngest now
    indexes.hold(third, 40)
    assert [each.released for each in (first, second, third)] == [0, 1, 0]
    indexes.hold(second, 500)
    assert (indexes.size, len(indexes)) == (500, 1)
    indexes.forget(second)
    indexes.forget(second)
    assert (indexes.size, len(indexes)) == (0, 0)


def test_an_index_that_is_gone_is_not_counted() -> None:
    indexes = LoadedIndexes(100)
    holder = Holder()
    indexes.hold(holder, 60)
    del holder
    gc.collect()
    assert (indexes.size, len(indexes)) == (0, 0)


def opened(directory: Path, files: OpenFiles) -> Log:
    return Log.open(directory, PARTITION, CONFIG, LogEnvironment(open_files=files))


def test_every_segment_is_searched_with_few_bytes_of_indexes_in_memory(tmp_path: Path) -> None:
    files = OpenFiles()
    files.indexes.max_size = MAX_BYTES
    log = opened(tmp_path, files)
    stamps = {}
    for number in range(300):
        offset = log.append_as_leader(batch_of(1, timestamp=1_700_000_000_000 + number), 0).first_offset
        stamps[offset] = 1_700_000_000_000 + number
        log.high_watermark = log.log_end_offset
        assert files.indexes.size <= MAX_BYTES or len(files.indexes) == 1
    assert len(log.segments) > 10
    largest = max(12 * len(segment.time_index) for segment in log.segments)
    for offset in [*range(0, 300, 7), *range(299, 0, -11)]:
        assert log.read(offset, 1, 300, min_one_batch=True).first_offset == offset
        found = log.offset_for_timestamp(stamps[offset])
        assert found is not None and found.offset == offset
        assert files.indexes.size <= max(MAX_BYTES, largest)
    log.close()
    assert files.indexes.size == 0


def test_the_index_of_an_active_segment_is_not_let_go_of(tmp_path: Path) -> None:
    """Its entries wait in memory; an append must not have to read them after it has written."""
    files = OpenFiles()
    files.indexes.max_size = 1
    one, other = opened(tmp_path / "one", files), opened(tmp_path / "other", files)
    for _ in range(12):
        one.append_as_leader(batch_of(1), 0)
        other.append_as_leader(batch_of(1), 0)
    for log in (one, other):
        path = log.segments.active.offset_index.path
        assert len(log.segments) == 1 and not path.exists()
        assert len(log.segments.active.offset_index) > 0
    one.roll()
    assert len(files.indexes) <= 1
    one.close()
    other.close()
    again = opened(tmp_path / "other", files)
    assert again.log_end_offset == 12
    again.append_as_leader(batch_of(1), 0)
    again.close()

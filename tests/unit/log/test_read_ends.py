"""Who keeps up reads on where the last read stopped, without a search, whatever happened to the log meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.counting_disk import CountingDisk
from tests.support.log_support import batch_of, environment, open_log, read_batches

from tailrace.base.rand import SeededRandom
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.log.read_ends import READ_ENDS_MAX
from tailrace.records.batch import iter_whole_batches


def read_from(log: Log, offset: int, max_bytes: int = 1 << 20) -> list[int]:
    """Base offsets of the batches that a follower at `offset` gets."""
    found = log.read(offset, max_bytes, log.log_end_offset, min_one_batch=True)
    return [each.base_offset for each in iter_whole_batches(memoryview(log.read_bytes(found)))]


def test_a_reader_that_keeps_up_costs_no_search(tmp_path: Path) -> None:
    disk = CountingDisk()
    log = open_log(tmp_path, env=environment(disk))
    for _ in range(READ_ENDS_MAX):
        log.append_as_leader(batch_of(2), 0)
        read_from(log, 0)
    for offset in range(2, 2 * READ_ENDS_MAX, 2):
        disk.reads.clear()
        found = log.read(offset, 1 << 20, log.log_end_offset, min_one_batch=True)
        assert disk.reads == []
        assert found.size > 0


@pytest.mark.parametrize("seed", range(8))
def test_what_is_read_is_what_a_search_finds(tmp_path: Path, seed: int) -> None:
    random = SeededRandom(seed)
    log = open_log(tmp_path, LogConfig(segment_bytes=1500, index_interval_bytes=200))
    readers = [0, 0, 0]
    for step in range(300):
        what = random.integer(0, 9)
        if what < 5:
            log.append_as_leader(batch_of(random.integer(1, 3), value=b"x" * random.integer(1, 90)), step // 40)
        elif what == 5 and random.integer(0, 3) == 0 and log.log_end_offset:
            log.truncate_to(random.integer(0, log.log_end_offset))
            readers = [min(each, log.log_end_offset) for each in readers]
            if log.log_end_offset == log.log_start_offset:
                log.truncate_fully_and_start_at(log.log_end_offset)
        else:
            reader = random.integer(0, 2)
            readers[reader] = max(readers[reader], log.log_start_offset)
            limit = (1, 300, 1 << 20)[random.integer(0, 2)]
            found = read_from(log, readers[reader], limit)
            log._read_ends, kept = None, log._read_ends
            assert found == read_from(log, readers[reader], limit)
            log._read_ends = kept
            following = [each.next_offset for each in read_batches(log, readers[reader])][: len(found)]
            readers[reader] = following[-1] if following else readers[reader]

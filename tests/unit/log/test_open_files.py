"""Descriptors of .log files are bounded, and no use of a log notices."""

from __future__ import annotations

import gc
from pathlib import Path

from tests.support.log_support import batch_of

from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.logs import Logs
from tailrace.log.open_files import OpenFiles
from tailrace.log.segment import Segment
from tailrace.records.batch import RecordBatch


class Holder:
    def __init__(self) -> None:
        self.released = 0

    def release_file(self) -> None:
        self.released += 1


def test_the_longest_open_goes_first_and_only_beyond_the_limit() -> None:
    files = OpenFiles(2)
    holders = [Holder() for _ in range(4)]
    for holder in holders[:2]:
        files.hold(holder)
    assert [holder.released for holder in holders] == [0, 0, 0, 0]
    files.forget(holders[0])
    files.hold(holders[2])
    files.hold(holders[3])
    assert [holder.released for holder in holders] == [0, 1, 0, 0]
    assert len(files) == 2


def test_a_holder_that_is_no_more_is_not_counted() -> None:
    files = OpenFiles(2)
    holder = Holder()
    files.hold(holder)
    del holder
    gc.collect()
    assert len(files) == 0


def open_logs_files(directory: Path) -> int:
    """Descriptors of this process that are .log files below `directory`."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        found += target.startswith(str(directory)) and target.endswith(".log")
    return found


def test_many_logs_share_few_descriptors(tmp_path: Path) -> None:
    """Every log is appended to and read in turn, over rolls, flush, close and reopening, with three descriptors."""
    environment = LogEnvironment(open_files=OpenFiles(3))
    config = LogConfig(segment_bytes=200)
    names = [TopicPartition("t", index) for index in range(20)]
    logs = Logs([tmp_path], environment, lambda _: config)
    for name in names:
        logs.create(name, ZERO_TOPIC_ID)
    for _ in range(5):
        for name in names:
            log = logs.get(name)
            assert log is not None
            log.append_as_leader(batch_of(2), 0)
            log.high_watermark = log.log_end_offset
            assert open_logs_files(tmp_path) <= 3
    assert logs.shut_down()
    assert open_logs_files(tmp_path) == 0
    logs = Logs([tmp_path], environment, lambda _: config)
    logs.load_all()
    for name in names:
        log = logs.get(name)
        assert log is not None and log.log_end_offset == 10
        offset = 0
        while offset < 10:
            found = log.read(offset, 1, 10, min_one_batch=True)
            assert found.first_offset == offset
            offset += 2
        assert open_logs_files(tmp_path) <= 4  # one for the slice in hand
    logs.abandon()


def test_a_slice_outlives_the_release_of_its_file(tmp_path: Path) -> None:
    environment = LogEnvironment(open_files=OpenFiles(1))
    logs = Logs([tmp_path], environment, lambda _: LogConfig())
    first = logs.create(TopicPartition("t", 0), ZERO_TOPIC_ID)
    second = logs.create(TopicPartition("t", 1), ZERO_TOPIC_ID)
    data = bytes(batch_of(1))
    first.append_as_leader(memoryview(bytearray(data)), 0)
    found = first.read(0, 1000, 1, min_one_batch=True)
    second.append_as_leader(memoryview(bytearray(data)), 0)
    assert found.file is not None and found.file is not first.segments.active.file
    assert found.file.pread(len(data), 0)[:8] == bytes(8)
    logs.abandon()


def test_an_index_entry_is_not_lost_with_the_descriptor(tmp_path: Path) -> None:
    """A segment whose file was let go of between the append and the close still writes its last time entry."""
    files = OpenFiles(1)
    segment = Segment(LogEnvironment().disk, tmp_path, 0, 4096, 0, files)
    data = batch_of(1)
    segment.append(data, RecordBatch.parse(data))
    files.hold(Holder())
    segment.close()
    assert (tmp_path / "00000000000000000000.timeindex").stat().st_size == 12

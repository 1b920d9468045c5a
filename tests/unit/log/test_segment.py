"""One segment's file: short writes, what a failed write leaves, unloading."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.faulty_disk import FaultyDisk, FaultyFile
from tests.support.log_support import batch_of, environment, open_log, read_values

from tailrace.base.disk import Buffer, File, RealDisk
from tailrace.base.errors import StorageError
from tailrace.log.config import LogConfig


class ShortFile(FaultyFile):
    """Takes at most ten bytes a write, as a nearly full disk may."""

    def write(self, data: Buffer) -> int:
        return self._file.write(memoryview(data)[:10])


class ShortDisk(FaultyDisk):
    """Hands out such files."""

    def open(self, path: Path) -> File:
        return ShortFile(self, path, RealDisk().open(path))


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    log = open_log(tmp_path, env=environment(disk=ShortDisk()))
    views = [batch_of(3), batch_of(2)]
    for view in views:
        log.append_as_leader(view, 0)
    log.close()
    assert (tmp_path / f"{0:020d}.log").read_bytes() == b"".join(bytes(view) for view in views)
    assert len(read_values(open_log(tmp_path))) == 5


def test_what_a_failed_write_leaves_is_cut_before_the_next(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = open_log(tmp_path, env=environment(disk=disk))
    log.append_as_leader(batch_of(2), 0)
    size = log.size_bytes
    path = tmp_path / f"{0:020d}.log"
    disk._fail_at, disk._dead = disk.count + 1, True  # the write fails, and cutting its half as well
    with pytest.raises(StorageError):
        log.append_as_leader(batch_of(5), 0)
    assert path.stat().st_size > size
    assert (log.size_bytes, log.log_end_offset) == (size, 2)
    assert len(read_values(log)) == 2, "the half is not served"
    disk._fail_at = 0
    assert log.append_as_leader(batch_of(1), 0).first_offset == 2
    assert len(read_values(log)) == 3
    assert len(read_values(open_log(tmp_path))) == 3


def test_retention_lets_go_of_what_readers_loaded(tmp_path: Path) -> None:
    log = open_log(tmp_path, LogConfig(segment_bytes=1000, index_interval_bytes=100))
    for _ in range(40):
        log.append_as_leader(batch_of(2), 0)
    log.high_watermark = log.log_end_offset
    values = read_values(log)
    sealed = [segment for segment in log.segments if segment is not log.segments.active]
    assert all(segment._log is not None for segment in sealed)
    log.apply_retention(0)
    assert all(segment._log is None and segment.offset_index._keys is None for segment in sealed)
    assert log.segments.active._log is not None
    assert read_values(log) == values
